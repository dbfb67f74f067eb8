"""MXFP4; the layout is drawn in dequant/fp4.py."""

import numpy as np

from llamabox.gguf.dequant.fp4 import E2M1_DOUBLED, HALF_E8M0
from llamabox.gguf.quant.fields import pack_nibbles


def mxfp4(values):
    largest = np.abs(values).max(axis=1, keepdims=True)
    exponent = np.floor(np.log2(largest)) - 2 + 127  # -inf for a block of zeros
    scale = exponent.clip(0, 254).astype(np.uint8)
    d = HALF_E8M0[scale]
    codes = np.zeros(values.shape, np.uint8)
    smallest = np.abs(values)  # the error of code 0, which stands for 0
    for code, level in enumerate(E2M1_DOUBLED.astype(np.float32)):
        error = np.abs(d * level - values)
        better = error < smallest
        codes[better] = code
        np.minimum(smallest, error, out=smallest)
    return np.concatenate([scale, pack_nibbles(codes, 16)], axis=1)
