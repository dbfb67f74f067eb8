"""DeepSeek R1 and V3 (arguments in a code block), and V3.1 (bare arguments).

R1:   <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather
      ```json
      {"city": "Oslo"}
      ```<｜tool▁call▁end｜><｜tool▁calls▁end｜>
V3.1: <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Oslo"}<｜tool▁call▁end｜>
      <｜tool▁calls▁end｜>  (without the line break)

The templates do not describe the tools of a request, so the system message does; the words are DeepSeek's own for V3.1.
"""

import json

from llamabox.chat.formats.named_calls import NamedCalls
from llamabox.chat.formats.reader import Reader, Reading
from llamabox.chat.formats.tools import Tools

BEGIN, END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, SEPARATOR, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"


DESCRIPTION = "### {name}\nDescription: {description}\n\nParameters: {parameters}"
INSTRUCTION = """## Tools
You have access to the following tools:

{tools}

IMPORTANT: ALWAYS adhere to this exact format for tool use:
{format}

Where:

- `tool_call_name` must be an exact match to one of the available tools
- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces"""


class DeepSeekV31(NamedCalls):
    name = "deepseek-v3.1"
    describes_tools = True
    section_start, section_end = BEGIN, END
    call_start, name_end, call_end = CALL, SEPARATOR, CALL_END
    preserved = (BEGIN, END, CALL, SEPARATOR, CALL_END)

    def knows(self, source: str) -> bool:
        return BEGIN in source and "```" not in source

    def adjust(self, messages: list[dict], tools: list[dict] | None) -> list[dict]:
        if not tools:
            return messages
        call = f"{self.call_start}tool_call_name{self.name_end}tool_call_arguments{self.call_end}"
        told = INSTRUCTION.format(
            tools="\n\n".join(map(_description, tools)),
            format=f"{BEGIN}{call}{{additional_tool_calls}}{END}",
        )
        if messages and messages[0]["role"] == "system" and isinstance(messages[0]["content"], str):
            return [{**messages[0], "content": f"{messages[0]['content']}\n\n{told}"}, *messages[1:]]
        return [{"role": "system", "content": told}, *messages]


class DeepSeekR1(DeepSeekV31):
    name = "deepseek-r1"
    call_start, name_end, call_end = f"{CALL}function{SEPARATOR}", "\n```json\n", f"\n```{CALL_END}"
    between = "\n"

    def knows(self, source: str) -> bool:
        return BEGIN in source and "```" in source

    def markers(self, tools: Tools) -> tuple[str, ...]:
        return (BEGIN, self.call_start)

    def footer(self, reader: Reader) -> Reading:
        for mark in ("```", CALL_END):
            yield from reader.spaces()
            yield from reader.maybe(mark)


def _description(tool: dict) -> str:
    function = tool["function"]
    parameters = json.dumps(function["parameters"], ensure_ascii=False)
    return DESCRIPTION.format(name=function["name"], description=function["description"], parameters=parameters)
