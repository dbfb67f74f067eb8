"""Calls written as JSON objects, {"name": ..., "arguments": {...}}, with markers around them.

Half of all formats are this with different markers and keys: `Keys` says what an object looks like, `JsonCalls` where
objects stand.
"""

import json
import re
from collections.abc import Generator
from dataclasses import dataclass

from llamabox.chat.formats.calls import MarkedCalls, copy_arguments, expect_object
from llamabox.chat.formats.json_text import JsonCopy, read_text, to_json
from llamabox.chat.formats.lark import Lark, choice, sequence, text
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import MismatchError, Reader, Reading, TextEndError
from llamabox.chat.formats.tools import Tool, Tools

LIST = ("[", "]")
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

    def read(self, opened: bool = False) -> Reading:
        """opened: the object's brace has been read"""
        if not opened:
            yield from self._reader.expect("{")
        try:
            yield from self._object(outer=True)
        except TextEndError:
            if self._name and self._waiting:
                self._give_out()
            raise
        if not self._name:
            raise MismatchError
        if not self._started:
            self._give_out()

    def _give_out(self) -> None:
        """What has waited."""
        self._out.start(self._name, self._id)
        self._out.arguments("{}" if self._waiting is None else "".join(self._waiting))

    def _object(self, outer: bool) -> Reading:
        reader = self._reader
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
        elif key == keys.wrapper and outer:
            yield from self._reader.expect("{")
            yield from self._object(outer=False)
        elif key in keys.ignored:
            yield from self._text(MAX_KEY)
        else:
            raise MismatchError

    def _arguments(self) -> Reading:
        if self._started or self._waiting is not None:
            raise MismatchError
        if (yield from self._reader.char()) in ('"', "'"):
            self._waiting = [(yield from self._quoted())]
            return
        yield from expect_object(self._reader)
        if self._name and (self._keys.id is None or self._id):
            self._started = True
            self._out.start(self._name, self._id)
            yield from copy_arguments(self._reader, self._out.arguments)
        else:
            self._waiting = []
            yield from JsonCopy(self._waiting.append).copy(self._reader)

    def _quoted(self) -> Generator[None, None, str]:
        """Arguments that some models write as a string, as OpenAI's API has them."""
        parts: list[str] = []
        yield from read_text(self._reader, parts.append)
        written = to_json("".join(parts))
        if written is None or not written.lstrip().startswith("{"):
            raise MismatchError
        return written

    def _text(self, limit: int) -> Generator[None, None, str]:
        """A JSON string, which has to be a short one."""
        parts: list[str] = []
        if (yield from self._reader.char()) not in ('"', "'", ""):
            raise MismatchError

        def collect(piece: str) -> None:
            parts.append(piece)
            if sum(map(len, parts)) > limit + 2:
                raise MismatchError

        yield from JsonCopy(collect).copy(self._reader)
        return json.loads("".join(parts))


class JsonCalls(MarkedCalls):
    """Calls as objects, one or several of them between two markers.

    start, end  the markers as the template writes them; reading does not insist on their white space
    array       how the list begins and ends that the objects stand in, "" and "" for none
    sections    several calls are several sections, not several objects in one
    between     of sections, or of objects
    before, middle, after  as in f'{before}"get_weather"{middle}{{...}}{after}'
    """

    start, end = "<tool_call>\n", "\n</tool_call>"
    array = ("", "")
    sections = False
    between = "\n"
    keys = Keys()
    before, middle, after = '{"name": ', ', "arguments": ', "}"

    def markers(self, tools: Tools) -> tuple[str, ...]:
        return (self.start.strip(),)

    def section(self, reader: Reader, out: Output, tools: Tools, marker: str) -> Reading:
        yield from reader.spaces()
        listed = (yield from reader.literal("[")) is not None
        while True:
            yield from reader.spaces()
            yield from CallReader(reader, out, tools, self.keys).read()
            reader.record()
            yield from reader.spaces()
            if (yield from reader.literal(",")) is None and (yield from reader.char()) != "{":
                break
        if listed:
            yield from reader.expect("]")
        if self.end.strip():
            yield from reader.spaces()
            yield from reader.expect(self.end.strip())

    def calls(self, lark: Lark, tools: Tools, parallel: bool) -> str:
        call = lark.rule("call", choice(self.call(lark, tool) for tool in tools.tools))
        one = sequence(text(self.start + self.array[0]), call)
        end = text(self.array[1] + self.end)
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
