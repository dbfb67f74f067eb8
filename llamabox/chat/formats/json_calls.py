"""Calls written as JSON objects, {"name": ..., "arguments": {...}}, with markers around them.

Half of all formats are this with different markers and keys: `Keys` says what an object looks like, `JsonCalls` where
objects stand.
"""

import json
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property

from llamabox.chat.formats.base import Format
from llamabox.chat.formats.calls import attempt, copy_arguments, expect_object
from llamabox.chat.formats.json_text import JsonCopy
from llamabox.chat.formats.lark import Lark, choice, sequence, text
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import MismatchError, Reader, Reading, Stops
from llamabox.chat.formats.tools import Tool, Tools

MAX_KEY = 64
MAX_ID = 256
NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Keys:
    """The keys of a call's object.

    id       of the call's id; when it comes last, a call is known only when its object is complete
    wrapper  of an object that may hold the name and the arguments
    ignored  that may stand there too
    """

    name: str = "name"
    arguments: tuple[str, ...] = ("arguments", "parameters")
    id: str | None = None
    wrapper: str | None = None
    ignored: tuple[str, ...] = ("type",)


class CallReader:
    """Reads one call's object. Raises MismatchError when it is none."""

    def __init__(self, reader: Reader, out: Output, tools: Tools, keys: Keys):
        self._reader, self._out, self._tools, self._keys = reader, out, tools, keys
        self._name = self._id = ""
        self._waiting: list[str] | None = None  # arguments that came before the call could start
        self._started = False

    def read(self) -> Reading:
        yield from self._object(outer=True)
        if not self._started:
            if not self._name:
                raise MismatchError
            self._out.start(self._name, self._id)
            self._out.arguments("{}" if self._waiting is None else "".join(self._waiting))

    def _object(self, outer: bool) -> Reading:
        reader = self._reader
        yield from reader.expect("{")
        yield from reader.spaces()
        while True:
            key = yield from self._text(MAX_KEY)
            yield from reader.spaces()
            yield from reader.expect(":")
            yield from reader.spaces()
            yield from self._member(key, outer)
            yield from reader.spaces()
            if (yield from reader.expect(",", "}")) == "}":
                return
            yield from reader.spaces()

    def _member(self, key: str, outer: bool) -> Reading:
        keys = self._keys
        if key == keys.name:
            self._name = yield from self._text(6 * self._tools.longest)
            if self._name not in self._tools.by_name:
                raise MismatchError
        elif key in keys.arguments:
            yield from self._arguments()
        elif key == keys.id:
            digits = yield from self._reader.word(NUMBER, MAX_ID)
            self._id = digits or (yield from self._text(MAX_ID))
        elif key == keys.wrapper and outer and (yield from self._reader.char()) == "{":
            yield from self._object(outer=False)
        elif key in keys.ignored:
            yield from self._text(MAX_KEY)
        else:
            raise MismatchError

    def _arguments(self) -> Reading:
        if self._started or self._waiting is not None:
            raise MismatchError
        yield from expect_object(self._reader)
        if self._name and (self._keys.id is None or self._id):
            self._started = True
            self._out.start(self._name, self._id)
            yield from copy_arguments(self._reader, self._out.arguments)
        else:
            self._waiting = []
            yield from JsonCopy(self._waiting.append).copy(self._reader)

    def _text(self, limit: int) -> Generator[None, None, str]:
        """A JSON string, which has to be a short one."""
        parts: list[str] = []
        if (yield from self._reader.char()) not in ('"', "'"):
            raise MismatchError

        def collect(piece: str) -> None:
            parts.append(piece)
            if sum(map(len, parts)) > limit + 2:
                raise MismatchError

        yield from JsonCopy(collect).copy(self._reader)
        return json.loads("".join(parts))


class JsonCalls(Format):
    """Calls as objects, one or several of them between two markers.

    start, end     the markers as the template writes them; reading does not insist on their white space
    array          the objects stand in a list
    separator      between the objects
    before         the object, and `after` it, as in f'{before}"get_weather"{middle}{{...}}{after}'
    sections       several calls are several sections, not several objects in one
    """

    start, end = "<tool_call>\n", "\n</tool_call>"
    array = False
    sections = False
    between = "\n"  # of sections, or of objects
    keys = Keys()
    before, middle, after = '{"name": ', ', "arguments": ', "}"

    @cached_property
    def stops_of_content(self) -> Stops:
        return Stops((self.start.strip(),))

    def read(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        if not tools:
            yield from super().read(reader, out, tools)
            return
        while (marker := (yield from reader.until(self.stops_of_content, out.content))) is not None:
            while marker is not None and (yield from attempt(reader, out, self._section(reader, out, tools), marker)):
                space = yield from reader.spaces()
                marker = yield from reader.literal(self.start.strip())
                if marker is None and not reader.finished:
                    out.content(space)

    def _section(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        """What follows the first marker, with the second one."""
        yield from reader.spaces()
        listed = (yield from reader.literal("[")) is not None
        yield from reader.spaces()
        while True:
            yield from CallReader(reader, out, tools, self.keys).read()
            reader.record()
            yield from reader.spaces()
            if (yield from reader.literal(",")) is not None:
                yield from reader.spaces()
            elif (yield from reader.char()) != "{":
                break
        if listed:
            yield from reader.expect("]")
            yield from reader.spaces()
        if self.end:
            yield from reader.expect(self.end.strip())

    def calls(self, lark: Lark, tools: Tools, parallel: bool) -> str:
        call = lark.rule("call", choice(self.call(lark, tool) for tool in tools.tools))
        one = sequence(text(self.start + "[" * self.array), call)
        end = text("]" * self.array + self.end)
        if not parallel:
            return sequence(one, end)
        if self.sections:
            section = lark.rule("section", sequence(one, end))
            return f"{section} ({sequence(text(self.between), section)})*"
        return sequence(one, f"({sequence(text(self.between), call)})*", end)

    def call(self, lark: Lark, tool: Tool) -> str:
        """One object."""
        name = self.before + json.dumps(tool.name, ensure_ascii=False) + self.middle
        return sequence(text(name), lark.arguments(tool), text(self.after))

    def triggers(self, tools: Tools) -> Sequence[str]:
        return (re.escape(self.start.strip()),)
