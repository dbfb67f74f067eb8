"""Functionary 3.1 and 3.2.

3.1: <function=get_weather>{"city": "Oslo"}</function>, and <|python_tag|>code for a code interpreter
3.2: an answer is addressed, and the prompt ends with the first >>>
     >>>all
     I look.>>>get_weather
     {"city": "Oslo"}
"""

import re
from collections.abc import Sequence

from llamabox.chat.formats.base import Format
from llamabox.chat.formats.calls import attempt, copy_arguments, expect_object
from llamabox.chat.formats.code import PYTHON_TAG, interpreter, read_code
from llamabox.chat.formats.lark import Lark, choice, sequence, text
from llamabox.chat.formats.named_calls import NamedCalls
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import Reader, Reading, Stops
from llamabox.chat.formats.thinking import Tags
from llamabox.chat.formats.tools import Tools

ADDRESS, ALL = ">>>", "all"


class FunctionaryV31(NamedCalls):
    name = "functionary-v3.1"
    call_start, name_end, call_end = "<function=", ">", "</function>"
    preserved = (PYTHON_TAG,)

    def knows(self, source: str) -> bool:
        return "<function=" in source and "has_code_interpreter" in source

    def markers(self, tools: Tools) -> tuple[str, ...]:
        return (self.call_start, *([PYTHON_TAG] if interpreter(tools) else []))

    def section(self, reader: Reader, out: Output, tools: Tools, marker: str) -> Reading:
        if marker == PYTHON_TAG:
            yield from read_code(reader, out, tools)
        else:
            yield from super().section(reader, out, tools, marker)

    def triggers(self, tools: Tools) -> Sequence[str]:
        return (re.escape(self.call_start),)


class FunctionaryV32(Format):
    name = "functionary-v3.2"

    def knows(self, source: str) -> bool:
        return ">>>all" in source and ">>>${recipient}" in source

    def beginning(self, prompt: str, tags: Tags | None, content: str | None, thoughts: str) -> str:
        return f"{prompt}{ALL}\n{content or ''}"

    def read(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        stops = Stops((ADDRESS,) if tools else ())
        marker: str | None = ""
        while marker is not None:
            if (yield from reader.literal(f"{ALL}\n")) is None:
                yield from attempt(reader, out, self._call(reader, out, tools), marker)
            marker = yield from reader.until(stops, out.content)

    def _call(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        line = yield from reader.expect(*(f"{name}\n" for name in tools.by_name), "\n")
        yield from expect_object(reader)
        out.start(line[:-1])
        yield from copy_arguments(reader, out.arguments)

    def calls(self, lark: Lark, tools: Tools, parallel: bool) -> str:
        call = lark.rule("call", choice(sequence(text(f"{t.name}\n"), lark.arguments(t)) for t in tools.tools))
        several = f"{call} ( {text(ADDRESS)} {call} )*" if parallel else call
        return f"( {text(ADDRESS)} )? {several}"

    def triggers(self, tools: Tools) -> Sequence[str]:
        names = "|".join(map(re.escape, tools.by_name))
        return (f"^(?:{names})\\n", f"{ADDRESS}(?:{names})\\n")
