"""Blocks -> float32 values, one function per type, whole arrays at a time; each equals ggml's own result bit for bit.

Every function of the table takes blocks, uint8 (N, bytes a block), and returns float32 (N, values a block). The order
of the float32 products is ggml's; float64 never appears.
"""

import numpy as np

from llamabox.gguf.dequant import fp4, iq, legacy, ternary
from llamabox.gguf.dequant import k_quants as k
from llamabox.gguf.errors import GGUFError
from llamabox.gguf.types import GGMLType

UNPACK = {
    GGMLType.BF16: legacy.bf16,
    GGMLType.Q4_0: legacy.q4_0,
    GGMLType.Q4_1: legacy.q4_1,
    GGMLType.Q5_0: legacy.q5_0,
    GGMLType.Q5_1: legacy.q5_1,
    GGMLType.Q8_0: legacy.q8_0,
    GGMLType.Q8_1: legacy.q8_1,
    GGMLType.Q2_K: k.q2_k,
    GGMLType.Q3_K: k.q3_k,
    GGMLType.Q4_K: k.q4_k,
    GGMLType.Q5_K: k.q5_k,
    GGMLType.Q6_K: k.q6_k,
    GGMLType.Q8_K: k.q8_k,
    GGMLType.IQ1_S: iq.iq1_s,
    GGMLType.IQ1_M: iq.iq1_m,
    GGMLType.IQ2_XXS: iq.iq2_xxs,
    GGMLType.IQ2_XS: iq.iq2_xs,
    GGMLType.IQ2_S: iq.iq2_s,
    GGMLType.IQ3_XXS: iq.iq3_xxs,
    GGMLType.IQ3_S: iq.iq3_s,
    GGMLType.IQ4_NL: iq.iq4_nl,
    GGMLType.IQ4_XS: iq.iq4_xs,
    GGMLType.TQ1_0: ternary.tq1_0,
    GGMLType.TQ2_0: ternary.tq2_0,
    GGMLType.Q1_0: ternary.q1_0,
    GGMLType.Q2_0: ternary.q2_0,
    GGMLType.MXFP4: fp4.mxfp4,
    GGMLType.NVFP4: fp4.nvfp4,
}


def dequantize(data: np.ndarray, type: GGMLType) -> np.ndarray:
    """The values of stored rows, float32.

    Shapes:  data (..., row bytes) -> (..., values); plain types also as arrays of their own dtype, (...) -> (...)
    Dtypes:  data uint8, or the plain type's dtype
    Errors:  GGUFError when the row is no whole number of blocks, or data has another dtype
    Source:  ggml-quants.c; the gguf package's quants.py
    """
    dtype = type.dtype
    if dtype is not None and data.dtype == dtype:
        return data.astype(np.float32)
    if data.dtype != np.uint8 or data.ndim == 0 or data.shape[-1] % type.type_size:
        raise GGUFError(
            f"dequantize {type.name}: data is {data.dtype} {data.shape}, expected uint8 (..., n * {type.type_size})"
        )
    shape = (*data.shape[:-1], data.shape[-1] // type.type_size * type.block_size)
    if data.size == 0:
        return np.empty(shape, np.float32)
    blocks = np.ascontiguousarray(data).reshape(-1, type.type_size)
    values = blocks.view(dtype).astype(np.float32) if dtype is not None else UNPACK[type](blocks)
    return values.reshape(shape)
