"""Chat chunks -> the typed events of the Responses API; the last one holds the whole response.

response.created, response.in_progress
  response.output_item.added                      a reasoning, message or function_call item opens
    response.content_part.added                   (not for function calls)
      response.output_text.delta ...              or reasoning_text, or function_call_arguments
      response.output_text.done
    response.content_part.done
  response.output_item.done
response.completed, or response.incomplete
"""

import time
from collections.abc import Callable, Iterable, Iterator
from secrets import token_hex
from typing import Any

from llamabox.server.responses.body import ResponsesBody
from llamabox.server.responses.items import FunctionCallItem, Item, MessageItem, ReasoningItem

Event = dict[str, Any]


class ResponseEvents:
    """Makes the events of one response. After the last one `response` is the whole of it.

    count  how many tokens a text has; usage tells how many went into reasoning
    """

    def __init__(self, body: ResponsesBody, model: str, count: Callable[[str], int]):
        self.response = _opening(body, model)
        self._count = count
        self._item: Item | None = None
        self._number = 0

    def events(self, chunks: Iterable[dict | None]) -> Iterator[Event | None]:
        """One event for each thing that happens; None where chunks has it (nothing happened for a moment)."""
        yield self._whole("response.created")
        yield self._whole("response.in_progress")
        reason = None
        for chunk in chunks:
            if chunk is None:
                yield None
                continue
            for choice in chunk["choices"]:
                yield from self._delta(choice)
                reason = choice["finish_reason"] if choice["finish_reason"] is not None else reason
            if chunk.get("usage") is not None:
                self.response["usage"] = self._usage(chunk["usage"])
        incomplete = reason == "length"
        yield from self._close("incomplete" if incomplete else "completed")
        if incomplete:
            self.response["incomplete_details"] = {"reason": "max_output_tokens"}
        self.response["status"] = "incomplete" if incomplete else "completed"
        self.response["completed_at"] = int(time.time())
        yield self._whole("response.incomplete" if incomplete else "response.completed")

    def whole(self, chunks: Iterable[dict | None]) -> dict[str, Any]:
        """The unstreamed response."""
        for _ in self.events(chunks):
            pass
        return self.response

    def _delta(self, choice: dict[str, Any]) -> Iterator[Event]:
        delta = choice["delta"]
        if delta.get("reasoning_content"):
            yield from self._open(ReasoningItem)
            yield from self._grow(delta["reasoning_content"], None)
        logprobs = choice.get("logprobs") or {}
        if delta.get("content"):
            yield from self._open(MessageItem)
            yield from self._grow(delta["content"], logprobs.get("content"))
        for call in delta.get("tool_calls") or []:
            if "id" in call:
                yield from self._close("completed")
                yield from self._start(FunctionCallItem(call["id"], call["function"]["name"]))
            if call.get("function", {}).get("arguments"):
                yield from self._grow(call["function"]["arguments"], None)

    def _open(self, kind: type[MessageItem] | type[ReasoningItem]) -> Iterator[Event]:
        """An item of this kind is the one that grows."""
        if isinstance(self._item, kind):
            return
        yield from self._close("completed")
        yield from self._start(kind())

    def _start(self, item: Item) -> Iterator[Event]:
        self._item = item
        yield self._event("response.output_item.added", item=item.whole("in_progress"))
        if item.part("") is not None:
            yield self._event("response.content_part.added", item_id=item.id, content_index=0, part=item.part(""))

    def _grow(self, text: str, logprobs: list | None) -> Iterator[Event]:
        assert self._item is not None
        self._item.grow(text, logprobs)
        yield self._item_event("delta", delta=text, **self._item.delta_fields(logprobs))

    def _close(self, status: str) -> Iterator[Event]:
        item = self._item
        if item is None:
            return
        yield self._item_event("done", **item.done_fields())
        if item.part("") is not None:
            yield self._event("response.content_part.done", item_id=item.id, content_index=0, part=item.part(item.text))
        whole = item.whole(status)
        yield self._event("response.output_item.done", item=whole)
        self.response["output"].append(whole)
        self._item = None

    def _item_event(self, what: str, **fields: Any) -> Event:
        assert self._item is not None
        place = {} if self._item.part("") is None else {"content_index": 0}
        return self._event(f"response.{self._item.event}.{what}", item_id=self._item.id, **place, **fields)

    def _event(self, kind: str, **fields: Any) -> Event:
        return self._numbered({"type": kind, "output_index": len(self.response["output"]), **fields})

    def _whole(self, kind: str) -> Event:
        return self._numbered({"type": kind, "response": {**self.response, "output": list(self.response["output"])}})

    def _numbered(self, event: Event) -> Event:
        event["sequence_number"] = self._number
        self._number += 1
        return event

    def _usage(self, usage: dict[str, Any]) -> dict[str, Any]:
        reasoning = sum(
            self._count(part["text"])
            for item in self.response["output"]
            if item["type"] == "reasoning"
            for part in item["content"]
        )
        if isinstance(self._item, ReasoningItem):
            reasoning += self._count(self._item.text)
        cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
        return {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": min(reasoning, usage["completion_tokens"])},
            "total_tokens": usage["total_tokens"],
        }


def _opening(body: ResponsesBody, model: str) -> dict[str, Any]:
    """The response before anything is generated: what was asked for, as OpenAI repeats it."""
    reasoning = body.reasoning or {}
    return {
        "id": f"resp_{token_hex(12)}",
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata if body.metadata is not None else {},
        "model": model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "store": False,
        "temperature": body.temperature,
        "text": body.text if body.text is not None else {"format": {"type": "text"}},
        "tool_choice": body.tool_choice if body.tool_choice is not None else "auto",
        "tools": body.tools if body.tools is not None else [],
        "top_logprobs": body.top_logprobs if body.top_logprobs is not None else 0,
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    }
