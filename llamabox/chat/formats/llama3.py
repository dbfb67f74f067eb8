"""Llama 3.1 to 3.3: {"name": "get_weather", "parameters": {"city": "Oslo"}}, without any marker.

Built-in tools are called as <|python_tag|>brave_search.call(query="..."), an interpreter as <|python_tag|>code.
"""

import json
import re
from collections.abc import Sequence

from llamabox.chat.formats.calls import MarkedCalls
from llamabox.chat.formats.code import PYTHON_TAG, read_code
from llamabox.chat.formats.json_calls import CallReader, Keys
from llamabox.chat.formats.json_text import JsonCopy
from llamabox.chat.formats.lark import Lark, choice, sequence, text
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import MismatchError, Reader, Reading, TextEndError
from llamabox.chat.formats.tools import Tool, Tools

KEYS = Keys(arguments=("parameters", "arguments"), wrapper="function")
WORD = re.compile(r"\w+")
MAX_WORD = 64
SPACE = "( /[ \\n\\t]+/ )?"


class Llama3(MarkedCalls):
    name = "llama-3"
    preserved = (PYTHON_TAG,)

    def knows(self, source: str) -> bool:
        return PYTHON_TAG in source or 'Respond in the format {"name": function name' in source

    def markers(self, tools: Tools) -> tuple[str, ...]:
        return ("{", PYTHON_TAG)

    def section(self, reader: Reader, out: Output, tools: Tools, marker: str) -> Reading:
        if marker == "{":
            yield from self._bare(reader, out, tools)
            return
        yield from reader.spaces()
        called = yield from reader.literal("{", *(f"{name}.call(" for name in tools.by_name))
        if called == "{":
            yield from CallReader(reader, out, tools, KEYS).read(opened=True)
        elif called is not None:
            yield from self._builtin(reader, out, called.removesuffix(".call("))
        else:
            yield from read_code(reader, out, tools)

    def _bare(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        """Reads a call without a marker; a text that ends within it may be something else."""
        calls = out.calls
        try:
            yield from CallReader(reader, out, tools, KEYS).read(opened=True)
        except TextEndError:
            raise TextEndError if out.calls > calls else MismatchError from None

    def _builtin(self, reader: Reader, out: Output, name: str) -> Reading:
        """Reads query="...", n=3)."""
        parts: list[str] = []
        mark = ","
        while mark == ",":
            yield from reader.spaces()
            key = yield from reader.word(WORD, MAX_WORD)
            if not key:
                raise MismatchError
            yield from reader.expect("=")
            parts.append(f"{json.dumps(key)}: ")
            yield from JsonCopy(parts.append).copy(reader)
            yield from reader.spaces()
            mark = yield from reader.expect(",", ")")
            parts.append(", " if mark == "," else "}")
        out.start(name)
        out.arguments("{" + "".join(parts))

    def calls(self, lark: Lark, tools: Tools, parallel: bool) -> str:
        """One call: the templates refuse a message with several."""
        return lark.rule("call", choice(self._call(lark, tool) for tool in tools.tools))

    def _call(self, lark: Lark, tool: Tool) -> str:
        name = text(json.dumps(tool.name, ensure_ascii=False))
        parts = (text("{"), text('"name"'), text(":"), name, text(","), text('"parameters"'), text(":"))
        spaced = [piece for part in parts for piece in (part, SPACE)]
        return sequence(*spaced, lark.arguments(tool), SPACE, text("}"))

    def triggers(self, tools: Tools) -> Sequence[str]:
        names = "|".join(re.escape(json.dumps(name, ensure_ascii=False)) for name in tools.by_name)
        return (rf'\{{\s*"name"\s*:\s*(?:{names})',)
