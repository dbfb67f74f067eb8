"""Granite 3: <|tool_call|>[{"name": "get_weather", "arguments": {"city": "Oslo"}}]. Granite 4 writes as Hermes does.

After its thoughts it writes <response>text</response>.
"""

from llamabox.chat.formats.json_calls import LIST, JsonCalls
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import Reader, Reading, Stops
from llamabox.chat.formats.tools import Tools

RESPONSE, RESPONSE_END = "<response>", "</response>"


class Granite(JsonCalls):
    name = "granite-3"
    start, end, between, array = "<|tool_call|>", "", ", ", LIST
    preserved = ("<|tool_call|>",)

    def knows(self, source: str) -> bool:
        return "<|tool_call|>" in source and "<|start_of_role|>" in source

    def read(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        if (yield from reader.literal(RESPONSE)) is not None:
            yield from reader.until(Stops((RESPONSE_END,)), out.content)
        yield from super().read(reader, out, tools)
