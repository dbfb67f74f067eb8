"""Calls in tags, with a tag for each argument: <function=get_weather><parameter=city>Oslo</parameter></function>.

Values have no quotes; what they are follows from the tool's schema. Texts are handed over as they come, other values
once they are complete.
"""

import json
from collections.abc import Generator

from llamabox.chat.formats.calls import MarkedCalls
from llamabox.chat.formats.lark import Lark, choice, sequence, text
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import Reader, Reading, Stops, TextEndError
from llamabox.chat.formats.tools import STRING, Tool, Tools


class TaggedCalls(MarkedCalls):
    """The markers as the template writes them; reading does not insist on their white space.

    section_start, section_end   around all calls, "" for none
    call_start, name_end         around the name
    key_start, key_end           around an argument's name
    value_end                    after its value
    call_end                     after all arguments
    between                      of two calls
    framed                       a value stands on lines of its own, so it may hold the mark of its end
    """

    section_start = section_end = ""
    call_start, name_end = "<tool_call>\n<function=", ">\n"
    key_start, key_end, value_end = "<parameter=", ">\n", "\n</parameter>\n"
    call_end = "</function>\n</tool_call>"
    between = "\n"
    framed = False

    def markers(self, tools: Tools) -> tuple[str, ...]:
        return (self.section_start.strip() or self.call_start.split()[0],)

    def section(self, reader: Reader, out: Output, tools: Tools, marker: str) -> Reading:
        if self.section_start:
            yield from words(reader, self.call_start)
        else:
            yield from words(reader, self.call_start.removeprefix(marker))
        again = True
        while again:
            yield from self.header(reader, out, tools)
            reader.record()
            again = False
            if self.section_start:
                yield from reader.spaces()
                again = yield from begins(reader, self.call_start)
        if self.section_end:
            yield from reader.maybe(self.section_end.strip())

    def header(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        """Reads a call from its name on."""
        yield from reader.spaces()
        name = yield from reader.expect(*tools.by_name)
        yield from words(reader, self.name_end)
        if not self.name_end.strip():  # what ends the name is what comes next
            space = yield from reader.spaces()
            next_mark = yield from reader.expect(self.key_start.split()[0], self.call_end.split()[0])
            reader.unread(space + next_mark)
        yield from self.arguments(reader, out, tools.by_name[name])

    def arguments(self, reader: Reader, out: Output, tool: Tool) -> Reading:
        """Reads a call's arguments and its end. The call begins here, so it is completed whatever comes."""
        out.start(tool.name)
        out.arguments("{")
        reader.record()
        separator = ""
        while True:
            yield from reader.spaces()
            if not (yield from begins(reader, self.key_start)):
                break
            key = yield from self._key(reader)
            out.arguments(f"{separator}{json.dumps(key, ensure_ascii=False)}:")
            separator = ","
            yield from self._value(reader, out, tool, key)
            reader.record()
        if reader.finished:
            raise TextEndError
        out.arguments("}")
        yield from ends(reader, self.call_end)

    def _key(self, reader: Reader) -> Generator[None, None, str]:
        parts: list[str] = []
        if (yield from reader.until(Stops((self.key_end.split()[0],)), parts.append)) is None:
            raise TextEndError
        yield from words(reader, " ".join(self.key_end.split()[1:]))
        return "".join(parts).strip()

    def _value(self, reader: Reader, out: Output, tool: Tool, key: str) -> Reading:
        on_lines = self.framed and (yield from reader.literal("\n")) is not None
        stops = Stops((self.value_end if on_lines else self.value_end.strip(),))
        if tool.types(key) == {STRING}:
            out.arguments('"')
            ended = yield from reader.until(stops, lambda piece: out.arguments(escaped(piece)), whole=False)
            out.arguments('"' if ended else "")
        else:
            parts: list[str] = []
            ended = yield from reader.until(stops, parts.append, whole=False)
            out.arguments(tool.value(key, "".join(parts)) if ended else "".join(parts))
        if ended is None:
            raise TextEndError

    def calls(self, lark: Lark, tools: Tools, parallel: bool) -> str:
        call = lark.rule("call", choice(self.call(lark, tool) for tool in tools.tools))
        several = f"{call} ({sequence(text(self.between), call)})*" if parallel else call
        return sequence(text(self.section_start), several, text(self.section_end))

    def call(self, lark: Lark, tool: Tool) -> str:
        """One call: its required arguments in the order of the schema, then the others that it has."""
        required = [self.argument(lark, tool, key) for key in tool.required]
        others = [f"( {self.argument(lark, tool, key)} )?" for key in tool.properties if key not in tool.required]
        return sequence(text(self.call_start + tool.name + self.name_end), *required, *others, text(self.call_end))

    def argument(self, lark: Lark, tool: Tool, key: str) -> str:
        """One argument with its tags."""
        start = text(self.key_start + key + self.key_end)
        types = tool.types(key)
        if types and STRING not in types:
            return sequence(start, lark.schema(tool.parameter_schema(key)), text(self.value_end))
        values = tool.texts(key)
        if values is None:
            return sequence(start, lark.until(self.value_end, *(tool.lengths(key) if types == {STRING} else (0, None))))
        return sequence(start, choice(map(text, values)), text(self.value_end))


def escaped(piece: str) -> str:
    """A piece of a text as it stands inside of a JSON string."""
    return json.dumps(piece, ensure_ascii=False)[1:-1]


def words(reader: Reader, marker: str) -> Reading:
    """Reads a marker, with any white space around its words."""
    for word in marker.split():
        yield from reader.spaces()
        yield from reader.expect(word)


def begins(reader: Reader, marker: str) -> Generator[None, None, bool]:
    """Reads a marker if it comes next. When only its first word does, MismatchError."""
    first, *rest = marker.split()
    if (yield from reader.maybe(first)) is None:
        return False
    yield from words(reader, " ".join(rest))
    return True


def ends(reader: Reader, marker: str) -> Reading:
    """Reads as much of a marker as is there."""
    for word in marker.split():
        yield from reader.spaces()
        if (yield from reader.maybe(word)) is None:
            return
