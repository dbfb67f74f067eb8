"""Building grammars in llguidance's dialect of Lark."""

import json
import re
from collections.abc import Iterable

from llamabox.chat.errors import TemplateError
from llamabox.chat.formats.tools import Tool
from llamabox.engine.constrain import GrammarError, json_schema_lark


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
        """The JSON values that a schema allows. Raises TemplateError for a schema that cannot be followed."""
        try:
            return self.rule("json", json_schema_lark(schema))
        except GrammarError as error:
            raise TemplateError(f"a JSON schema: {error}") from error

    def arguments(self, tool: Tool) -> str:
        return self.schema(dict(tool.schema))

    def until(self, end: str) -> str:
        """Any text up to the first `end`, with it.

        Where the vocabulary has a control token in `end`, it is no text and so in no regular expression: it ends the
        text by itself. Otherwise the first alternative is over as soon as `end` is there.
        """
        lazy, free = self.rule("text[lazy]", f"/(.|\\n)*{regex(end)}/"), self.rule("free", "/(.|\\n)+/")
        return f"( {lazy} | {free}? {quoted(end)} )"

    def source(self, start: str) -> str:
        """The grammar whose sentences are those of an expression."""
        lines = [f"start: {start}"]
        for name, (attributes, body) in self._rules.items():
            lines.append(f"{name}[{attributes}: {body}" if attributes else f"{name}: {body}")
        return "\n".join(lines) + "\n"
