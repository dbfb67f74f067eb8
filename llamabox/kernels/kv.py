"""KVCache: the pool of KV blocks. Which sequence owns which block is the engine's business (engine/kv_memory.py).

A block holds BLOCK positions of one sequence, in every layer. Per layer there is one K and one V array,
(n_blocks, n_head_kv, BLOCK, head_dim), so the keys of one head in one block are contiguous. A quantised type has the
bytes of its GGUF blocks on the last axis: a head's 32 values make one, so a head must be a multiple of 32 long.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from llamabox.gguf import GGMLType, dequantize
from llamabox.gguf.quant import PACK
from llamabox.gguf.quant.iq import iq4_nl

BLOCK = 32
CACHE_TYPES = {
    type.name.lower(): type
    for type in (
        GGMLType.F32,
        GGMLType.F16,
        GGMLType.BF16,
        GGMLType.Q8_0,
        GGMLType.Q4_0,
        GGMLType.Q4_1,
        GGMLType.IQ4_NL,
        GGMLType.Q5_0,
        GGMLType.Q5_1,
    )
}
PLAIN = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16}  # bf16: its upper 16 bits of an f32
PACKERS = {**PACK, GGMLType.IQ4_NL: iq4_nl}


@dataclass(frozen=True)
class KVShape:
    """Heads and head sizes of one layer's cache row."""

    n_head_kv: int
    k_dim: int
    v_dim: int


class KVCache:
    """K and V of every layer, in blocks.

    k, v           lists, one array a layer: (n_blocks, K, BLOCK, E), or (..., bytes of E values) of a quantised type
    type_k, type_v names in CACHE_TYPES
    """

    def __init__(self, shapes: list[KVShape], n_blocks: int, type_k: str = "f16", type_v: str = "f16", xp: Any = np):
        check_types(shapes, type_k, type_v)
        self.n_blocks, self.type_k, self.type_v = n_blocks, type_k, type_v
        self.k = [xp.zeros((n_blocks, s.n_head_kv, BLOCK, row_length(s.k_dim, type_k)), dtype(type_k)) for s in shapes]
        self.v = [xp.zeros((n_blocks, s.n_head_kv, BLOCK, row_length(s.v_dim, type_v)), dtype(type_v)) for s in shapes]

    @property
    def size_bytes(self) -> int:
        return sum(a.nbytes for a in self.k + self.v)

    def describe(self) -> str:
        """How large it is, and where."""
        return f"{self.size_bytes / 2**20:.1f} MiB"

    def copy_block(self, source: int, target: int) -> None:
        """Copy all positions of one block, in every layer."""
        for array in self.k + self.v:
            array[target] = array[source]


def check_types(shapes: list[KVShape], type_k: str, type_v: str) -> None:
    """ValueError for a name that is none of CACHE_TYPES, or a type that these heads cannot be stored in."""
    for flag, name in (("cache_type_k", type_k), ("cache_type_v", type_v)):
        if name not in CACHE_TYPES:
            raise ValueError(f"{flag}: found {name!r}, expected one of {', '.join(CACHE_TYPES)}")
        if name in PLAIN:
            continue
        for layer, shape in enumerate(shapes):
            size, block = shape.k_dim if flag == "cache_type_k" else shape.v_dim, CACHE_TYPES[name].block_size
            if size % block != 0:
                raise ValueError(
                    f"{flag}: found {name}, which stores {block} values at a time, and heads of {size} values in layer "
                    f"{layer}; expected one of {', '.join(PLAIN)}"
                )


def dtype(type_name: str) -> Any:
    """What arrays of a cache type are made of."""
    return PLAIN.get(type_name, np.uint8)


def row_length(size: int, type_name: str) -> int:
    """How many of those hold a row of `size` values."""
    return size if type_name in PLAIN else CACHE_TYPES[type_name].row_bytes(size)


def cell_bytes(shape: KVShape, type_k: str, type_v: str) -> int:
    """Bytes of one position in one layer."""
    rows = ((shape.k_dim, type_k), (shape.v_dim, type_v))
    return shape.n_head_kv * sum(np.dtype(dtype(name)).itemsize * row_length(size, name) for size, name in rows)


def encode(x: Any, type_name: str) -> Any:
    """f32 values (..., E) as the cache stores them, rounded as ggml's reference does; bf16 to nearest even.

    A block with a value that is not finite is read back without a finite value.
    """
    if type_name == "bf16":
        bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    if type_name in PLAIN:
        return x.astype(PLAIN[type_name])
    x, type = np.ascontiguousarray(x, np.float32), CACHE_TYPES[type_name]
    values = x.reshape(-1, type.block_size)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        blocks = PACKERS[type](values)
    blocks[~np.isfinite(values).all(axis=1), :2] = np.array([np.nan], np.float16).view(np.uint8)  # the scale
    return blocks.reshape(*x.shape[:-1], type.row_bytes(x.shape[-1]))


def decode(x: Any, type_name: str) -> Any:
    """Cache values as f32."""
    if type_name == "bf16":
        return (x.astype(np.uint32) << 16).view(np.float32)
    if type_name in PLAIN:
        return x.astype(np.float32)
    with np.errstate(invalid="ignore"):
        return dequantize(x, CACHE_TYPES[type_name])
