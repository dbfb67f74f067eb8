"""KV cells on a device: what each cache type stores, and f32 rows rounded to it as ggml's reference does.

The rounding equals kernels.kv.encode, bit for bit where the device divides as IEEE says.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llamabox.gguf.dequant.iq import IQ4_LEVELS
from llamabox.kernels import kv
from llamabox.kernels.torch_ops.blocks import values
from llamabox.kernels.torch_ops.fields import Table, constants, look_up, on_device

PLAIN = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
TORCH_DTYPE = {np.float32: torch.float32, np.float16: torch.float16, np.uint16: torch.bfloat16, np.uint8: torch.uint8}
TINY = 1e-15  # an IQ4_NL block of smaller values is zero
LEVELS = IQ4_LEVELS.astype(np.float32)


class Memory:
    """Zeros on a device, as KVCache asks for its arrays."""

    def __init__(self, device: torch.device):
        self._device = device

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Tensor:
        return torch.zeros(shape, dtype=TORCH_DTYPE[dtype], device=self._device)


def decode(x: Tensor, type_name: str) -> Tensor:
    """Cells as f32 values: (..., E), or (..., bytes) of a quantised type -> (..., E)"""
    return x.float() if type_name in PLAIN else values(x, kv.CACHE_TYPES[type_name])


def encode(x: Tensor, type_name: str) -> Tensor:
    """f32 values (..., E) as the cache stores them.

    A block with a value that is not finite is read back without a finite value.
    """
    if type_name in PLAIN:
        return x.to(PLAIN[type_name])
    type = kv.CACHE_TYPES[type_name]
    rows = x.reshape(-1, type.block_size)
    scales, codes = PACK[type_name](rows)
    finite = torch.isfinite(rows).all(dim=1, keepdim=True)
    scales[:, :1] = torch.where(finite, scales[:, :1], torch.nan)
    blocks = torch.cat([scales.half().view(torch.uint8), codes], dim=1)
    return blocks.reshape(*x.shape[:-1], -1)


# Each packer: f32 (N, 32) -> the block's scale, and minimum if it has one, f32 (N, 1 or 2), and its codes, uint8.


def q8_0(x: Tensor) -> tuple[Tensor, Tensor]:
    d = _over(x.abs().amax(dim=1, keepdim=True), 127)
    return d, _round_away(x * _inverse(d)).to(torch.int8).view(torch.uint8)


def q4_0(x: Tensor) -> tuple[Tensor, Tensor]:
    d = _extreme(x) / -8
    return d, _pack_nibbles(_codes(x * _inverse(d) + 8.5, 15))


def q5_0(x: Tensor) -> tuple[Tensor, Tensor]:
    d = _extreme(x) / -16
    return d, _pack_five_bits(_codes(x * _inverse(d) + 16.5, 31))


def q4_1(x: Tensor) -> tuple[Tensor, Tensor]:
    scales, codes = _between_extremes(x, 15)
    return scales, _pack_nibbles(codes)


def q5_1(x: Tensor) -> tuple[Tensor, Tensor]:
    scales, codes = _between_extremes(x, 31)
    return scales, _pack_five_bits(codes)


def iq4_nl(x: Tensor) -> tuple[Tensor, Tensor]:
    """The value of largest size becomes level -127, each other the nearest; then the scale is solved for."""
    largest = _extreme(x)
    codes = _nearest(x * (1 / _over(largest, int(LEVELS[0]))))
    q, w = look_up(LEVELS, codes), x * x
    terms = torch.stack([w * q * x, w * q * q])  # (2, N, 32)
    sums = terms[:, :, 0]
    for term in terms.unbind(dim=2)[1:]:  # in order: that is how ggml rounds these sums
        sums = sums + term
    above, below = sums[:, :, None]
    empty = largest.abs() < TINY
    d = torch.where(empty | (below == 0), 0.0, above / below)
    return d, _pack_nibbles(torch.where(empty, 0, codes))


PACK: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "q8_0": q8_0,
    "q4_0": q4_0,
    "q4_1": q4_1,
    "iq4_nl": iq4_nl,
    "q5_0": q5_0,
    "q5_1": q5_1,
}


def _inverse(d: Tensor) -> Tensor:
    return torch.where(d == 0, 0.0, 1 / d)


def _over(x: Tensor, n: int) -> Tensor:
    """x / n. By a tensor: CUDA multiplies by the inverse of a plain number, which rounds differently."""
    return x / constants((n,), x.dtype, x.device)


def _extreme(x: Tensor) -> Tensor:
    """The value of largest size of each block, with its sign: (N, 32) -> (N, 1)"""
    return x.gather(1, x.abs().argmax(dim=1, keepdim=True))


def _codes(x: Tensor, top: int) -> Tensor:
    """Whole parts, 0 to top, uint8; of what is not finite anything."""
    return x.nan_to_num(0.0).trunc().clamp(0, top).to(torch.uint8)


def _between_extremes(x: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Codes 0..top spread evenly from each block's smallest to its largest value: (step and smallest, codes)"""
    low = x.amin(dim=1, keepdim=True)
    d = _over(x.amax(dim=1, keepdim=True) - low, top)
    return torch.cat([d, low], dim=1), _codes((x - low) * _inverse(d) + 0.5, top)


def _round_away(x: Tensor) -> Tensor:
    """To the nearest whole number, halves away from zero; 0 for what is not finite."""
    x = x.nan_to_num(0.0, 0.0, 0.0)
    size = x.abs()
    whole = size.floor()
    return (whole + (size - whole >= 0.5)) * x.sign()


def _nearest(x: Tensor) -> Tensor:
    """The index of the level nearest to each value, in a tie the higher one: uint8"""
    levels = on_device(Table(LEVELS), x.device)
    high = torch.searchsorted(levels, x.contiguous(), right=True).clamp(1, 15)
    low = high - 1
    nearest = torch.where(x - levels[low] < levels[high] - x, low, high)
    nearest = torch.where(x <= LEVELS[0].item(), 0, torch.where(x >= LEVELS[15].item(), 15, nearest))
    return nearest.to(torch.uint8)


def _pack_nibbles(codes: Tensor) -> Tensor:
    """uint8 (N, 32), 0..15 -> (N, 16): values 0-15 in low halves, 16-31 in high halves"""
    return codes[:, :16] | codes[:, 16:] << 4


def _pack_five_bits(codes: Tensor) -> Tensor:
    """uint8 (N, 32), 0..31 -> (N, 20): fifth bits, then low halves"""
    bits = (codes >> 4).reshape(len(codes), 4, 8) << constants(tuple(range(8)), torch.uint8, codes.device)
    return torch.cat([bits.sum(dim=2, dtype=torch.int32).to(torch.uint8), _pack_nibbles(codes & 15)], dim=1)
