"""Hermes 2 and 3, Qwen2 to Qwen3, QwQ, Granite 4 and many others.

<tool_call>
{"name": "get_weather", "arguments": {"city": "Oslo"}}
</tool_call>
"""

from llamabox.chat.formats.json_calls import JsonCalls


class Hermes(JsonCalls):
    name = "hermes"
    start, end, between = "<tool_call>\n", "\n</tool_call>", "\n"
    sections = True
    preserved = ("<tool_call>", "</tool_call>")

    def knows(self, source: str) -> bool:
        return "<tool_call>" in source and "</tool_call>" in source and "minimax" not in source
