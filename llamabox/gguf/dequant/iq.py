"""The IQ types: super-blocks whose codes point into a codebook of 8 or 4 magnitudes, with signs and scales beside.

Signs and magnitudes are multiplied as int8, so one float product a value remains; it is exact as in ggml's order.
"""

import numpy as np

from llamabox.gguf.dequant.codebooks import codebook, even_signs, sign_bytes
from llamabox.gguf.dequant.fields import bits_of, f16, nibbles, words

# IQ4: a code is one of these 16 levels, denser around 0.
IQ4_LEVELS = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8)


# IQ2_XXS: 256 values in 66 bytes.  0-1: d, f16;  then for each 32 values 8 bytes: 4 codes; u32: 4 x 7 sign bits, 4-bit
# scale;  value = d * (scale + 0.5) / 4 * sign * magnitude
def iq2_xxs(blocks):
    pairs = words(blocks, 2, 16, np.uint32).reshape(-1, 8, 2)
    codes = np.ascontiguousarray(pairs[:, :, 0]).view(np.uint8)  # (N, 32)
    signs, scales = _signs_and_scale(pairs[:, :, 1])
    return _scaled(_iq2_scale(f16(blocks, 0), scales), codebook("IQ2_XXS").take(codes), signs)


# IQ2_XS: 256 values in 74 bytes.  0-1: d, f16;  2-65: u16 for 8 values: 9-bit code, 7 sign bits;
# 66-73: 4-bit scale of 16 values each;  value as in IQ2_XXS
def iq2_xs(blocks):
    codes = words(blocks, 2, 32, np.uint16)
    scales = _low_high(blocks[:, 66:])
    return _scaled(
        _iq2_scale(f16(blocks, 0), scales), codebook("IQ2_XS").take(codes & 511), even_signs().take(codes >> 9)
    )


# IQ2_S: 256 values in 82 bytes.  0-1: d, f16;  2-33: low 8 bits of codes;  34-65: sign bytes;  66-73: high 2 bits of
# codes;  74-81: 4-bit scale of 16 values each;  value as in IQ2_XXS
def iq2_s(blocks):
    high = (blocks[:, 66:74, None] >> np.arange(0, 8, 2, dtype=np.uint8) & 3).reshape(-1, 32)
    codes = blocks[:, 2:34] | high.astype(np.uint16) << 8
    scales = _low_high(blocks[:, 74:])
    return _scaled(
        _iq2_scale(f16(blocks, 0), scales), codebook("IQ2_S").take(codes), sign_bytes().take(blocks[:, 34:66])
    )


# IQ3_XXS: 256 values in 98 bytes.  0-1: d, f16;  2-65: codes of 4 values each;  66-97: u32 for 32 values: 4 x 7 sign
# bits, 4-bit scale;  value = d * (scale + 0.5) / 2 * sign * magnitude
def iq3_xxs(blocks):
    signs, scales = _signs_and_scale(words(blocks, 66, 8, np.uint32))
    scales = f16(blocks, 0) * (np.float32(0.5) + scales.astype(np.float32)) * np.float32(0.5)
    return _scaled(scales, codebook("IQ3_XXS").take(blocks[:, 2:66]), signs)


# IQ3_S: 256 values in 110 bytes.  0-1: d, f16;  2-65: low 8 bits of codes of 4 values each;  66-73: ninth bits;
# 74-105: sign bytes;  106-109: 4-bit scale of 32 values each;  value = d * (2 * scale + 1) * sign * magnitude
def iq3_s(blocks):
    codes = blocks[:, 2:66] | bits_of(blocks[:, 66:74]).astype(np.uint16) << 8
    scales = f16(blocks, 0) * (2 * _low_high(blocks[:, 106:]) + 1)
    return _scaled(scales, codebook("IQ3_S").take(codes), sign_bytes().take(blocks[:, 74:106]))


# IQ1_S: 256 values in 50 bytes.  0-1: d, f16;  2-33: low 8 bits of codes;  34-49: u16 for 32 values: 4 x 3 high bits of
# codes, 3-bit scale, 1 bit that makes the shift negative;  value = d * (2 * scale + 1) * (level + shift), shift = +-1/8
def iq1_s(blocks):
    high = words(blocks, 34, 8, np.uint16)
    codes = blocks[:, 2:34] | (high[:, :, None] >> np.arange(0, 12, 3, dtype=np.uint16) & 7).reshape(-1, 32) << 8
    scales = f16(blocks, 0) * (2 * (high >> 12 & 7) + 1)
    return _shifted(scales, codes, np.repeat(high >> 15, 4, axis=1))


