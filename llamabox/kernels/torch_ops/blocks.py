"""Packed rows -> values, for every GGUF type: the table of block types."""

from collections.abc import Callable

import torch
from torch import Tensor

from llamabox.gguf import GGMLType
from llamabox.kernels.torch_ops import iq, simple
from llamabox.kernels.torch_ops import k_quants as k

UNPACK: dict[GGMLType, Callable[[Tensor], Tensor]] = {
    GGMLType.BF16: simple.bf16,
    GGMLType.Q4_0: simple.q4_0,
    GGMLType.Q4_1: simple.q4_1,
    GGMLType.Q5_0: simple.q5_0,
    GGMLType.Q5_1: simple.q5_1,
    GGMLType.Q8_0: simple.q8_0,
    GGMLType.Q8_1: simple.q8_1,
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
    GGMLType.TQ1_0: simple.tq1_0,
    GGMLType.TQ2_0: simple.tq2_0,
    GGMLType.Q1_0: simple.q1_0,
    GGMLType.Q2_0: simple.q2_0,
    GGMLType.MXFP4: simple.mxfp4,
    GGMLType.NVFP4: simple.nvfp4,
}


def values(data: Tensor, type: GGMLType) -> Tensor:
    """The values of stored rows, float32: those of gguf.dequantize, bit for bit where the device rounds as IEEE says.

    Shapes:  data uint8 (..., row bytes) -> (..., values); of a plain type, a tensor of its own dtype, (...) -> (...)
    """
    if type.dtype is not None:
        return data.to(torch.float32)
    shape = (*data.shape[:-1], data.shape[-1] // type.type_size * type.block_size)
    return UNPACK[type](data.reshape(-1, type.type_size)).reshape(shape)
