"""Firefunction v2: functools[{"name": "get_weather", "arguments": {"city": "Oslo"}}]"""

import json

from llamabox.chat.formats.json_calls import LIST, JsonCalls
from llamabox.chat.formats.lark import Lark, text
from llamabox.chat.formats.tools import Tools


class Firefunction(JsonCalls):
    name = "firefunction-v2"
    start, end, between, array = "functools", "", ", ", LIST

    describes_tools = True

    def knows(self, source: str) -> bool:
        return "functools[" in source

    def variables(self, tools: list[dict] | None) -> dict[str, object]:
        return {"functions": json.dumps(tools, ensure_ascii=False, indent=4) if tools else "", "datetime": ""}

    def calls(self, lark: Lark, tools: Tools, parallel: bool) -> str:
        return f"( {text(' ')} )? {super().calls(lark, tools, parallel)}"
