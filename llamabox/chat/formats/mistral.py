"""Mistral's models.

Nemo, 7B v3, Large, Small 3 (templates v3 to v7):  [TOOL_CALLS][{"name": ..., "arguments": {...}, "id": "abcdef123"}]
Small 3.2:                                         [TOOL_CALLS]get_weather[CALL_ID]abcdef123[ARGS]{"city": "Oslo"}
Magistral, Ministral 3, Devstral:                  [TOOL_CALLS]get_weather[ARGS]{"city": "Oslo"}
"""

import json
import re
from collections.abc import Generator

from llamabox.chat.formats.json_calls import LIST, JsonCalls, Keys
from llamabox.chat.formats.lark import Lark, sequence, text
from llamabox.chat.formats.named_calls import NamedCalls
from llamabox.chat.formats.parser import short_id
from llamabox.chat.formats.reader import Reader
from llamabox.chat.formats.thinking import Tags
from llamabox.chat.formats.tools import Tool, Tools

START, ID, ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
ID_LETTERS = re.compile(r"[A-Za-z0-9]+")
ID_RULE = "/[A-Za-z0-9]{9}/"


class MistralNemo(JsonCalls):
    name = "mistral-nemo"
    start, end, between, array = START, "", ", ", LIST
    keys = Keys(id="id")
    preserved = (START,)
    new_id = staticmethod(short_id)

    def knows(self, source: str) -> bool:
        return START in source

    def call(self, lark: Lark, tool: Tool) -> str:
        begin = f'{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "arguments": '
        return sequence(text(begin), lark.arguments(tool), text(', "id": "'), ID_RULE, text('"}'))


class MistralSmall(NamedCalls):
    name = "mistral-small-3.2"
    call_start, name_end = START, ARGUMENTS
    preserved = (START, ID, ARGUMENTS)
    new_id = staticmethod(short_id)

    def knows(self, source: str) -> bool:
        return all(mark in source for mark in self.preserved)

    def header(self, reader: Reader, tools: Tools) -> Generator[None, None, tuple[str, str]]:
        yield from reader.spaces()
        name, call_id = (yield from reader.expect(*tools.by_name)), ""
        if (yield from reader.literal(ID)) is not None:
            call_id = yield from reader.word(ID_LETTERS, 64)
        yield from reader.expect(ARGUMENTS)
        yield from reader.spaces()
        return name, call_id

    def call(self, lark: Lark, tool: Tool) -> str:
        return sequence(text(f"{START}{tool.name}{ID}"), ID_RULE, text(ARGUMENTS), lark.arguments(tool))


class Magistral(NamedCalls):
    name = "magistral"
    call_start, name_end = START, ARGUMENTS
    preserved = (START, ARGUMENTS)
    new_id = staticmethod(short_id)
    tags = Tags("[THINK]", "[/THINK]")
    loose_end = True

    def knows(self, source: str) -> bool:
        return START in source and ARGUMENTS in source and ID not in source

    def adjust(self, messages: list[dict], tools: list[dict] | None) -> list[dict]:
        """Thoughts are a part of the content, for the assistant and in the system message."""
        return [_in_parts(message) if message["role"] in ("system", "assistant") else message for message in messages]


def _in_parts(message: dict) -> dict:
    content, thoughts = message["content"], message.get("reasoning_content")
    parts = [{"type": "thinking", "thinking": thoughts}] if isinstance(thoughts, str) else []
    parts += content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    return {**{k: v for k, v in message.items() if k != "reasoning_content"}, "content": parts}
