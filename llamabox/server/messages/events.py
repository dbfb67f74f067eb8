"""Chat chunks -> the events of the Messages API, and the whole message from those.

message_start
  content_block_start, content_block_delta ..., content_block_stop      for each thinking, text or tool_use block
message_delta (stop_reason, usage)
message_stop
"""

from collections.abc import Iterable, Iterator
from secrets import token_hex
from typing import Any

import msgspec

from llamabox.engine import FinishEvent

Event = dict[str, Any]
STARTS = {"thinking": {"type": "thinking", "thinking": "", "signature": ""}, "text": {"type": "text", "text": ""}}
DELTAS = {"thinking": ("thinking_delta", "thinking"), "text": ("text_delta", "text")}


class MessageEvents:
    """Makes the events of one message.

    finished  gets the generation's FinishEvent before the last chunk comes: it knows which stop sequence it was
    """

    def __init__(self, model: str, n_prompt: int, finished: list[FinishEvent]):
        self._model, self._n_prompt, self._finished = model, n_prompt, finished
        self._id = f"msg_{token_hex(12)}"
        self._index = -1
        self._kind: str | None = None  # of the block that is open

    def events(self, chunks: Iterable[dict | None]) -> Iterator[Event | None]:
        """One event for each thing that happens; None where chunks has it, and at most one ping for several."""
        usage: dict[str, Any] = {}
        reason = "stop"
        yield {"type": "message_start", "message": self._message([], None, None, self._n_prompt, 0, 0)}
        for chunk in chunks:
            if chunk is None:
                yield None
                continue
            for choice in chunk["choices"]:
                yield from self._delta(choice["delta"])
                reason = choice["finish_reason"] if choice["finish_reason"] is not None else reason
            usage = chunk.get("usage") or usage
        yield from self._close()
        stopped = {"stop_reason": self._stop_reason(reason), "stop_sequence": self._stop_sequence()}
        yield {"type": "message_delta", "delta": stopped, "usage": _usage(usage)}
        yield {"type": "message_stop"}

    def whole(self, chunks: Iterable[dict | None]) -> dict[str, Any]:
        """The unstreamed message."""
        blocks: list[dict[str, Any]] = []
        pieces: list[str] = []
        for event in self.events(chunks):
            if event is None:
                continue
            if event["type"] == "content_block_start":
                blocks.append(dict(event["content_block"]))
                pieces = []
            elif event["type"] == "content_block_delta":
                delta = event["delta"]
                pieces.append(delta.get("text", delta.get("thinking", delta.get("partial_json", ""))))
            elif event["type"] == "content_block_stop":
                _fill(blocks[-1], "".join(pieces))
            elif event["type"] == "message_delta":
                last = event
        stopped, usage = last["delta"], last["usage"]
        message = self._message(blocks, stopped["stop_reason"], stopped["stop_sequence"], 0, 0, 0)
        return {**message, "usage": usage}

    def _delta(self, delta: dict[str, Any]) -> Iterator[Event]:
        for kind, text in (("thinking", delta.get("reasoning_content")), ("text", delta.get("content"))):
            if text:
                if self._kind != kind:
                    yield from self._open(kind, STARTS[kind])
                type, field = DELTAS[kind]
                yield self._block_delta({"type": type, field: text})
        for call in delta.get("tool_calls") or []:
            function = call.get("function", {})
            if "id" in call:
                block = {"type": "tool_use", "id": call["id"], "name": function["name"], "input": {}}
                yield from self._open("tool_use", block)
            if function.get("arguments"):
                yield self._block_delta({"type": "input_json_delta", "partial_json": function["arguments"]})

    def _open(self, kind: str, block: dict[str, Any]) -> Iterator[Event]:
        yield from self._close()
        self._kind = kind
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _close(self) -> Iterator[Event]:
        if self._kind == "thinking":  # clients expect a signature; there is nobody here to sign
            yield self._block_delta({"type": "signature_delta", "signature": ""})
        if self._kind is not None:
            yield {"type": "content_block_stop", "index": self._index}
        self._kind = None

    def _block_delta(self, delta: dict[str, Any]) -> Event:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _stop_sequence(self) -> str | None:
        return next((f.stopping_word for f in self._finished if f.reason == "word"), None)

    def _stop_reason(self, reason: str) -> str:
        if reason == "tool_calls":
            return "tool_use"
        if reason == "length":
            return "max_tokens"
        return "end_turn" if self._stop_sequence() is None else "stop_sequence"

    def _message(self, content, stop_reason, stop_sequence, n_input: int, n_cached: int, n_output: int) -> Event:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": stop_sequence,
            "usage": _usage_of(n_input, n_cached, n_output),
        }


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Anthropic counts cached tokens apart from the input's others."""
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return _usage_of(usage["prompt_tokens"] - cached, cached, usage["completion_tokens"])


def _usage_of(n_input: int, n_cached: int, n_output: int) -> dict[str, Any]:
    return {
        "input_tokens": n_input,
        "cache_read_input_tokens": n_cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": n_output,
    }


def _fill(block: dict[str, Any], text: str) -> None:
    if block["type"] != "tool_use":
        block[block["type"]] = text
        return
    try:
        arguments = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        arguments = None  # cut off by max_tokens, or not JSON: Anthropic's shape has no place for that text
    block["input"] = arguments if isinstance(arguments, dict) else {}
