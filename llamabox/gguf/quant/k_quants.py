"""Q4_K, Q5_K and Q6_K; the layouts are drawn in dequant/k_quants.py.

The float scales of the sub-blocks are searched for, then rounded to integers under a super-block's f16 scale, and only
then are the codes chosen, against the scales as they are stored.
"""

import numpy as np

from llamabox.gguf.quant.fields import f16_bytes, inverse, pack_bit_planes, pack_nibbles
from llamabox.gguf.quant.search import scale_and_minimum, signed_scale

Q4_STEPS = np.arange(-10, 11, dtype=np.float32) / 10  # -1 .. 1
Q5_STEPS = np.arange(-5, 11, dtype=np.float32) / 10  # -0.5 .. 1
Q6_STEPS = np.array([0, *range(-9, 0), *range(1, 10)], np.float32) / 10  # the plain scale first: it wins ties


def q4_k(values):
    head, codes = _scaled_and_shifted(values, 15, Q4_STEPS)
    return np.concatenate([head, pack_nibbles(codes, 32)], axis=1)


def q5_k(values):
    head, codes = _scaled_and_shifted(values, 31, Q5_STEPS)
    return np.concatenate([head, pack_bit_planes(codes >> 4, 32, 1), pack_nibbles(codes & 15, 32)], axis=1)


def q6_k(values):
    scales = signed_scale(_columns(values, 16), 32, Q6_STEPS).reshape(-1, 16)
    largest = np.take_along_axis(scales, np.abs(scales).argmax(axis=1, keepdims=True), axis=1)
    d = largest / -128
    small = np.rint(scales * inverse(d)).clip(-128, 127).astype(np.int8)
    steps = d.astype(np.float16).astype(np.float32) * small  # (N, 16), as they are read back
    codes = values.reshape(-1, 16, 16) * inverse(steps)[:, :, None]
    codes = (np.rint(codes).clip(-32, 31) + 32).astype(np.uint8).reshape(-1, 256)
    low, high = pack_nibbles(codes & 15, 64), pack_bit_planes(codes >> 4, 32, 2)
    return np.concatenate([low, high, small.view(np.uint8), f16_bytes(d)], axis=1)


def _columns(values, n):
    """Sub-blocks of n values as columns: (N, 256) -> (n, N * 256 / n)."""
    return np.ascontiguousarray(values.reshape(-1, n).T)


def _scaled_and_shifted(values, top, extra_steps):
    """The first 16 bytes of a Q4_K or Q5_K block, and its codes 0..top: uint8 (N, 16), uint8 (N, 256)."""
    scales, minima = scale_and_minimum(_columns(values, 32), top, extra_steps)
    d, small_scales = _to_six_bits(scales.reshape(-1, 8))
    dmin, small_minima = _to_six_bits(minima.reshape(-1, 8))
    steps = d.astype(np.float16).astype(np.float32) * small_scales  # (N, 8), as they are read back
    shifts = dmin.astype(np.float16).astype(np.float32) * small_minima
    codes = (values.reshape(-1, 8, 32) + shifts[:, :, None]) * inverse(steps)[:, :, None]
    codes = np.rint(codes).clip(0, top).astype(np.uint8).reshape(-1, 256)
    return np.concatenate([f16_bytes(d), f16_bytes(dmin), _pack_scales(small_scales, small_minima)], axis=1), codes


def _to_six_bits(numbers):
    """(N, 8) numbers >= 0 as d (N, 1) * integers 0..63, uint8 (N, 8)."""
    d = numbers.max(axis=1, keepdims=True) / 63
    return d, np.rint(numbers * inverse(d)).clip(0, 63).astype(np.uint8)


def _pack_scales(scales, minima):
    """8 scales and 8 minima of 6 bits: two uint8 (N, 8) -> uint8 (N, 12)."""
    first = scales[:, :4] | scales[:, 4:] >> 4 << 6
    second = minima[:, :4] | minima[:, 4:] >> 4 << 6
    last = scales[:, 4:] & 15 | minima[:, 4:] << 4
    return np.concatenate([first, second, last], axis=1)
