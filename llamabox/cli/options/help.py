"""The table -> the text of --help."""

import textwrap

from llamabox.cli.options.option import Option
from llamabox.cli.options.table import Table

COLUMN = 40  # where help texts start
WIDTH = 120


def help_text(table: Table, usage: str) -> str:
    """Every group and option of the table in its order, under a usage line."""
    parts = [f"usage: {usage}"]
    for group in table.groups:
        if not group.title:
            continue
        parts.append(f"\n{group.title}:\n")
        parts.extend(_row(option) for option in group.options)
    return "\n".join(parts) + "\n"


def _row(option: Option) -> str:
    head = f"  {option.spec}"
    lines = [line for text in _texts(option) for line in _wrap(text)]
    if len(head) < COLUMN:
        return "\n".join([head.ljust(COLUMN) + lines[0], *(" " * COLUMN + line for line in lines[1:])])
    return "\n".join([head, *(" " * COLUMN + line for line in lines)])


def _texts(option: Option) -> list[str]:
    texts = option.help.split("\n")
    if option.variables:
        texts.append(f"(env: {', '.join(option.variables)})")
    if option.opposites:
        texts.append(f"(opposite: {', '.join(option.opposites)})")
    if option.note:
        texts.append(f"[{option.note}]")
    if option.refused:
        texts.append(f"[only that: {option.refused}]")
    if option.later:
        texts.append(f"[not available yet: {option.later}]")
    return texts


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - COLUMN, break_long_words=False, break_on_hyphens=False)
