"""IQ4_NL, as ggml rounds rows that it makes while running (quantize_row_iq4_nl_ref); layout: dequant/iq.py."""

import numpy as np

from llamabox.gguf.dequant.iq import IQ4_LEVELS
from llamabox.gguf.quant.fields import f16_bytes, pack_nibbles

TINY = np.float32(1e-15)  # a block of smaller values is zero
LEVELS = IQ4_LEVELS.astype(np.float32)


def iq4_nl(values):
    """float32 (N, 32) -> uint8 (N, 18).

    The value of largest size becomes level -127; each other the level nearest to it, in a tie the higher one; then the
    scale is solved for: least squares, weighted by the squares of the values.
    """
    largest = np.take_along_axis(values, np.abs(values).argmax(axis=1, keepdims=True), axis=1)
    step = largest / LEVELS[0]
    codes = _nearest(values * (1 / step)).astype(np.uint8)
    q, w = LEVELS[codes], values * values
    above, below = np.zeros_like(largest), np.zeros_like(largest)
    for k in range(32):  # in order, as the sums are taken value by value
        above[:, 0] += w[:, k] * q[:, k] * values[:, k]
        below[:, 0] += w[:, k] * q[:, k] * q[:, k]
    empty = np.abs(largest) < TINY
    d = np.where(empty | (below == 0), np.float32(0), above / below)
    return np.concatenate([f16_bytes(d), pack_nibbles(np.where(empty, 0, codes).astype(np.uint8), 16)], axis=1)


def _nearest(x):
    """The index of the level nearest to each value."""
    high = np.searchsorted(LEVELS, x, side="right").clip(1, 15)
    low = high - 1
    nearest = np.where(x - LEVELS[low] < LEVELS[high] - x, low, high)
    return np.where(x <= LEVELS[0], 0, np.where(x >= LEVELS[15], 15, nearest))