# IQ1_M: 256 values in 56 bytes.  0-31: low 8 bits of codes;  32-47: nibbles for 8 values: 3 high bits of the code, and
# 1 that makes the shift negative;  48-55: 4 u16: 4 x 3-bit scale of 16 values each, 4 bits of d (f16);  value as IQ1_S
def iq1_m(blocks):
    packed = words(blocks, 48, 4, np.uint16)
    d = np.bitwise_or.reduce(packed >> 12 << np.arange(0, 16, 4, dtype=np.uint16), axis=1, keepdims=True)
    scales = (packed[:, :, None] >> np.arange(0, 12, 3, dtype=np.uint16) & 7).reshape(-1, 16)
    high = _low_high(blocks[:, 32:48])
    codes = blocks[:, :32] | (high & 7).astype(np.uint16) << 8
    return _shifted(d.view(np.float16).astype(np.float32) * (2 * scales + 1), codes, high >> 3)


# IQ4_NL: 32 values in 18 bytes.  0-1: d, f16;  2-17: codes, 4 bits, low halves first;  value = d * level(code)
def iq4_nl(blocks):
    return f16(blocks, 0) * IQ4_LEVELS.take(nibbles(blocks[:, 2:], 16).reshape(-1, 32))


# IQ4_XS: 256 values in 136 bytes.  0-1: d, f16;  2-3: high 2 bits of 8 scales;  4-7: their low 4 bits;
# 8-135: codes, 4 bits, in runs of 16 bytes: low halves, then high halves;  value = d * (scale - 32) * level(code)
def iq4_xs(blocks):
    high = words(blocks, 2, 1, np.uint16) >> np.arange(0, 16, 2, dtype=np.uint16) & 3
    scales = (_low_high(blocks[:, 4:8]) | high.astype(np.uint8) << 4).view(np.int8) - np.int8(32)
    levels = IQ4_LEVELS.take(nibbles(blocks[:, 8:], 16).reshape(-1, 8, 32))
    return ((f16(blocks, 0) * scales)[:, :, None] * levels).reshape(-1, 256)


def _low_high(packed):
    """The low, then the high half of each byte: uint8 (N, M) -> uint8 (N, 2 M)."""
    return np.stack([packed & 15, packed >> 4], axis=2).reshape(len(packed), -1)


def _signs_and_scale(packed):
    """u32 words of 4 x 7 sign bits and a 4-bit scale: uint32 (N, M) -> sign factors uint64 (N, 4 M), uint32 (N, M)."""
    codes = packed[:, :, None] >> np.arange(0, 28, 7, dtype=np.uint32) & 127
    return even_signs().take(codes.reshape(len(packed), -1)), packed >> 28


def _iq2_scale(d, scales):
    return d * (np.float32(0.5) + scales.astype(np.float32)) * np.float32(0.25)


def _scaled(scales, magnitudes, signs):
    """scale * sign * magnitude: f32 (N, S), packed magnitudes and signs of 256 values a block -> f32 (N, 256)."""
    codes = magnitudes.view(np.int8).reshape(len(scales), scales.shape[1], -1)
    codes = codes * signs.view(np.int8).reshape(codes.shape)
    return (scales[:, :, None] * codes).reshape(-1, 256)


def _shifted(scales, codes, negative):
    """scale * (level + shift) for IQ1: f32 (N, S), codes (N, 32), whose shift is -1/8 (N, 32) -> f32 (N, 256).

    Level and shift are added as int8 eighths; dividing the scale by 8 is exact.
    """
    eighths = codebook("IQ1_S").take(codes).view(np.int8).reshape(-1, 32, 8) * np.int8(8)
    eighths += (1 - 2 * negative.astype(np.int8))[:, :, None]
    return (scales[:, :, None] * np.float32(0.125) * eighths.reshape(len(scales), scales.shape[1], -1)).reshape(-1, 256)
