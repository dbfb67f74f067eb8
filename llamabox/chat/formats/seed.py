"""Seed-OSS.

<seed:tool_call>
<function=get_weather>
<parameter=city>Oslo</parameter>
</function>
</seed:tool_call>
"""

from llamabox.chat.formats.tagged_calls import TaggedCalls


class Seed(TaggedCalls):
    name = "seed-oss"
    call_start, name_end = "<seed:tool_call>\n<function=", ">\n"
    key_start, key_end, value_end = "<parameter=", ">", "</parameter>\n"
    call_end = "</function>\n</seed:tool_call>"
    preserved = ("<seed:tool_call>", "</seed:tool_call>")

    def knows(self, source: str) -> bool:
        return "<seed:tool_call>" in source
