"""Kimi K2.

<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Oslo"}
<|tool_call_end|><|tool_calls_section_end|>  (without the line break); "functions.get_weather:0" is the call's id.
"""

import re
from collections.abc import Generator

from llamabox.chat.formats.lark import Lark, sequence, text
from llamabox.chat.formats.named_calls import NamedCalls
from llamabox.chat.formats.reader import MismatchError, Reader
from llamabox.chat.formats.thinking import Tags
from llamabox.chat.formats.tools import Tool, Tools

BEGIN, END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
CALL, ARGUMENTS, CALL_END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
NAMESPACE = "functions."
DIGITS = re.compile(r"[0-9]+")


class KimiK2(NamedCalls):
    name = "kimi-k2"
    section_start, section_end = BEGIN, END
    call_start, call_end = CALL, CALL_END
    preserved = (BEGIN, END, CALL, ARGUMENTS, CALL_END)
    early = (BEGIN, CALL)
    exact = True
    tags = Tags("<think>", "</think>")

    def knows(self, source: str) -> bool:
        return BEGIN in source and CALL in source

    def header(self, reader: Reader, tools: Tools) -> Generator[None, None, tuple[str, str]]:
        yield from reader.spaces()
        yield from reader.expect(NAMESPACE)
        name = yield from reader.expect(*tools.by_name)
        yield from reader.expect(":")
        number = yield from reader.word(DIGITS, 9)
        if not number:
            raise MismatchError
        yield from reader.spaces()
        yield from reader.expect(ARGUMENTS)
        yield from reader.spaces()
        return name, f"{NAMESPACE}{name}:{number}"

    def call(self, lark: Lark, tool: Tool) -> str:
        begin = text(f"{CALL}{NAMESPACE}{tool.name}:")
        return sequence(begin, "/[0-9]{1,3}/", text(ARGUMENTS), lark.arguments(tool), text(CALL_END))
