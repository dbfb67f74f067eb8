"""MiniMax M1 and M2.

M1: <tool_calls>
    {"name": "get_weather", "arguments": {"city": "Oslo"}}
    </tool_calls>
M2: <minimax:tool_call>
    <invoke name="get_weather">
    <parameter name="city">Oslo</parameter>
    </invoke>
    </minimax:tool_call>
"""

from llamabox.chat.formats.json_calls import JsonCalls
from llamabox.chat.formats.tagged_calls import TaggedCalls


class MiniMaxM1(JsonCalls):
    name = "minimax-m1"
    start, end, between = "<tool_calls>\n", "\n</tool_calls>", "\n"
    preserved = ("<tool_calls>", "</tool_calls>")

    def knows(self, source: str) -> bool:
        return "<tool_calls>\\n{" in source


class MiniMaxM2(TaggedCalls):
    name = "minimax-m2"
    section_start, section_end = "<minimax:tool_call>\n", "\n</minimax:tool_call>"
    call_start, name_end, call_end = '<invoke name="', '">\n', "</invoke>"
    key_start, key_end, value_end = '<parameter name="', '">', "</parameter>\n"
    preserved = ("<minimax:tool_call>", "</minimax:tool_call>")

    def knows(self, source: str) -> bool:
        return "minimax:tool_call" in source and "<invoke name=" in source
