"""Nemotron Nano v2: <TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Oslo"}}]</TOOLCALL>"""

from llamabox.chat.formats.json_calls import LIST, JsonCalls
from llamabox.chat.formats.thinking import Tags


class Nemotron(JsonCalls):
    name = "nemotron-nano-v2"
    start, end, between, array = "<TOOLCALL>", "</TOOLCALL>", ", ", LIST
    tags = Tags("<think>\n", "</think>")
    preserved = ("<TOOLCALL>", "</TOOLCALL>")

    def knows(self, source: str) -> bool:
        return "<TOOLCALL>" in source
