"""KVCache: the pool of KV blocks. Which sequence owns which block is the engine's business (engine/kv_memory.py).

A block holds BLOCK positions of one sequence, in every layer. Per layer there is one K and one V array,
(n_blocks, n_head_kv, BLOCK, head_dim), so the keys of one head in one block are contiguous.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 32
CACHE_TYPES = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16}  # bf16: its upper 16 bits of an f32


@dataclass(frozen=True)
class KVShape:
    """Heads and head sizes of one layer's cache row."""

    n_head_kv: int
    k_dim: int
    v_dim: int


class KVCache:
    """K and V of every layer, in blocks.

    k, v           lists, one array a layer: (n_blocks, K, BLOCK, E)
    type_k, type_v names in CACHE_TYPES
    """

    def __init__(self, shapes: list[KVShape], n_blocks: int, type_k: str = "f16", type_v: str = "f16", xp: Any = np):
        for flag, name in (("cache_type_k", type_k), ("cache_type_v", type_v)):
            if name not in CACHE_TYPES:
                raise ValueError(f"{flag}: found {name!r}, expected one of {', '.join(CACHE_TYPES)}")
        self.n_blocks, self.type_k, self.type_v = n_blocks, type_k, type_v
        self.k = [xp.zeros((n_blocks, s.n_head_kv, BLOCK, s.k_dim), CACHE_TYPES[type_k]) for s in shapes]
        self.v = [xp.zeros((n_blocks, s.n_head_kv, BLOCK, s.v_dim), CACHE_TYPES[type_v]) for s in shapes]

    @property
    def size_bytes(self) -> int:
        return sum(a.nbytes for a in self.k + self.v)

    def copy_block(self, source: int, target: int) -> None:
        """Copy all positions of one block, in every layer."""
        for array in self.k + self.v:
            array[target] = array[source]


def encode(x: Any, type_name: str) -> Any:
    """f32 values as the cache stores them; bf16 rounds to nearest even."""
    if type_name == "bf16":
        bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return x.astype(CACHE_TYPES[type_name])


def decode(x: Any, type_name: str) -> Any:
    """Cache values as f32."""
    if type_name == "bf16":
        return (x.astype(np.uint32) << 16).view(np.float32)
    return x.astype(np.float32)
