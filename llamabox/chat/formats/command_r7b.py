"""Command R7B.

<|START_THINKING|>...<|END_THINKING|><|START_ACTION|>[
    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Oslo"}}
]<|END_ACTION|>
<|START_THINKING|>...<|END_THINKING|><|START_RESPONSE|>text<|END_RESPONSE|>
"""

import json

from llamabox.chat.formats.json_calls import JsonCalls, Keys
from llamabox.chat.formats.lark import Lark, sequence, text
from llamabox.chat.formats.tools import Tool


class CommandR7B(JsonCalls):
    name = "command-r7b"
    start, end, between, array = "<|START_ACTION|>", "<|END_ACTION|>", ",\n    ", ("[\n    ", "\n]")
    keys = Keys("tool_name", ("parameters",), id="tool_call_id")
    dropped = ("<|START_RESPONSE|>", "<|END_RESPONSE|>")
    preserved = ("<|START_ACTION|>", "<|END_ACTION|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>")

    def knows(self, source: str) -> bool:
        return "<|START_ACTION|>" in source and "<|START_RESPONSE|>" in source

    def call(self, lark: Lark, tool: Tool) -> str:
        middle = f'", "tool_name": {json.dumps(tool.name, ensure_ascii=False)}, "parameters": '
        return sequence(text('{"tool_call_id": "'), "/[0-9]{1,3}/", text(middle), lark.arguments(tool), text("}"))
