"""Chat replies in OpenAI's shape: what a format's parser finds in the text becomes deltas, and the whole message."""

from collections.abc import Sequence
from typing import Any

from llamabox.chat import ChatParser, ContentDelta, Delta, ReasoningDelta, ToolCallStart
from llamabox.server.formats import FINISH_REASONS, Choice, OpenAIFormat


class ChatFormat(OpenAIFormat):
    """/v1/chat/completions"""

    prefix, object, chunk_object = "chatcmpl", "chat.completion", "chat.completion.chunk"


class ChatChoice(Choice):
    """A choice of /v1/chat/completions: content, reasoning and tool calls, as the parser tells them apart.

    begun  what the message began with in the request; the whole message has it, a stream only when `streams_begun`
    """

    def __init__(self, index: int, parser: ChatParser, begun: Sequence[Delta] = (), streams_begun: bool = True):
        super().__init__(index)
        self._parser = parser
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._arguments: list[list[str]] = []
        self._reason: str | None = None
        parts = [self._part(self._add(delta)) for delta in begun]
        self._opening = [self._part({"role": "assistant", "content": ""}), *(parts if streams_begun else ())]

    def opening(self):
        return self._opening

    def push(self, event):
        return [self._part(self._add(delta)) for delta in self._parser.push(event.text)] if event.text else []

    def end(self, event):
        deltas = [self._part(self._add(delta)) for delta in self._parser.finish()]
        reason = FINISH_REASONS[event.reason]
        self._reason = "tool_calls" if reason == "stop" and self._calls else reason
        return [*deltas, self._part({})]

    def whole(self):
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._content)}
        if self._calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = [
                _with_arguments(call, "".join(texts)) for call, texts in zip(self._calls, self._arguments, strict=True)
            ]
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        return {"index": self.index, "message": message, "logprobs": None, "finish_reason": self._reason}

    def _part(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"index": self.index, "delta": delta, "logprobs": None, "finish_reason": self._reason}

    def _add(self, delta: Delta) -> dict[str, Any]:
        """Remember a delta for the whole message; returns it in OpenAI's shape."""
        if isinstance(delta, ContentDelta):
            self._content.append(delta.text)
            return {"content": delta.text}
        if isinstance(delta, ReasoningDelta):
            self._reasoning.append(delta.text)
            return {"reasoning_content": delta.text}
        if isinstance(delta, ToolCallStart):
            function = {"name": delta.name, "arguments": ""}
            self._calls.append({"id": delta.id, "type": "function", "function": function})
            self._arguments.append([])
            return {"tool_calls": [{"index": delta.index, **self._calls[-1]}]}
        self._arguments[delta.index].append(delta.text)
        return {"tool_calls": [{"index": delta.index, "function": {"arguments": delta.text}}]}


def _with_arguments(call: dict[str, Any], arguments: str) -> dict[str, Any]:
    return {**call, "function": {**call["function"], "arguments": arguments}}
