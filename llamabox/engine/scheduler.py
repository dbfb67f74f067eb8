"""Scheduler: which sequences run in the next step, and how many tokens of each. No arrays, no clocks."""

from collections import deque
from dataclasses import dataclass

from llamabox.engine.kv_memory import KVMemory, common_prefix
from llamabox.engine.sequence import Sequence
from llamabox.kernels import BLOCK


@dataclass(frozen=True, eq=False)
class Work:
    """One sequence's part of a step: its next `count` tokens, from position `start`.

    samples  the last of its own is the last of the sequence, so its logits give the next token
    draft    the last of the `count` tokens: guesses of what comes after the sequence's own, each to be verified
    """

    sequence: Sequence
    start: int
    count: int
    samples: bool
    draft: tuple[int, ...] = ()

    @property
    def n_own(self) -> int:
        """Tokens that belong to the sequence already."""
        return self.count - len(self.draft)

    @property
    def tokens(self) -> list[int]:
        """What the step computes, before anything is sampled from it."""
        return [*self.sequence.tokens[self.start : self.start + self.n_own], *self.draft]

    @property
    def want(self) -> str:
        """Which of its rows want logits; see kernels.Rows."""
        if self.draft or self.sequence.wants_prompt_rows:
            return "all"
        return "last" if self.samples else "none"

    @property
    def n_logits(self) -> int:
        """How many rows want logits."""
        return {"none": 0, "last": 1, "all": self.count}[self.want]


class Scheduler:
    """First come, first served. n_running: sequences that may run at once."""

    def __init__(self, memory: KVMemory, n_running: int):
        self.memory, self._n_running = memory, n_running
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.n_reused = 0  # tokens found in the cache, in all

    def add(self, sequence: Sequence) -> None:
        """A new sequence joins the queue."""
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence, keep: bool = True) -> None:
        """The sequence is over, at whatever stage; its blocks become free or, if keep, cache."""
        if sequence in self.waiting:
            self.waiting.remove(sequence)
            return
        self.running.remove(sequence)
        if keep:
            self.memory.close(sequence.table, sequence.tokens, sequence.n_computed)
        else:
            self.memory.discard(sequence.table)

    def admit(self) -> None:
        """Let waiting sequences run while there is room. One that waits for a prefix keeps its place."""
        room = self._n_running - len(self.running)
        for sequence in list(self.waiting)[: max(room, 0)]:
            if self._awaits_prefix(sequence):
                continue
            self.waiting.remove(sequence)
            share = sequence.request.cache_prompt
            sequence.admitted(*self.memory.open(sequence.tokens, share, sequence.adapters))
            self.running.append(sequence)
            self.n_reused += sequence.n_cached

    def plan(self, n_rows: int) -> list[Work]:
        """One token for each that decodes, and at most n_rows of prefill, shared evenly.

        A prompt that needs less than its share leaves the rest to the longer ones.
        """
        decoding = [s for s in self.running if s.is_decoding]
        prefilling = sorted((s for s in self.running if not s.is_decoding), key=lambda s: s.n_left)
        works = [self._work(s, 1, s.draft) for s in decoding]
        for i, sequence in enumerate(prefilling):
            count = min(sequence.n_next, -(-n_rows // (len(prefilling) - i)))
            if count > 0:
                works.append(self._work(sequence, count))
                n_rows -= count
        return [w for w in works if w is not None]

    def computed(self, work: Work) -> None:
        """The step has stored the keys and values of the sequence's own tokens."""
        self._advance(work.sequence, work.n_own)

    def accepted(self, work: Work, n: int) -> None:
        """The first n guesses of the draft have become tokens of the sequence; nothing remains of the others."""
        work.sequence.draft = ()
        if n > 0:
            self._advance(work.sequence, n)

    def _advance(self, sequence: Sequence, count: int) -> None:
        sequence.n_computed += count
        self.memory.publish(sequence.table, sequence.tokens, sequence.n_computed)

    def _work(self, sequence: Sequence, count: int, draft: tuple[int, ...] = ()) -> Work | None:
        """None when there is no block for it: it then waits for the next step. A draft goes without."""
        end = sequence.n_computed + count
        draft = draft if count == sequence.n_left else ()
        if not self.memory.grow(sequence.table, end + len(draft)):
            draft = ()
            if not self.memory.grow(sequence.table, end):
                return None
        return Work(sequence, sequence.n_computed, count + len(draft), count == sequence.n_left, draft)

    def _awaits_prefix(self, sequence: Sequence) -> bool:
        """True when a running sequence is just computing more of this one's prefix than the cache holds."""
        if not sequence.request.cache_prompt:
            return False
        cached = None
        for other in self.running:
            if other.is_decoding or not other.request.cache_prompt or other.adapters != sequence.adapters:
                continue
            n_equal = min(common_prefix(sequence.tokens, other.tokens), len(sequence.tokens) - 1)
            if n_equal < BLOCK or n_equal <= other.n_computed:
                continue
            if cached is None:
                cached = self.memory.match(sequence.tokens, sequence.adapters)
            if n_equal > cached:
                return True
        return False
