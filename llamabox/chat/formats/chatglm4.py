"""ChatGLM4 (GLM-4-9B-Chat): a call is the answer's first line and JSON below it.

get_weather
{"city": "Oslo"}

Its templates do not describe the tools of a request, and take a call and its result as messages of their own kinds.
"""

import json
import re
from collections.abc import Sequence

from llamabox.chat.formats.base import Format
from llamabox.chat.formats.calls import attempt, copy_arguments, expect_object
from llamabox.chat.formats.lark import Lark, choice, sequence, text
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import Reader, Reading, Stops
from llamabox.chat.formats.tools import Tools

INTRODUCTION = (
    "你是一个名为 ChatGLM4 的人工智能助手。你是基于智谱 AI 公司训练的语言模型 GLM-4 模型开发的，"
    "你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具"
)
ENTRY = "\n\n## {name}\n\n{schema}\n在调用上述函数时，请使用 Json 格式表示调用的参数。"
ASSISTANT = "<|assistant|>"


class ChatGlm4(Format):
    name = "chatglm4"
    describes_tools = True
    preserved = (ASSISTANT,)

    def knows(self, source: str) -> bool:
        return "[gMASK]<sop>" in source and "<arg_key>" not in source

    def adjust(self, messages: list[dict], tools: list[dict] | None) -> list[dict]:
        adjusted = [*_introduction(tools)]
        for message in messages:
            if message["role"] == "tool":
                adjusted.append({**message, "role": "observation"})
            elif "tool_calls" in message:
                adjusted += [{"role": "assistant", "content": message["content"]}] if message["content"] else []
                adjusted += map(_call, message["tool_calls"])
            else:
                adjusted.append(message)
        return adjusted

    def read(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        names = tuple(f"{name}\n" for name in tools.by_name)
        stops = Stops((ASSISTANT, *(f"\n{name}" for name in names)) if names else ())
        yield from reader.spaces(None)
        marker: str | None = ""
        while marker is not None:
            name = marker[1:] if marker.startswith("\n") else None
            if name is None and names:
                name = yield from reader.literal(*names)
            if name is not None:
                yield from attempt(reader, out, self._call(reader, out, name[:-1]), marker or name)
            marker = yield from reader.until(stops, out.content)

    def _call(self, reader: Reader, out: Output, name: str) -> Reading:
        yield from reader.spaces()
        yield from expect_object(reader)
        out.start(name)
        yield from copy_arguments(reader, out.arguments)

    def calls(self, lark: Lark, tools: Tools, parallel: bool) -> str:
        call = lark.rule("call", choice(sequence(text(f"{t.name}\n"), lark.arguments(t)) for t in tools.tools))
        return f"{call} ( {text(ASSISTANT)} {call} )*" if parallel else call

    def triggers(self, tools: Tools) -> Sequence[str]:
        names = "|".join(map(re.escape, tools.by_name))
        return (f"^(?:{names})\\n\\{{", f"(?<=\\n)(?:{names})\\n\\{{")


def _introduction(tools: list[dict] | None) -> list[dict]:
    """The message that describes the tools."""
    if not tools:
        return []
    entries = [
        ENTRY.format(name=tool["function"]["name"], schema=json.dumps(tool["function"], ensure_ascii=False, indent=4))
        for tool in tools
    ]
    return [{"role": "system", "content": INTRODUCTION + "".join(entries)}]


def _call(call: dict) -> dict:
    arguments = call["function"]["arguments"]
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"role": "assistant", "metadata": call["function"]["name"], "content": written}
