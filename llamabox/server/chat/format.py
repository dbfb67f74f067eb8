"""Chat replies in OpenAI's shape: what a format's parser finds in the text becomes deltas, and the whole message."""

from collections.abc import Sequence
from typing import Any

from llamabox.chat import ChatParser, ContentDelta, Delta, ReasoningDelta, ToolCallStart
from llamabox.engine import TokenProbs
from llamabox.server.formats import FINISH_REASONS, Choice, OpenAIFormat
from llamabox.server.logprobs import ShownProbs, chat_logprobs


class ChatFormat(OpenAIFormat):
    """/v1/chat/completions"""

    prefix, object, chunk_object = "chatcmpl", "chat.completion", "chat.completion.chunk"


class ChatChoice(Choice):
    """A choice of /v1/chat/completions: content, reasoning and tool calls, as the parser tells them apart.

    begun  what the message began with in the request; the whole message has it, a stream only when `streams_begun`
    logprobs  tell them, with `sampled` those after the samplers under names of their own
    """

    def __init__(
        self,
        index: int,
        parser: ChatParser,
        begun: Sequence[Delta] = (),
        streams_begun: bool = True,
        logprobs: bool = False,
        sampled: bool = False,
    ):
        super().__init__(index)
        self._parser = parser
        self._logprobs, self._sampled = logprobs, sampled
        self._shown = ShownProbs()
        self._told: list[TokenProbs] = []  # of all that was said
        self._untold: list[TokenProbs] = []  # for the next part
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
        self._tell(self._shown.push(event))
        return [self._part(self._add(delta)) for delta in self._parser.push(event.text)] if event.text else []

    def nothing(self):
        return {"index": self.index, "delta": {}, "logprobs": None, "finish_reason": None}

    def end(self, event):
        self._tell(self._shown.finish())
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
        logprobs = chat_logprobs(self._told, self._sampled) if self._logprobs else None
        return {"index": self.index, "message": message, "logprobs": logprobs, "finish_reason": self._reason}

    def _tell(self, told: list[tuple[int, TokenProbs]]) -> None:
        probs = [probs for _, probs in told]
        self._told += probs
        self._untold += probs

    def _part(self, delta: dict[str, Any]) -> dict[str, Any]:
        logprobs = chat_logprobs(self._untold, self._sampled) if self._logprobs and self._untold else None
        self._untold = []
        return {"index": self.index, "delta": delta, "logprobs": logprobs, "finish_reason": self._reason}

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
