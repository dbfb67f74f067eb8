"""SlotActions: what POST /slots does to an idle slot, between two steps, on the thread that steps."""

from functools import cached_property

import numpy as np

from llamabox.engine.options import EngineOptions
from llamabox.engine.request import RequestError
from llamabox.engine.scheduler import Scheduler
from llamabox.engine.slot_state import SlotLayout, SlotState
from llamabox.kernels import BLOCK, KVCache
from llamabox.models.fingerprint import fingerprint


class SlotActions:
    """For one engine."""

    def __init__(self, model, options: EngineOptions, kv: KVCache, scheduler: Scheduler):
        self._model, self._options, self._kv, self._scheduler = model, options, kv, scheduler

    @cached_property
    def layout(self) -> SlotLayout:
        """What a saved slot must agree with."""
        rows = [pool.shape[1] * pool.shape[3] * pool.dtype.itemsize for pool in self._pools]
        return SlotLayout(
            fingerprint(self._model),
            self._kv.type_k,
            self._kv.type_v,
            tuple(zip(rows[::2], rows[1::2], strict=True)),
            self._model.config.n_vocab,
            self._options.n_seq,
        )

    def save(self, id: int) -> SlotState:
        """A copy of what the slot holds, as far as it is still cached.

        Errors:  RequestError where it was computed with LoRA adapters
        """
        slot = self._scheduler.slots[id]
        if slot.adapters:
            raise RequestError(f"slot {id} was computed with LoRA adapters: only what has none can be saved", "id_slot")
        nodes, n_tokens = self._scheduler.memory.held(slot.tokens, slot.tree)
        blocks = np.array([node.block for node in nodes], np.int64)
        arrays = [self._model.ops.to_numpy(pool[blocks]) for pool in self._pools]  # (N, K, BLOCK, E)
        rows = [a.transpose(0, 2, 1, 3).reshape(len(blocks) * BLOCK, a.shape[1] * a.shape[3]) for a in arrays]
        return SlotState(slot.tokens[:n_tokens], [r[:n_tokens].view(np.uint8) for r in rows], slot.tree[1])

    def restore(self, id: int, state: SlotState, moved: bool) -> None:
        """The slot holds this from now on, and later prompts that begin like it need not compute it.

        moved  it is for requests that may get moved cells
        Errors:  RequestError where KV memory has no room
        """
        slot, memory = self._scheduler.slots[id], self._scheduler.memory
        tree = ((), moved or state.moved)
        table, n_cached = memory.open([*state.tokens, -1], True, tree)
        if not memory.grow(table, len(state.tokens)):
            memory.close(table, state.tokens, n_cached)
            raise RequestError(f"slot {id}: KV memory has no room for {len(state.tokens)} tokens", "id_slot")
        cells = np.arange(n_cached, len(state.tokens))
        blocks, offsets = np.array(table.blocks)[cells // BLOCK], cells % BLOCK
        for pool, rows in zip(self._pools, state.arrays, strict=True):
            self._model.ops.store_rows(pool, blocks, offsets, rows[n_cached:])
        memory.close(table, state.tokens, len(state.tokens))
        slot.tokens, slot.adapters, slot.tree = list(state.tokens), (), tree

    def erase(self, id: int) -> int:
        """The slot holds nothing from now on, nor KV memory what only it needed -> how many tokens it held."""
        slot = self._scheduler.slots[id]
        n_tokens = len(slot.tokens)
        self._scheduler.memory.forget(slot.tokens, slot.tree)
        slot.tokens = []
        return n_tokens

    @property
    def _pools(self) -> list:
        """Keys and values of each layer in turn."""
        return [pool for pair in zip(self._kv.k, self._kv.v, strict=True) for pool in pair]
