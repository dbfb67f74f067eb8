"""Calls whose name stands in a marker of its own, with arguments in JSON: <function=get_weather>{...}</function>."""

from collections.abc import Generator

from llamabox.chat.formats.calls import MarkedCalls, copy_arguments, expect_object
from llamabox.chat.formats.lark import Lark, choice, sequence, text
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import Reader, Reading
from llamabox.chat.formats.tools import Tool, Tools


class NamedCalls(MarkedCalls):
    """One call after another, between two markers or without.

    section_start, section_end   around all calls, "" for none
    call_start                   before the name
    name_end                     between the name and the arguments
    call_end                     after the arguments
    between                      of two calls
    Reading does not insist on their white space, nor on the markers after the arguments.
    """

    section_start = section_end = ""
    call_start, name_end, call_end = "", "", ""
    between = ""

    def markers(self, tools: Tools) -> tuple[str, ...]:
        return tuple(filter(None, (self.section_start.strip(), self.call_start.strip())))

    def section(self, reader: Reader, out: Output, tools: Tools, marker: str) -> Reading:
        start = self.call_start.strip()
        if marker != start:
            yield from reader.spaces()
            yield from reader.expect(start)
        again: str | None = start
        while again is not None:
            name, call_id = yield from self.header(reader, tools)
            yield from expect_object(reader)
            out.start(name, call_id)
            yield from copy_arguments(reader, out.arguments)
            yield from self.footer(reader)
            reader.record()
            space = yield from reader.spaces()
            again = yield from reader.maybe(start)
        if not self.section_end or (yield from reader.maybe(self.section_end.strip())) is None:
            reader.unread(space)

    def header(self, reader: Reader, tools: Tools) -> Generator[None, None, tuple[str, str]]:
        """Reads the name and what stands before the arguments; gives name and id."""
        yield from reader.spaces()
        name = yield from reader.expect(*tools.by_name)
        yield from reader.spaces()
        yield from reader.expect(self.name_end.strip())
        yield from reader.spaces()
        return name, ""

    def footer(self, reader: Reader) -> Reading:
        """Reads what stands after the arguments."""
        if self.call_end:
            yield from reader.spaces()
            yield from reader.maybe(self.call_end.strip())

    def calls(self, lark: Lark, tools: Tools, parallel: bool) -> str:
        call = lark.rule("call", choice(self.call(lark, tool) for tool in tools.tools))
        several = f"{call} ({sequence(text(self.between), call)})*" if parallel else call
        return sequence(text(self.section_start), several, text(self.section_end))

    def call(self, lark: Lark, tool: Tool) -> str:
        """One call."""
        return sequence(text(self.call_start + tool.name + self.name_end), lark.arguments(tool), text(self.call_end))
