"""Replies as OpenAI's and llama-server's clients read them: chunk dicts from events, and whole replies from chunks."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
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


class Choice(ABC):
    """One choice of a reply, as its text comes. Streamed parts are dicts that stand in a chunk's `choices`."""

    def __init__(self, index: int):
        self.index = index

    def opening(self) -> list[dict[str, Any]]:
        """What is streamed before any text."""
        return []

    @abstractmethod
    def push(self, event: TextEvent) -> list[dict[str, Any]]:
        """More text -> the parts it makes, none of them empty."""

    @abstractmethod
    def end(self, event: FinishEvent) -> list[dict[str, Any]]:
        """The last parts; the very last one has the finish reason."""

    @abstractmethod
    def whole(self) -> dict[str, Any]:
        """The choice of an unstreamed reply, once it has ended."""


class OpenAIFormat:
    """The two OpenAI shapes, which differ in their choices; see ChatFormat and CompletionsFormat."""

    prefix, object, chunk_object = "", "", ""

    def __init__(self, model: str, choices: Sequence[Choice], include_usage: bool = False):
        self._model, self._choices, self._include_usage = model, choices, include_usage
        self._id, self._created = f"{self.prefix}-{token_hex(12)}", int(time.time())

    def chunks(self, events: Events) -> Iterator[dict | None]:
        """Streaming: opening deltas, text, finish reasons, then the usage with empty choices when asked for."""
        finished: list[FinishEvent] = []
        for choice in self._choices:
            yield from map(self._chunk, choice.opening())
        for item in events:
            if item is None:
                yield None
                continue
            choice, event = self._choices[item[0]], item[1]
            if isinstance(event, TextEvent):
                yield from map(self._chunk, choice.push(event))
                continue
            finished.append(event)
            *parts, last = map(self._chunk, choice.end(event))
            if len(finished) == len(self._choices) and not self._include_usage:
                last["timings"] = timings_dict(total_timings(finished))
            yield from (*parts, last)
        if self._include_usage:
            last = {**self._head(self.chunk_object), "choices": []}
            yield {**last, "usage": usage_dict(finished), "timings": timings_dict(total_timings(finished))}

    def whole(self, events: Events) -> dict[str, Any]:
        """The unstreamed reply."""
        finished: dict[int, FinishEvent] = {}
        for item in events:
            if item is None:
                continue
            i, event = item
            if isinstance(event, TextEvent):
                self._choices[i].push(event)
            else:
                self._choices[i].end(event)
                finished[i] = event
        ended = [finished[i] for i in range(len(self._choices))]
        return {
            **self._head(self.object),
            "choices": [choice.whole() for choice in self._choices],
            "usage": usage_dict(ended),
            "timings": timings_dict(total_timings(ended)),
        }

    def _head(self, object: str) -> dict[str, Any]:
        return {"id": self._id, "object": object, "created": self._created, "model": self._model}

    def _chunk(self, part: dict[str, Any]) -> dict[str, Any]:
        chunk = {**self._head(self.chunk_object), "choices": [part]}
        if self._include_usage:
            chunk["usage"] = None
        return chunk


class CompletionsFormat(OpenAIFormat):
    """/v1/completions"""

    prefix, object, chunk_object = "cmpl", "text_completion", "text_completion"


class TextChoice(Choice):
    """A choice of /v1/completions: its text as it is."""

    def __init__(self, index: int):
        super().__init__(index)
        self._texts: list[str] = []
        self._reason: str | None = None

    def push(self, event):
        if event.text == "":
            return []
        self._texts.append(event.text)
        return [self._part(event.text)]

    def end(self, event):
        self._reason = FINISH_REASONS[event.reason]
        return [self._part("")]

    def whole(self):
        return self._part("".join(self._texts))

    def _part(self, text: str) -> dict[str, Any]:
        return {"index": self.index, "text": text, "logprobs": None, "finish_reason": self._reason}
