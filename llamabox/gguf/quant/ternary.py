"""TQ1_0 and TQ2_0: each value becomes -d, 0 or d; the layouts are drawn in dequant/ternary.py."""

import numpy as np

from llamabox.gguf.quant.fields import f16_bytes, inverse, pack_bit_planes, round_away

POWERS_OF_3 = np.array([81, 27, 9, 3, 1], np.uint8)


def tq1_0(values):
    d, digits = _three_levels(values)
    numbers = [_base_3(digits[:, :160], 5, 32), _base_3(digits[:, 160:240], 5, 16), _base_3(digits[:, 240:], 4, 4)]
    fractions = (np.concatenate(numbers, axis=1).astype(np.uint16) * 256 + 242) // 243  # rounded up
    return np.concatenate([fractions.astype(np.uint8), f16_bytes(d)], axis=1)


def tq2_0(values):
    d, codes = _three_levels(values)
    return np.concatenate([pack_bit_planes(codes, 32, 2), f16_bytes(d)], axis=1)


def _three_levels(values):
    """The largest size of each block (N, 1), and codes 0, 1, 2 for -d, 0, d (N, 256)."""
    d = np.abs(values).max(axis=1, keepdims=True)
    return d, (round_away(values * inverse(d)).astype(np.int8) + np.int8(1)).astype(np.uint8)


def _base_3(digits, count, run):
    """`count` digits, first one highest, of each run of bytes: uint8 (N, count * run) -> uint8 (N, run)."""
    return (digits.reshape(-1, count, run) * POWERS_OF_3[:count, None]).sum(axis=1, dtype=np.uint8)
