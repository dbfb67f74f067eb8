"""Tally: what has been done since the start, published as an EngineStatus after each step."""

from dataclasses import replace

from llamabox.engine.scheduler import Scheduler, Work
from llamabox.engine.sequence import Sequence
from llamabox.engine.status import EngineStatus, SequenceStatus, SlotStatus


class Tally:
    """`status` and `slots` may be read from any thread; the rest belongs to the thread that steps."""

    def __init__(self, n_blocks: int, n_slots: int):
        self.status = EngineStatus(kv_blocks=n_blocks)
        self.slots = tuple(SlotStatus(id) for id in range(n_slots))
        self._n_predicted = 0
        self._n_drafts = self._n_drafted = 0
        self._accepted: list[int] = []  # by position in the draft

    def ended(self) -> None:
        """One more request is over, in whatever way."""
        self.status = replace(self.status, requests=self.status.requests + 1)

    def drafted(self, sequence: Sequence, n: int) -> None:
        """A draft of n tokens is being verified; 0: none is."""
        sequence.n_drafted += n
        self._n_drafted += n
        self._n_drafts += n > 0

    def predicted(self, sequence: Sequence, position: int | None) -> None:
        """One more token of an answer. position: where in the draft it was guessed; None: it was not."""
        self._n_predicted += 1
        if position is not None:
            sequence.n_accepted += 1
            self._accepted.extend([0] * (position + 1 - len(self._accepted)))
            self._accepted[position] += 1

    def embedded(self, n_rows: int, seconds: float) -> None:
        """A batch of embeddings was computed."""
        s = self.status
        counts = {"steps": s.steps + 1, "prompt_tokens": s.prompt_tokens + n_rows}
        self.status = replace(s, **counts, prompt_seconds=s.prompt_seconds + seconds)

    def stepped(self, works: list[Work], seconds: float, scheduler: Scheduler) -> None:
        """Publish how things stand after a step that did these works; none: there was nothing to do."""
        self.slots = tuple(slot.status for slot in scheduler.slots)
        s, memory = self.status, scheduler.memory
        n_rows = sum(w.count for w in works)
        n_prompt = sum(w.count for w in works if not w.decodes)
        per_row = seconds / n_rows if n_rows > 0 else 0.0
        self.status = replace(
            s,
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            kv_used=memory.n_used,
            kv_cached=memory.n_cached,
            steps=s.steps + bool(works),
            busy=s.busy + len(works),
            tokens_max=max([s.tokens_max, *(len(w.sequence.tokens) for w in works)]),
            prompt_tokens=s.prompt_tokens + n_prompt,
            prompt_seconds=s.prompt_seconds + n_prompt * per_row,
            cached_tokens=scheduler.n_reused,
            predicted_tokens=self._n_predicted,
            predicted_seconds=s.predicted_seconds + (n_rows - n_prompt) * per_row,
            drafts=self._n_drafts,
            drafted_tokens=self._n_drafted,
            accepted_tokens=sum(self._accepted),
            accepted_by_position=tuple(self._accepted),
            sequences=tuple(
                SequenceStatus(q.request.request_id, q.state, q.n_prompt, q.n_computed, q.n_cached, q.n_predicted)
                for q in scheduler.running
            ),
        )
