"""Building grammars in llguidance's dialect of Lark."""

import json
import re
from collections.abc import Iterable
from functools import lru_cache

from llamabox.chat.errors import SchemaError
from llamabox.chat.formats.tools import Tool
from llamabox.engine.constrain import GrammarError

MAX_KEPT, MAX_KEPT_LENGTH = 256, 2**14  # schemas, and characters of one


@lru_cache(MAX_KEPT)
def _kept(schema: str) -> str:
    """The expression of a schema; a client sends the same tools again and again."""
    return _expression(json.loads(schema))


def _expression(schema: dict) -> str:
    from llamabox.engine.constrain.compiling import json_schema_lark

    return json_schema_lark(schema)


def quoted(text: str) -> str:
    """A text, literally."""
    return json.dumps(text, ensure_ascii=False)


def regex(text: str) -> str:
    """A text, literally, for use inside a regular expression."""
    return re.sub(r"([\\/.^$|()\[\]{}*+?])", r"\\\1", text).replace("\n", "\\n")


def sequence(*parts: str) -> str:
    """Expressions one after the other; empty ones are left out."""
    return " ".join(part for part in parts if part)


def text(words: str) -> str:
    """`quoted`, nothing for nothing."""
    return quoted(words) if words else ""


def choice(options: Iterable[str]) -> str:
    return "( " + " | ".join(options) + " )"


class Lark:
    """The rules of a grammar, which grow while its expressions are made."""

    def __init__(self) -> None:
        self._rules: dict[str, tuple[str, str]] = {}  # name -> (attributes, body)

    def rule(self, name: str, body: str) -> str:
        """Adds a rule under the first free name of this kind; returns the name. Equal rules are one."""
        head, _, attributes = name.partition("[")
        key = head
        number = 0
        while self._rules.get(key, (attributes, body)) != (attributes, body):
            number += 1
            key = f"{head}_{number}"
        self._rules[key] = (attributes, body)
        return key

    def schema(self, schema: dict) -> str:
        """The JSON values that a schema allows. Raises SchemaError."""
        written = json.dumps(schema, ensure_ascii=False)
        try:
            expression = _kept(written) if len(written) < MAX_KEPT_LENGTH else _expression(schema)
        except GrammarError as error:
            raise SchemaError(f"a JSON schema: {error}") from error
        return self.rule("json", expression)

    def arguments(self, tool: Tool) -> str:
        return self.schema(dict(tool.schema))

    def until(self, end: str, least: int = 0, most: int | None = None) -> str:
        """Any text of that many characters up to the first `end`, with it.

        Where the vocabulary has a control token in `end`, it is no text and so in no regular expression: it ends the
        text by itself. Otherwise the first alternative is over as soon as `end` is there.
        """
        times = "*" if (least, most) == (0, None) else f"{{{least},{'' if most is None else most}}}"
        lazy = self.rule("text[lazy]", f"/(.|\\n){times}{regex(end)}/")
        if most == 0:
            return f"( {lazy} | {quoted(end)} )"
        free = self.rule("free", f"/(.|\\n){'+' if times == '*' else times.replace('{0,', '{1,')}/")
        return f"( {lazy} | {free}{'' if least else '?'} {quoted(end)} )"

    def source(self, start: str) -> str:
        """The grammar whose sentences are those of an expression."""
        lines = [f"start: {start}"]
        for name, (attributes, body) in self._rules.items():
            lines.append(f"{name}[{attributes}: {body}" if attributes else f"{name}: {body}")
        return "\n".join(lines) + "\n"
