"""Tally: what has been done since the start, published as an EngineStatus after each step."""

from dataclasses import replace

from llamabox.engine.scheduler import Scheduler, Work
from llamabox.engine.status import EngineStatus, SequenceStatus


class Tally:
    """`status` may be read from any thread; the rest belongs to the thread that steps."""

    def __init__(self, n_blocks: int):
        self.status = EngineStatus(kv_blocks=n_blocks)
        self.n_predicted = 0

    def ended(self) -> None:
        """One more request is over, in whatever way."""
        self.status = replace(self.status, requests=self.status.requests + 1)

    def stepped(self, works: list[Work], seconds: float, scheduler: Scheduler) -> None:
        """Publish how things stand after a step that did these works; none: there was nothing to do."""
        s, memory = self.status, scheduler.memory
        n_rows = sum(w.count for w in works)
        n_prompt = sum(w.count for w in works if w.start + w.count <= w.sequence.n_prompt)
        per_row = seconds / n_rows if n_rows > 0 else 0.0
        self.status = replace(
            s,
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            kv_used=memory.n_used,
            kv_cached=memory.n_cached,
            steps=s.steps + bool(works),
            prompt_tokens=s.prompt_tokens + n_prompt,
            prompt_seconds=s.prompt_seconds + n_prompt * per_row,
            cached_tokens=scheduler.n_reused,
            predicted_tokens=self.n_predicted,
            predicted_seconds=s.predicted_seconds + (n_rows - n_prompt) * per_row,
            sequences=tuple(
                SequenceStatus(q.request.request_id, q.state, q.n_prompt, q.n_computed, q.n_cached, q.n_predicted)
                for q in scheduler.running
            ),
        )
