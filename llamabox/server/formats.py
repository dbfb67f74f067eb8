"""Replies as OpenAI's and llama-server's clients read them: chunk dicts from events, and whole replies from chunks."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from secrets import token_hex
from typing import Any

from llamabox.engine import FinishEvent, PromptEvent, TextEvent, Timings

FINISH_REASONS = {"eos": "stop", "word": "stop", "limit": "length"}
Events = Iterable[tuple[int, PromptEvent | TextEvent | FinishEvent] | None]


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


def usage_dict(finished: list[FinishEvent], per_prompt: int) -> dict[str, Any]:
    """OpenAI's usage, each prompt counted once, however many choices it has, and what llama-box tells beside it.

    finished    of all choices, those of one prompt in a row
    """
    prompts, t = finished[::per_prompt], total_timings(finished)
    n_prompt, n_predicted = sum(f.n_prompt for f in prompts), sum(f.n_predicted for f in finished)
    return {
        "prompt_tokens": n_prompt,
        "completion_tokens": n_predicted,
        "total_tokens": n_prompt + n_predicted,
        "prompt_tokens_details": {"cached_tokens": sum(f.timings.n_cached for f in prompts)},
        "time_to_first_token_ms": t.prompt_ms,
        "time_per_output_token_ms": t.predicted_ms / max(1, t.n_predicted),
        "prompt_tokens_per_second": 1e3 * t.n_prompt / max(1e-6, t.prompt_ms),
        "tokens_per_second": 1e3 * t.n_predicted / max(1e-6, t.predicted_ms),
        "draft_tokens": t.n_drafted,
        "draft_tokens_acceptance": t.n_accepted / max(1, t.n_drafted),
    }


def progress_dict(event: PromptEvent) -> dict[str, Any]:
    """llama-server's prompt_progress."""
    return {
        "total": event.n_total,
        "cache": event.n_cached,
        "processed": event.n_done,
        "time_ms": round(event.elapsed_ms),
    }


class Choice(ABC):
    """One choice of a reply, as its text comes. Streamed parts are dicts that stand in a chunk's `choices`."""

    def __init__(self, index: int):
        self.index = index

    def opening(self) -> list[dict[str, Any]]:
        """What is streamed before any text."""
        return []

    def computing(self, event: PromptEvent) -> None:  # noqa: B027  (most choices have no use for it)
        """The prompt is being computed."""

    @abstractmethod
    def push(self, event: TextEvent) -> list[dict[str, Any]]:
        """More text -> the parts it makes, none of them empty."""

    @abstractmethod
    def end(self, event: FinishEvent) -> list[dict[str, Any]]:
        """The last parts; the very last one has the finish reason."""

    @abstractmethod
    def nothing(self) -> dict[str, Any]:
        """A part that says nothing, for chunks that tell of something else."""

    @abstractmethod
    def whole(self) -> dict[str, Any]:
        """The choice of an unstreamed reply, once it has ended."""


class OpenAIFormat:
    """The two OpenAI shapes, which differ in their choices; see ChatFormat and CompletionsFormat."""

    prefix, object, chunk_object = "", "", ""

    def __init__(
        self,
        model: str,
        choices: Sequence[Choice],
        include_usage: bool = False,
        progress: bool = False,
        per_prompt: int | None = None,
    ):
        """progress: of prompts, told while streaming; per_prompt: choices of each prompt, None: there is one prompt"""
        self._model, self._choices, self._include_usage, self._progress = model, choices, include_usage, progress
        self._per_prompt = len(choices) if per_prompt is None else per_prompt
        self._id, self._created = f"{self.prefix}-{token_hex(12)}", int(time.time())

    def chunks(self, events: Events) -> Iterator[dict | None]:
        """Streaming: opening deltas, text, finish reasons, then the usage with empty choices when asked for."""
        finished: dict[int, FinishEvent] = {}
        for choice in self._choices:
            yield from map(self._chunk, choice.opening())
        for item in events:
            if item is None:
                yield None
                continue
            i, event = item
            if isinstance(event, FinishEvent):
                finished[i] = event
                yield from self._ended(i, finished)
            else:
                yield from self._going_on(self._choices[i], event)
        if self._include_usage:
            yield {**self._head(self.chunk_object), "choices": [], **self._account(finished)}

    def _going_on(self, choice: Choice, event: PromptEvent | TextEvent) -> Iterator[dict]:
        if isinstance(event, PromptEvent):
            choice.computing(event)
            if self._progress:
                yield self._chunk(choice.nothing()) | {"prompt_progress": progress_dict(event)}
            return
        timings = {} if event.timings is None else {"timings": timings_dict(event.timings)}
        for part in choice.push(event):
            yield self._chunk(part) | timings

    def _ended(self, i: int, finished: dict[int, FinishEvent]) -> Iterator[dict]:
        *parts, last = map(self._chunk, self._choices[i].end(finished[i]))
        if len(finished) == len(self._choices) and not self._include_usage:
            last["timings"] = self._account(finished)["timings"]
        yield from (*parts, last)

    def whole(self, events: Events) -> dict[str, Any]:
        """The unstreamed reply."""
        finished: dict[int, FinishEvent] = {}
        for item in events:
            if item is None:
                continue
            i, event = item
            if isinstance(event, FinishEvent):
                self._choices[i].end(event)
                finished[i] = event
            elif isinstance(event, PromptEvent):
                self._choices[i].computing(event)
            else:
                self._choices[i].push(event)
        choices = [choice.whole() for choice in self._choices]
        return {**self._head(self.object), "choices": choices, **self._account(finished)}

    def _account(self, finished: dict[int, FinishEvent]) -> dict[str, Any]:
        """What all of it took."""
        ended = [finished[i] for i in range(len(self._choices))]
        return {"usage": usage_dict(ended, self._per_prompt), "timings": timings_dict(total_timings(ended))}

    def _head(self, object: str) -> dict[str, Any]:
        return {"id": self._id, "object": object, "created": self._created, "model": self._model}

    def _chunk(self, part: dict[str, Any]) -> dict[str, Any]:
        chunk = {**self._head(self.chunk_object), "choices": [part]}
        if self._include_usage:
            chunk["usage"] = None
        return chunk
