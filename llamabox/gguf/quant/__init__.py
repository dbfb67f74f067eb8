"""float32 values -> blocks, one function per type, whole arrays at a time.

Every function of the table takes values, float32 (N, values a block), and returns blocks, uint8 (N, bytes a block).
They equal the gguf package's quantisers bit for bit where it has the type; the K types search scales as ggml does.
"""

import numpy as np

from llamabox.gguf.errors import GGUFError
from llamabox.gguf.quant import fp4, legacy, ternary
from llamabox.gguf.quant import k_quants as k
from llamabox.gguf.types import GGMLType

PACK = {
    GGMLType.BF16: legacy.bf16,
    GGMLType.Q4_0: legacy.q4_0,
    GGMLType.Q4_1: legacy.q4_1,
    GGMLType.Q5_0: legacy.q5_0,
    GGMLType.Q5_1: legacy.q5_1,
    GGMLType.Q8_0: legacy.q8_0,
    GGMLType.Q4_K: k.q4_k,
    GGMLType.Q5_K: k.q5_k,
    GGMLType.Q6_K: k.q6_k,
    GGMLType.TQ1_0: ternary.tq1_0,
    GGMLType.TQ2_0: ternary.tq2_0,
    GGMLType.MXFP4: fp4.mxfp4,
}
CHUNK_VALUES = 1 << 17  # at a time: the search's arrays stay in the cache


def quantize(values: np.ndarray, type: GGMLType) -> np.ndarray:
    """The stored rows of values.

    Shapes:  values (..., D) -> uint8 (..., row bytes)
    Dtypes:  values float32 (others are cast to it)
    Errors:  GGUFError when D is no whole number of blocks, a value is not finite (F32, F16 and BF16 take all), or the
             type cannot be made
    Source:  the gguf package's quants.py; ggml-quants.c for the K types
    """
    if values.ndim == 0:
        raise GGUFError(f"quantize {type.name}: values need at least one axis")
    shape = (*values.shape[:-1], type.row_bytes(values.shape[-1]))
    values = np.ascontiguousarray(values, np.float32)
    if type.dtype in (np.float32, np.float16):
        with np.errstate(over="ignore"):  # beyond f16: infinity, as in ggml
            return values.astype(type.dtype).view(np.uint8).reshape(shape)
    if type not in PACK:
        raise GGUFError(f"cannot quantise to {type.name}; possible are F32, F16, {', '.join(t.name for t in PACK)}")
    if type != GGMLType.BF16 and not np.isfinite(values).all():
        n_bad = np.count_nonzero(~np.isfinite(values))
        raise GGUFError(f"cannot quantise to {type.name}: {n_bad} values are not finite")
    blocks = values.reshape(-1, type.block_size)
    out = np.empty((len(blocks), type.type_size), np.uint8)
    step = max(1, CHUNK_VALUES // type.block_size)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for start in range(0, len(blocks), step):
            out[start : start + step] = PACK[type](blocks[start : start + step])
    return out.reshape(shape)
