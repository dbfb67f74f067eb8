"""GLM-4.5 and 4.6, and without the line breaks GLM-4.7.

<tool_call>get_weather
<arg_key>city</arg_key>
<arg_value>Oslo</arg_value>
</tool_call>
"""

from llamabox.chat.formats.tagged_calls import TaggedCalls


class Glm(TaggedCalls):
    name = "glm-4.5"
    call_start, name_end = "<tool_call>", "\n"
    key_start, key_end, value_end = "<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n"
    call_end = "</tool_call>"
    preserved = ("<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")

    def knows(self, source: str) -> bool:
        return "<arg_key>" in source and "<tool_call>" in source


class Glm47(Glm):
    name = "glm-4.7"
    name_end, key_end, value_end = "", "</arg_key><arg_value>", "</arg_value>"
    between = ""

    def knows(self, source: str) -> bool:
        return "</arg_key><arg_value>" in source and "<tool_call>" in source
