"""Qwen3-Coder, Qwen3.5, Nemotron 3 Nano, StepFun 3.5.

<tool_call>
<function=get_weather>
<parameter=city>
Oslo
</parameter>
</function>
</tool_call>
"""

from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import Reader, Reading
from llamabox.chat.formats.tagged_calls import TaggedCalls
from llamabox.chat.formats.tools import Tools


class QwenCoder(TaggedCalls):
    name = "qwen3-coder"
    preserved = ("<tool_call>", "</tool_call>")
    early = ("<tool_call>",)
    loose_start = loose_end = True
    framed = True

    def knows(self, source: str) -> bool:
        return all(mark in source for mark in ("<tool_call>", "<function=", "<parameter="))

    def markers(self, tools: Tools) -> tuple[str, ...]:
        return ("<tool_call>", *map(bare, tools.by_name))

    def section(self, reader: Reader, out: Output, tools: Tools, marker: str) -> Reading:
        name = next((name for name in tools.by_name if bare(name) == marker), None)
        if name is None:
            yield from super().section(reader, out, tools, marker)
        else:  # the model left out <tool_call>
            yield from self.arguments(reader, out, tools.by_name[name])

    def triggers(self, tools: Tools) -> tuple[str, ...]:
        return ("<tool_call>",)


def bare(name: str) -> str:
    """How a call begins when its first tag is missing."""
    return f"<function={name}>"
