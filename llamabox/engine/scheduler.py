"""Scheduler: which sequences run in the next step, and how many tokens of each. No arrays, no clocks."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from llamabox.engine.kv_memory import KVMemory, common_prefix
from llamabox.engine.sequence import Sequence
from llamabox.engine.slots import Slot, Slots
from llamabox.kernels import BLOCK


@dataclass(frozen=True, eq=False)
class Work:
    """One sequence's part of a step: its next `count` tokens, from position `start`.

    samples  the last of its own is the last of the sequence, so its logits give the next token
    draft    the last of the `count` tokens: guesses of what comes after the sequence's own, each to be verified
    decodes  it goes on with an answer; otherwise a prompt is computed, or computed anew
    """

    sequence: Sequence
    start: int
    count: int
    samples: bool
    draft: tuple[int, ...] = ()
    decodes: bool = False

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
    """First come, first served.

    n_running  sequences that may run at once
    slots      None: one for each of them
    """

    def __init__(self, memory: KVMemory, n_running: int, slots: Slots | None = None):
        self.memory, self._n_running = memory, n_running
        self.slots = slots if slots is not None else Slots(n_running)
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
        self.slots.leave(sequence, keep)
        if keep:
            self.memory.close(sequence.table, sequence.tokens, sequence.n_computed)
        else:
            self.memory.discard(sequence.table)

    def admit(self) -> None:
        """Let waiting sequences run while there is room. One that waits for a prefix keeps its place, one whose slot is
        busy lets others pass, and nobody passes one that KV memory is too full for."""
        room = self._n_running - len(self.running)
        for sequence in list(self.waiting):
            if room == 0:
                return
            if self._awaits_prefix(sequence):
                room -= 1
                continue
            slot = self.slots.choose(sequence)
            if slot is None:
                continue
            if not self.memory.fits(sequence.tokens, len(sequence.tokens), sequence.shares, sequence.tree):
                return
            room -= 1
            self.waiting.remove(sequence)
            self._start(sequence, slot)

    def plan(self, n_rows: int, resting: Callable[[Sequence], bool] = lambda sequence: False) -> list[Work]:
        """One token for each that decodes, and at most n_rows of prefill, shared evenly.

        A prompt that needs less than its share leaves the rest to the longer ones.
        resting  who of those that decode waits for its time
        """
        decoding = [s for s in self.running if s.is_decoding and not resting(s)]
        prefilling = sorted((s for s in self.running if not s.is_decoding), key=lambda s: s.n_left)
        works = [self._work(s, 1, s.draft) for s in decoding]
        for i, sequence in enumerate(prefilling):
            count = min(sequence.n_next, -(-n_rows // (len(prefilling) - i)))
            if count > 0:
                works.append(self._work(sequence, count))
                n_rows -= count
        return [w for w in works if w is not None]

    def shift(self) -> None:
        """Make room in the sequences whose context is full; where KV memory is too, they wait."""
        for sequence in self.running:
            if sequence.is_full and sequence.is_decoding:
                n_keep, n_discard = sequence.shift_bounds()
                if self.memory.shift(sequence.table, n_keep, n_discard, sequence.n_computed):
                    sequence.shifted(n_keep, n_discard)

    def preempt(self) -> bool:
        """The youngest sequence gives back its blocks and goes to the head of the queue, to be computed anew; False
        when it is the only one."""
        if len(self.running) < 2:
            return False
        sequence = self.running[-1]
        self.remove(sequence)
        sequence.preempted()
        self.waiting.appendleft(sequence)
        return True

    def _start(self, sequence: Sequence, slot: Slot) -> None:
        """The sequence takes its blocks and its slot."""
        table, n_cached = self.memory.open(sequence.tokens, sequence.shares, sequence.tree)
        n_min = sequence.request.n_cache_reuse
        if sequence.reuses_chunks and sequence.shares and slot.tokens and slot.adapters == sequence.adapters:
            n_cached = self.memory.reuse(table, n_cached, sequence.tokens, slot.tokens, n_min, slot.tree)
        self.slots.enter(slot, sequence)
        sequence.admitted(table, n_cached)
        self.running.append(sequence)
        self.n_reused += n_cached

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
        if sequence.is_full and sequence.is_decoding:
            return None
        end = sequence.n_computed + count
        draft = draft if count == sequence.n_left else ()
        if not self.memory.grow(sequence.table, end + len(draft)):
            draft = ()
            if not self.memory.grow(sequence.table, end):
                return None
        samples = count == sequence.n_left
        return Work(sequence, sequence.n_computed, count + len(draft), samples, draft, sequence.is_decoding)

    def _awaits_prefix(self, sequence: Sequence) -> bool:
        """True when a running sequence is just computing more of this one's prefix than the cache holds."""
        if not sequence.shares:
            return False
        cached = None
        for other in self.running:
            if other.is_decoding or not other.shares or other.tree != sequence.tree:
                continue
            n_equal = min(common_prefix(sequence.tokens, other.tokens), len(sequence.tokens) - 1)
            if n_equal < BLOCK or n_equal <= other.n_computed:
                continue
            if cached is None:
                cached = self.memory.match(sequence.tokens, sequence.tree)
            if n_equal > cached:
                return True
        return False
