"""gpt-oss: messages in channels ("harmony"). The prompt ends with <|start|>assistant.

<|channel|>analysis<|message|>thoughts<|end|>
<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Oslo"}<|call|>
<|start|>assistant<|channel|>final<|message|>text<|return|>     (all without line breaks)
"""

import re
from collections.abc import Callable, Sequence

from llamabox.chat.formats.base import Format
from llamabox.chat.formats.calls import attempt, copy_arguments, expect_object
from llamabox.chat.formats.lark import Lark, choice, sequence, text
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import MismatchError, Reader, Reading, Stops, TextEndError
from llamabox.chat.formats.thinking import Tags, Thinking
from llamabox.chat.formats.tools import Tool, Tools

START, CHANNEL, MESSAGE, CONSTRAIN = "<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"
END, CALL, RETURN = "<|end|>", "<|call|>", "<|return|>"
ASSISTANT, FUNCTIONS = f"{START}assistant", "functions."
ANALYSIS, FINAL = f"{CHANNEL}analysis{MESSAGE}", f"{CHANNEL}final{MESSAGE}"
ENDS = Stops((END, CALL, RETURN, START))
HEADER_ENDS = Stops((MESSAGE,))
MAX_HEADER = 400
RECIPIENT = re.compile(r"\bto=([^\s<]+)")
CALL_HEADER = '( " <|constrain|>json" | " json" )?'


class GptOss(Format):
    name = "gpt-oss"
    tags = Tags(ANALYSIS, END)
    exact = True  # " to=functions..." may be the beginning
    preserved = (CHANNEL, CONSTRAIN, MESSAGE, START, END)

    def knows(self, source: str) -> bool:
        return CHANNEL in source and "<|message|>" in source

    def adjust(self, messages: list[dict], tools: list[dict] | None) -> list[dict]:
        """The template refuses content beside thoughts and calls."""
        return [
            {**message, "content": ""} if "tool_calls" in message and "thinking" in message else message
            for message in messages
        ]

    def beginning(self, prompt: str, tags: Tags | None, content: str | None, thoughts: str) -> str:
        begun = f"{ASSISTANT}{ANALYSIS}{thoughts}"
        return begun if content is None else f"{begun}{END}{ASSISTANT}{FINAL}{content}"

    def read(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        while (yield from reader.char()):
            begun = yield from reader.literal(START, CHANNEL, " to=")
            if begun is None:
                yield from self._body(reader, out.content)
            else:
                yield from attempt(reader, out, self._message(reader, out, tools, begun), begun)

    def _message(self, reader: Reader, out: Output, tools: Tools, header: str) -> Reading:
        """Reads a message from its header on."""

        def collect(piece: str) -> None:
            nonlocal header
            header += piece
            if len(header) > MAX_HEADER:
                raise MismatchError

        if (yield from reader.until(HEADER_ENDS, collect)) is None:
            raise TextEndError
        found = RECIPIENT.search(header)
        recipient = found[1] if found else "assistant"
        if recipient != "assistant" and tools:
            yield from self._call(reader, out, tools, recipient)
            return
        reader.record()
        if recipient != "assistant":  # a call that nobody asked for
            yield from self._body(reader, lambda piece: None)
        elif f"{CHANNEL}analysis" in header:
            out.tag(header + MESSAGE)
            yield from self._body(reader, out.thought)
            out.tag(END)
        else:
            yield from self._body(reader, out.content)

    def _call(self, reader: Reader, out: Output, tools: Tools, recipient: str) -> Reading:
        name = recipient.removeprefix(FUNCTIONS)
        if not recipient.startswith(FUNCTIONS) or name not in tools.by_name:
            raise MismatchError
        yield from reader.spaces()
        yield from expect_object(reader)
        out.start(name)
        yield from copy_arguments(reader, out.arguments)
        yield from reader.literal(CALL, END)

    def _body(self, reader: Reader, emit: Callable[[str], None]) -> Reading:
        if (yield from reader.until(ENDS, emit)) == START:
            reader.unread(START)

    def thoughts(self, lark: Lark, thinking: Thinking) -> str:
        if thinking.closed:
            return ""
        part = sequence(lark.until(END), text(ASSISTANT))
        return part if thinking.opened else f"( {text(ANALYSIS)} {part} )?"

    def calls(self, lark: Lark, tools: Tools, parallel: bool) -> str:
        return lark.rule("call", choice(self._one(lark, tool) for tool in tools.tools))

    def _one(self, lark: Lark, tool: Tool) -> str:
        to, channel = (
            text(f" to={FUNCTIONS}{tool.name}"),
            choice([text(f"{CHANNEL}commentary"), text(f"{CHANNEL}analysis")]),
        )
        header = choice([sequence(channel, to), sequence(to, channel)])
        return sequence(header, CALL_HEADER, text(MESSAGE), lark.arguments(tool))

    def answer(self, lark: Lark, expression: str) -> str:
        """The final message with such content."""
        return sequence(text(FINAL), expression)

    def triggers(self, tools: Tools) -> Sequence[str]:
        return (
            rf"{re.escape(CHANNEL)}(?:commentary|analysis) to={FUNCTIONS}",
            rf"(?:^|(?<={re.escape(ASSISTANT)})) to={FUNCTIONS}",
        )
