"""Slots: a stable number for each sequence that runs, and what the last one in a slot left behind.

A slot owns no memory: KV blocks are found by their tokens, whichever slot computed them (kv_memory.py). It is a name,
for GET /slots and for saving, restoring and erasing; and it remembers one sequence of tokens, of which a request with
n_cache_reuse may take chunks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from llamabox.engine.kv_memory import common_prefix
from llamabox.engine.sequence import Sequence
from llamabox.engine.status import SlotStatus
from llamabox.kernels import BLOCK
from llamabox.models import AdapterSet


@dataclass(eq=False)
class Slot:
    """sequence: the one that runs in it, or None; tokens: of the last one that ran in it, as far as they were cached.

    id_task  counts the sequences that any slot has had; -1: none yet
    adapters, tree  of that sequence: where KVMemory has the tokens
    """

    id: int
    sequence: Sequence | None = None
    tokens: list[int] = field(default_factory=list)
    adapters: AdapterSet = ()
    tree: tuple[AdapterSet, bool] = ((), False)
    id_task: int = -1

    @property
    def status(self) -> SlotStatus:
        s = self.sequence
        if s is None:
            return SlotStatus(self.id, self.id_task, n_computed=len(self.tokens))
        counts = s.n_prompt, s.n_computed, s.n_cached, s.n_predicted
        return SlotStatus(self.id, self.id_task, s.state, s.request, *counts, s.has_new_line)


class Slots:
    """similarity: what share of a prompt the tokens of a slot must begin with, so that it is preferred; 0: none is."""

    def __init__(self, n: int, similarity: float = 0.5):
        self._slots = [Slot(id) for id in range(n)]
        self._by_age = list(self._slots)  # the least recently used first
        self._similarity = similarity
        self._n_tasks = 0

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def __getitem__(self, id: int) -> Slot:
        return self._slots[id]

    def choose(self, sequence: Sequence) -> Slot | None:
        """The slot for a sequence; None while the one that it asks for is busy.

        The one it asks for (of more than there are, the remainder counts), else the one whose tokens are most similar
        to its prompt, else the least recently used. Source: llama-server's get_available_slot
        """
        wanted = sequence.request.id_slot
        if wanted >= 0:
            slot = self._slots[wanted % len(self._slots)]
            return slot if slot.sequence is None else None
        free = [slot for slot in self._by_age if slot.sequence is None]
        if self._similarity > 0:
            shares = [common_prefix(s.tokens, sequence.tokens) / len(sequence.tokens) for s in free]
            best = max(range(len(free)), key=shares.__getitem__)
            if shares[best] > self._similarity:
                return free[best]
        return free[0]

    def enter(self, slot: Slot, sequence: Sequence) -> None:
        """The sequence runs in this slot."""
        slot.sequence, sequence.slot = sequence, slot.id
        slot.id_task, self._n_tasks = self._n_tasks, self._n_tasks + 1
        self._by_age.remove(slot)
        self._by_age.append(slot)

    def leave(self, sequence: Sequence, keep: bool) -> None:
        """The sequence runs no more; it still has its blocks.  keep: they become cache"""
        slot = self._slots[sequence.slot]
        slot.sequence, slot.adapters, slot.tree = None, sequence.adapters, sequence.tree
        n_shared = sequence.n_computed if sequence.table.share else len(sequence.table.nodes) * BLOCK
        slot.tokens = sequence.tokens[: n_shared if keep else 0]
