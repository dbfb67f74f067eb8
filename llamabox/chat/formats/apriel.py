"""Apriel 1.5 and 1.6: <tool_calls>[{"name": "get_weather", "arguments": {"city": "Oslo"}}]</tool_calls>"""

from llamabox.chat.formats.json_calls import LIST, JsonCalls


class Apriel(JsonCalls):
    name = "apriel"
    start, end, between, array = "<tool_calls>", "</tool_calls>", ", ", LIST
    preserved = ("<tool_calls>", "</tool_calls>")

    def knows(self, source: str) -> bool:
        return "<tool_calls>[" in source
