"""Replies as OpenAI's and llama-server's clients read them: chunk dicts from events, and whole replies from chunks."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from secrets import token_hex
from typing import Any

from llamabox.engine import FinishEvent, TextEvent, Timings

FINISH_REASONS = {"eos": "stop", "word": "stop", "limit": "length"}
Events = Iterable[tuple[int, TextEvent | FinishEvent] | None]


def timings_dict(t: Timings) -> dict[str, Any]:
    """llama-server's timings."""
    drafts = {"draft_n": t.n_drafted, "draft_n_accepted": t.n_accepted} if t.n_drafted > 0 else {}
    return {
        "cache_n": t.n_cached,
        "prompt_n": t.n_prompt,
        "prompt_ms": t.prompt_ms,
        "prompt_per_token_ms": t.prompt_ms / max(1, t.n_prompt),
        "prompt_per_second": 1e3 * t.n_prompt / max(1e-6, t.prompt_ms),
        "predicted_n": t.n_predicted,
        "predicted_ms": t.predicted_ms,
        "predicted_per_token_ms": t.predicted_ms / max(1, t.n_predicted),
        "predicted_per_second": 1e3 * t.n_predicted / max(1e-6, t.predicted_ms),
        **drafts,
    }


def total_timings(finished: list[FinishEvent]) -> Timings:
    """One account for all choices: counts added up, the longest duration."""
    return Timings(
        n_cached=sum(f.timings.n_cached for f in finished),
        n_prompt=sum(f.timings.n_prompt for f in finished),
        prompt_ms=max(f.timings.prompt_ms for f in finished),
        n_predicted=sum(f.timings.n_predicted for f in finished),
        predicted_ms=max(f.timings.predicted_ms for f in finished),
        n_drafted=sum(f.timings.n_drafted for f in finished),
        n_accepted=sum(f.timings.n_accepted for f in finished),
    )


def usage_dict(finished: list[FinishEvent]) -> dict[str, Any]:
    """OpenAI's usage: the prompt counts once, however many choices."""
    n_prompt, n_predicted = finished[0].n_prompt, sum(f.n_predicted for f in finished)
    return {
        "prompt_tokens": n_prompt,
        "completion_tokens": n_predicted,
        "total_tokens": n_prompt + n_predicted,
        "prompt_tokens_details": {"cached_tokens": finished[0].timings.n_cached},
    }


class OpenAIFormat(ABC):
    """The two OpenAI shapes that differ in where the text stands; see ChatFormat and CompletionsFormat."""

    prefix, object, chunk_object = "", "", ""

    def __init__(self, model: str, include_usage: bool = False):
        self._model, self._include_usage = model, include_usage
        self._id, self._created = f"{self.prefix}-{token_hex(12)}", int(time.time())

    def chunks(self, events: Events, n: int) -> Iterator[dict | None]:
        """Streaming: opening deltas, text, finish reasons, then the usage with empty choices when asked for."""
        finished: list[FinishEvent] = []
        for choice in range(n):
            yield from self._opening(choice)
        for item in events:
            if item is None:
                yield None
                continue
            choice, event = item
            if isinstance(event, TextEvent):
                if event.text != "":
                    yield self._chunk([self._delta(choice, event.text, None)])
                continue
            finished.append(event)
            chunk = self._chunk([self._delta(choice, None, FINISH_REASONS[event.reason])])
            if len(finished) == n and not self._include_usage:
                chunk["timings"] = timings_dict(total_timings(finished))
            yield chunk
        if self._include_usage:
            last = self._chunk([])
            yield {**last, "usage": usage_dict(finished), "timings": timings_dict(total_timings(finished))}

    def whole(self, events: Events, n: int) -> dict[str, Any]:
        """The unstreamed reply."""
        texts: list[list[str]] = [[] for _ in range(n)]
        finished: dict[int, FinishEvent] = {}
        for item in events:
            if item is None:
                continue
            choice, event = item
            if isinstance(event, TextEvent):
                texts[choice].append(event.text)
            else:
                finished[choice] = event
        choices = [self._choice(i, "".join(texts[i]), FINISH_REASONS[finished[i].reason]) for i in range(n)]
        ended = [finished[i] for i in range(n)]
        return {
            **self._head(self.object),
            "choices": choices,
            "usage": usage_dict(ended),
            "timings": timings_dict(total_timings(ended)),
        }

    def _head(self, object: str) -> dict[str, Any]:
        return {"id": self._id, "object": object, "created": self._created, "model": self._model}

    def _chunk(self, choices: list[dict]) -> dict[str, Any]:
        chunk = {**self._head(self.chunk_object), "choices": choices}
        if self._include_usage:
            chunk["usage"] = None
        return chunk

    def _opening(self, choice: int) -> Iterator[dict]:
        return iter(())

    @abstractmethod
    def _delta(self, choice: int, text: str | None, reason: str | None) -> dict[str, Any]:
        """One choice of a streamed chunk."""

    @abstractmethod
    def _choice(self, choice: int, text: str, reason: str) -> dict[str, Any]:
        """One choice of a whole reply."""


class ChatFormat(OpenAIFormat):
    """/v1/chat/completions"""

    prefix, object, chunk_object = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def _opening(self, choice):
        delta = {"role": "assistant", "content": ""}
        yield self._chunk([{"index": choice, "delta": delta, "logprobs": None, "finish_reason": None}])

    def _delta(self, choice, text, reason):
        delta = {} if text is None else {"content": text}
        return {"index": choice, "delta": delta, "logprobs": None, "finish_reason": reason}

    def _choice(self, choice, text, reason):
        message = {"role": "assistant", "content": text}
        return {"index": choice, "message": message, "logprobs": None, "finish_reason": reason}


class CompletionsFormat(OpenAIFormat):
    """/v1/completions"""

    prefix, object, chunk_object = "cmpl", "text_completion", "text_completion"

    def _delta(self, choice, text, reason):
        return {"index": choice, "text": "" if text is None else text, "logprobs": None, "finish_reason": reason}

    def _choice(self, choice, text, reason):
        return {"index": choice, "text": text, "logprobs": None, "finish_reason": reason}
