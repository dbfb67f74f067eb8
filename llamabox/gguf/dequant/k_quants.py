"""The K types: super-blocks of 256 values, one or two f16 scales over small integer scales of 16 or 32 values each."""

import numpy as np

from llamabox.gguf.dequant.fields import bit_planes, f16, nibbles, words


# Q2_K: 256 values in 84 bytes.  0-15: 4-bit scale (low) and minimum (high) of 16 values each;  16-79: codes, 2 bits,
# in two runs of 32 bytes whose bit pairs are four rows of 32 values;  80-81: d, f16;  82-83: dmin, f16
# value = d * scale * code - dmin * minimum
def q2_k(blocks):
    scales, minima = blocks[:, :16] & 15, blocks[:, :16] >> 4
    codes = bit_planes(blocks[:, 16:80], 32, 2).reshape(-1, 16, 16)
    values = (f16(blocks, 80) * scales)[:, :, None] * codes
    values -= (f16(blocks, 82) * minima)[:, :, None]
    return values.reshape(-1, 256)


# Q3_K: 256 values in 110 bytes.  0-31: third bits, bit j for values 32 j to 32 j + 31;  32-95: low 2 bits as in Q2_K;
# 96-107: 16 scales, 6 bits;  108-109: d, f16;  value = d * (scale - 32) * (code - 4)
def q3_k(blocks):
    low4 = nibbles(blocks[:, 96:104], 8).reshape(-1, 16)
    high2 = bit_planes(blocks[:, 104:108], 4, 2).reshape(-1, 16)
    scales = (low4 | high2 << 4).view(np.int8) - np.int8(32)
    codes = bit_planes(blocks[:, :32], 32, 1).reshape(-1, 256)
    codes <<= 2
    codes |= bit_planes(blocks[:, 32:96], 32, 2).reshape(-1, 256)
    codes = codes.view(np.int8)
    codes -= 4
    return ((f16(blocks, 108) * scales)[:, :, None] * codes.reshape(-1, 16, 16)).reshape(-1, 256)


# Q4_K: 256 values in 144 bytes.  0-1: d, f16;  2-3: dmin, f16;  4-15: scale and minimum of 32 values each, 6 bits;
# 16-143: codes, 4 bits, in runs of 32 bytes: low halves, then high halves;  value = d * scale * code - dmin * minimum
def q4_k(blocks):
    return _scale_and_shift(blocks, nibbles(blocks[:, 16:], 32))


# Q5_K: 256 values in 176 bytes.  0-15: as Q4_K;  16-47: fifth bits, bit j for values 32 j to 32 j + 31;
# 48-175: low 4 bits as in Q4_K
def q5_k(blocks):
    codes = bit_planes(blocks[:, 16:48], 32, 1).reshape(-1, 256)
    codes <<= 4
    codes |= nibbles(blocks[:, 48:], 32).reshape(-1, 256)
    return _scale_and_shift(blocks, codes)


# Q6_K: 256 values in 210 bytes.  0-127: low 4 bits, in runs of 64 bytes;  128-191: high 2 bits, in runs of 32 bytes;
# 192-207: scale of 16 values each, int8;  208-209: d, f16;  value = d * scale * (code - 32)
def q6_k(blocks):
    codes = bit_planes(blocks[:, 128:192], 32, 2).reshape(-1, 256)
    codes <<= 4
    codes |= nibbles(blocks[:, :128], 64).reshape(-1, 256)
    codes = codes.view(np.int8)
    codes -= 32
    scales = f16(blocks, 208) * blocks[:, 192:208].view(np.int8)
    return (scales[:, :, None] * codes.reshape(-1, 16, 16)).reshape(-1, 256)


# Q8_K: 256 values in 292 bytes.  0-3: d, f32;  4-259: q, int8;  260-291: sums of 16 q each, int16;  value = d * q
def q8_k(blocks):
    return words(blocks, 0, 1, np.float32) * blocks[:, 4:260].view(np.int8)


def _scale_and_shift(blocks, codes):
    """d * scale * code - dmin * minimum for Q4_K and Q5_K: codes uint8, 256 a block -> f32 (N, 256)."""
    scales, minima = scales_and_minima(blocks[:, 4:16])
    values = (f16(blocks, 0) * scales)[:, :, None] * codes.reshape(-1, 8, 32)
    values -= (f16(blocks, 2) * minima)[:, :, None]
    return values.reshape(-1, 256)


def scales_and_minima(packed):
    """The 8 scales and 8 minima, 6 bits each, of Q4_K and Q5_K: uint8 (N, 12) -> two uint8 (N, 8).

    Bytes 0-3: scales 0-3, and above them the top 2 bits of scales 4-7;  4-7: the same of minima;
    8-11: the low 4 bits of scales 4-7, and above them of minima 4-7.
    """
    first, second, last = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([first & 63, (last & 15) | (first >> 2) & 48], axis=1)
    minima = np.concatenate([second & 63, (last >> 4) | (second >> 2) & 48], axis=1)
    return scales, minima
