"""The plain types: bf16, and blocks of 32 values with one scale (and one minimum).

In 4 and 5 bit types the low halves of the 16 code bytes are values 0-15 and the high halves values 16-31.
"""

import numpy as np

from llamabox.gguf.dequant.fields import bits_of, f16, nibbles


# BF16: the upper 16 bits of a float32.
def bf16(blocks):  # uint8 (N, 2) -> f32 (N, 1)
    return (blocks.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


# Q4_0: 32 values in 18 bytes.  0-1: d, f16;  2-17: codes, 4 bits;  value = d * (code - 8)
def q4_0(blocks):
    codes = nibbles(blocks[:, 2:], 16).reshape(-1, 32).view(np.int8)
    codes -= 8
    return f16(blocks, 0) * codes


# Q4_1: 32 values in 20 bytes.  0-1: d, f16;  2-3: m, f16;  4-19: codes, 4 bits;  value = d * code + m
def q4_1(blocks):
    values = f16(blocks, 0) * nibbles(blocks[:, 4:], 16).reshape(-1, 32)
    values += f16(blocks, 2)
    return values


# Q5_0: 32 values in 22 bytes.  0-1: d, f16;  2-5: fifth bits, one each;  6-21: low 4 bits;  value = d * (code - 16)
def q5_0(blocks):
    codes = _five_bits(blocks[:, 2:6], blocks[:, 6:]).view(np.int8)
    codes -= 16
    return f16(blocks, 0) * codes


# Q5_1: 32 values in 24 bytes.  0-1: d, f16;  2-3: m, f16;  4-7: fifth bits;  8-23: low 4 bits;  value = d * code + m
def q5_1(blocks):
    values = f16(blocks, 0) * _five_bits(blocks[:, 4:8], blocks[:, 8:])
    values += f16(blocks, 2)
    return values


# Q8_0: 32 values in 34 bytes.  0-1: d, f16;  2-33: q, int8;  value = d * q
def q8_0(blocks):
    return f16(blocks, 0) * blocks[:, 2:].view(np.int8)


# Q8_1: 32 values in 36 bytes.  0-1: d, f16;  2-3: d * sum of q, f16, for dot products;  4-35: q, int8;  value = d * q
def q8_1(blocks):
    return f16(blocks, 0) * blocks[:, 4:].view(np.int8)


def _five_bits(high, low):
    """uint8 (N, 4) fifth bits and (N, 16) low halves -> codes 0..31, uint8 (N, 32)."""
    codes = bits_of(high)
    codes <<= 4
    codes |= nibbles(low, 16).reshape(-1, 32)
    return codes
