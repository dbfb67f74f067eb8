"""4-bit floating point: e2m1 codes with one power of two (MXFP4) or small floats (NVFP4) as scales."""

import numpy as np

from llamabox.gguf.dequant.fields import nibbles

# The e2m1 values, doubled so that they are whole; the scales below are halved to match.
E2M1_DOUBLED = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.int8)


def _half_e8m0():
    """Half of 2^(byte - 127) for each byte, f32 (256,); the two smallest are subnormal."""
    byte = np.arange(256, dtype=np.uint32)
    bits = np.where(byte < 2, np.uint32(0x200000) << byte.clip(max=1), (byte.clip(min=1) - 1) << 23)
    return bits.astype(np.uint32).view(np.float32)


def _half_ue4m3():
    """Half of the unsigned e4m3 float (4 exponent bits, bias 7; 3 bits) of each byte, f32 (256,).

    0x7F is not a number and counts as 0; the top bit is ignored, so that 0xFF is read as 480.
    """
    byte = np.arange(256)
    exponent, mantissa = byte >> 3 & 15, (byte & 7).astype(np.float32)
    normal = np.ldexp(1 + mantissa / 8, exponent - 7)
    values = np.where(exponent == 0, np.ldexp(mantissa, -9), normal) / 2
    values[0x7F] = 0
    return values.astype(np.float32)


HALF_E8M0 = _half_e8m0()
HALF_UE4M3 = _half_ue4m3()


# MXFP4: 32 values in 17 bytes.  0: scale, e8m0;  1-16: codes, e2m1, low halves first;  value = scale * e2m1(code)
def mxfp4(blocks):
    codes = nibbles(blocks[:, 1:], 16).reshape(-1, 32)
    return HALF_E8M0.take(blocks[:, :1]) * E2M1_DOUBLED.take(codes)


# NVFP4: 64 values in 36 bytes.  0-3: scales of 16 values each, ue4m3;  4-35: codes, e2m1, in runs of 8 bytes
# value = scale * e2m1(code)
def nvfp4(blocks):
    codes = nibbles(blocks[:, 4:], 8).reshape(-1, 4, 16)
    return (HALF_UE4M3.take(blocks[:, :4])[:, :, None] * E2M1_DOUBLED.take(codes)).reshape(-1, 64)
