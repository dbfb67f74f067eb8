"""The 1- and 2-bit types with one scale a block: TQ1_0 and TQ2_0 (three levels), Q1_0 (two), Q2_0 (four)."""

import numpy as np

from llamabox.gguf.dequant.fields import bit_planes, bits_of, f16

POWERS_OF_3 = np.array([1, 3, 9, 27, 81], np.uint8)


# TQ1_0: 256 values in 54 bytes.  0-47: five base-3 digits a byte, in runs of 32 and 16 bytes;  48-51: four digits a
# byte;  52-53: d, f16;  value = d * (digit - 1)
# A byte is a base-3 fraction in 256ths, so multiplying it by 3^n (mod 256) and then by 3 pushes digit n out on top.
def tq1_0(blocks):
    digits = np.concatenate(
        [_digits(blocks[:, :32], 5), _digits(blocks[:, 32:48], 5), _digits(blocks[:, 48:52], 4)], axis=1
    )
    return f16(blocks, 52) * digits


def _digits(packed, count):
    """The first `count` base-3 digits, less 1, of each byte: uint8 (N, M) -> int8 (N, count * M)."""
    pushed = (packed[:, None, :] * POWERS_OF_3[:count, None]).reshape(len(packed), -1)
    return (pushed.astype(np.uint16) * 3 >> 8).astype(np.int8) - np.int8(1)


# TQ2_0: 256 values in 66 bytes.  0-63: codes, 2 bits, in runs of 32 bytes;  64-65: d, f16;  value = d * (code - 1)
def tq2_0(blocks):
    codes = bit_planes(blocks[:, :64], 32, 2).reshape(-1, 256).view(np.int8)
    codes -= 1
    return f16(blocks, 64) * codes


# Q1_0: 128 values in 18 bytes.  0-1: d, f16;  2-17: one bit each;  value = d or -d
def q1_0(blocks):
    signs = bits_of(blocks[:, 2:]).view(np.int8)
    signs *= 2
    signs -= 1
    return f16(blocks, 0) * signs


# Q2_0: 64 values in 18 bytes.  0-1: d, f16;  2-17: codes, 2 bits, four neighbours a byte;  value = d * (code - 1)
def q2_0(blocks):
    codes = bit_planes(blocks[:, 2:], 1, 2).reshape(-1, 64).view(np.int8)
    codes -= 1
    return f16(blocks, 0) * codes
