"""Turns the multi-byte fields inside the blocks of a big-endian file around.

ggml reads and writes its block structs in the machine's own order, so a big-endian file has big-endian f16 scales, and
big-endian words where a struct has words. Byte arrays stay as they are. Types whose code words are read both as bytes
and as words (most IQ types) have no defined big-endian form: gguf-py's converter refuses them, and so does this reader.
"""

import numpy as np

from llamabox.gguf.errors import GGUFError
from llamabox.gguf.types import GGMLType

# type: (byte offset, bytes, count) of each run of words in a block
FIELDS = {
    GGMLType.BF16: [(0, 2, 1)],
    GGMLType.Q4_0: [(0, 2, 1)],
    GGMLType.Q4_1: [(0, 2, 2)],
    GGMLType.Q5_0: [(0, 2, 1), (2, 4, 1)],
    GGMLType.Q5_1: [(0, 2, 2), (4, 4, 1)],
    GGMLType.Q8_0: [(0, 2, 1)],
    GGMLType.Q8_1: [(0, 2, 2)],
    GGMLType.Q2_K: [(80, 2, 2)],
    GGMLType.Q3_K: [(108, 2, 1)],
    GGMLType.Q4_K: [(0, 2, 2)],
    GGMLType.Q5_K: [(0, 2, 2)],
    GGMLType.Q6_K: [(208, 2, 1)],
    GGMLType.Q8_K: [(0, 4, 1), (260, 2, 16)],
    GGMLType.IQ4_NL: [(0, 2, 1)],
    GGMLType.TQ1_0: [(52, 2, 1)],
    GGMLType.TQ2_0: [(64, 2, 1)],
    GGMLType.MXFP4: [],
    GGMLType.NVFP4: [],
    GGMLType.Q1_0: [(0, 2, 1)],
    GGMLType.Q2_0: [(0, 2, 1)],
}


def swap_blocks(data: np.ndarray, type: GGMLType) -> np.ndarray:
    """A copy of `data` (uint8, whole blocks of `type`) with every word turned to the other byte order."""
    if type not in FIELDS:
        raise GGUFError(f"{type.name} has no big-endian form")
    blocks = data.reshape(-1, type.type_size).copy()
    for offset, size, count in FIELDS[type]:
        field = blocks[:, offset : offset + size * count]
        field[:] = field.reshape(-1, count, size)[:, :, ::-1].reshape(-1, size * count)
    return blocks.reshape(data.shape)
