"""The IQ types: codes point into codebooks of 8 or 4 magnitudes, with signs and scales beside; functions: formats.py.

Integers are stored above zero: with the largest magnitude (or IQ1's largest level and shift) added.
Codebooks: llamabox/gguf/dequant/codebooks.py.
"""

from numba import types

from llamabox.gguf.dequant.codebooks import codebook
from llamabox.gguf.dequant.iq import IQ4_LEVELS
from llamabox.kernels.cpu.formats_legacy import nibbles
from llamabox.kernels.cpu.halves import f16_of_bits, load_f16, load_f16_each
from llamabox.kernels.cpu.simd import (
    bytes_of_i64,
    inline,
    load_i32x8,
    load_i64,
    load_u8,
    load_u16,
    load_u32,
    splat_f32x8,
    to_f32,
)
from llamabox.kernels.cpu.tables import around, eight_entries, four_entries, join_i64x4, look_up, table
from llamabox.kernels.cpu.unpacking import (
    interleave_i8x8,
    nibbles_of_u32,
    odd_i32x8,
    pairs_of_u16,
    signed_i16x16,
    triples_of_i64,
    words_of,
)

iq4_levels = table(IQ4_LEVELS)
iq2_xxs_book, iq2_xs_book, iq2_s_book = table(codebook("IQ2_XXS")), table(codebook("IQ2_XS")), table(codebook("IQ2_S"))
iq3_xxs_book, iq3_s_book = table(codebook("IQ3_XXS")), table(codebook("IQ3_S"))
iq1_book = table(codebook("IQ1_S").view("i1") * 8 + 8)  # the levels in eighths, above zero


# IQ4_NL: 32 values in 18 bytes.  0-1: d, f16;  2-17: codes, 4 bits, low halves first;  value = d * level(code)
@inline
def iq4_nl_integers(p, j):
    return look_up(iq4_levels(), nibbles(p + 18 * j + 2))


@inline
def iq4_nl_scales(p):
    return load_f16_each(p, 18)


# IQ4_XS: 256 values in 136 bytes.  0-1: d, f16;  2-3: high 2 bits of 8 scales;  4-7: their low 4 bits;
# 8-135: codes as IQ4_NL, 16 bytes a group;  value = d * (scale - 32) * level(code)
@inline
def iq4_xs_integers(p, j):
    return look_up(iq4_levels(), nibbles(p + 8 + 16 * j))


@inline
def iq4_xs_scales(p):
    scales = (nibbles_of_u32(load_u32(p + 4)) & 15) | ((pairs_of_u16(load_u16(p + 2)) & 3) << 4)
    return to_f32(scales - 32) * load_f16(p)


@inline
def _even_signs(bits):
    """The sign bits of 32 values: for each 8, 7 are stored (in one byte each here); the 8th makes their number even."""
    odd = bits ^ (bits >> 4)
    odd ^= odd >> 2
    odd ^= odd >> 1
    return types.uint32(bits | ((odd & 0x01010101) << 7))


@inline
def _signs_of_28(bits):
    """Four 7-bit fields of a u32 as sign bits of 32 values."""
    bits = types.int64(bits)
    return _even_signs((bits & 0x7F) | ((bits << 1) & 0x7F00) | ((bits << 2) & 0x7F0000) | ((bits << 3) & 0x7F000000))


# IQ2_XXS: 256 values in 66 bytes.  0-1: d, f16;  then 8 bytes a group: 4 codes of 8 values each; u32: 4 x 7 sign bits,
# 4-bit scale;  value = d * (scale + 0.5) / 4 * sign * magnitude
@inline
def iq2_xxs_integers(p, j):
    b = p + 2 + 8 * j
    q = load_u32(b)
    sizes = four_entries(iq2_xxs_book(), q & 255, (q >> 8) & 255, (q >> 16) & 255, q >> 24)
    return around(43, sizes, _signs_of_28(load_u32(b + 4)))


@inline
def iq2_xxs_scales(p):
    scales = odd_i32x8(load_i32x8(p + 2), load_i32x8(p + 34)) >> 28
    return to_f32(scales * 2 + 1) * (load_f16(p) * types.float32(0.125))


# IQ2_XS: 256 values in 74 bytes.  0-1: d, f16;  2-65: u16 for 8 values: 9-bit code, 7 sign bits;
# 66-73: 4-bit scale of 16 values each;  value as IQ2_XXS
@inline
def iq2_xs_integers(p, j):
    q = load_i64(p + 2 + 8 * j)
    sizes = four_entries(iq2_xs_book(), q & 511, (q >> 16) & 511, (q >> 32) & 511, (q >> 48) & 511)
    signs = ((q >> 9) & 0x7F) | ((q >> 17) & 0x7F00) | ((q >> 25) & 0x7F0000) | ((q >> 33) & 0x7F000000)
    return around(43, sizes, _even_signs(signs))


@inline
def iq2_scales(p):
    return splat_f32x8(load_f16(p) * types.float32(0.125))


@inline
def iq2_xs_subscales(p):
    return _odd_nibbles(p + 66)


@inline
def _odd_nibbles(p):
    """2 n + 1 for the 16 nibbles n of 8 bytes, low halves first."""
    q = bytes_of_i64(types.uint64(load_i64(p)))
    return signed_i16x16(interleave_i8x8(q & 15, q >> 4)) * 2 + 1


# IQ2_S: 256 values in 82 bytes.  0-1: d, f16;  2-33: low 8 bits of codes of 8 values each;  34-65: sign bytes;
# 66-73: high 2 bits of codes;  74-81: 4-bit scale of 16 values each;  value as IQ2_XXS
@inline
def iq2_s_integers(p, j):
    low, high = load_u32(p + 2 + 4 * j), types.int64(load_u8(p + 66 + j)) << 8
    sizes = four_entries(
        iq2_s_book(),
        (low & 255) | (high & 0x300),
        ((low >> 8) & 255) | ((high >> 2) & 0x300),
        ((low >> 16) & 255) | ((high >> 4) & 0x300),
        (low >> 24) | ((high >> 6) & 0x300),
    )
    return around(43, sizes, load_u32(p + 34 + 4 * j))


@inline
def iq2_s_subscales(p):
    return _odd_nibbles(p + 74)


# IQ3_XXS: 256 values in 98 bytes.  0-1: d, f16;  2-65: codes of 4 values each;  66-97: u32 for 32 values: 4 x 7 sign
# bits, 4-bit scale;  value = d * (scale + 0.5) / 2 * sign * magnitude
@inline
def iq3_xxs_integers(p, j):
    a, b = load_u32(p + 2 + 8 * j), load_u32(p + 6 + 8 * j)
    sizes = eight_entries(
        iq3_xxs_book(),
        *(a & 255, (a >> 8) & 255, (a >> 16) & 255, a >> 24),
        *(b & 255, (b >> 8) & 255, (b >> 16) & 255, b >> 24),
    )
    return around(62, sizes, _signs_of_28(load_u32(p + 66 + 4 * j)))


@inline
def iq3_xxs_scales(p):
    return to_f32((load_i32x8(p + 66) >> 28) * 2 + 1) * (load_f16(p) * types.float32(0.25))


# IQ3_S: 256 values in 110 bytes.  0-1: d, f16;  2-65: low 8 bits of codes of 4 values each;  66-73: ninth bits;
# 74-105: sign bytes;  106-109: 4-bit scale of 32 values each;  value = d * (2 * scale + 1) * sign * magnitude
@inline
def iq3_s_integers(p, j):
    a, b, ninth = load_u32(p + 2 + 8 * j), load_u32(p + 6 + 8 * j), types.int64(load_u8(p + 66 + j)) << 8
    sizes = eight_entries(
        iq3_s_book(),
        (a & 255) | (ninth & 256),
        ((a >> 8) & 255) | ((ninth >> 1) & 256),
        ((a >> 16) & 255) | ((ninth >> 2) & 256),
        (a >> 24) | ((ninth >> 3) & 256),
        (b & 255) | ((ninth >> 4) & 256),
        ((b >> 8) & 255) | ((ninth >> 5) & 256),
        ((b >> 16) & 255) | ((ninth >> 6) & 256),
        (b >> 24) | ((ninth >> 7) & 256),
    )
    return around(15, sizes, load_u32(p + 74 + 4 * j))


@inline
def iq3_s_scales(p):
    return to_f32((nibbles_of_u32(load_u32(p + 106)) & 15) * 2 + 1) * load_f16(p)


# IQ1_S: 256 values in 50 bytes.  0-1: d, f16;  2-33: low 8 bits of codes of 8 values each;  34-49: u16 a group: 4 x 3
# high bits of codes, 3-bit scale, 1 bit that makes the shift negative
# value = d * (2 * scale + 1) * (level + shift), shift = +-1/8
@inline
def iq1_s_integers(p, j):
    low, high = load_u32(p + 2 + 4 * j), types.int64(load_u16(p + 34 + 2 * j))
    eighths = four_entries(
        iq1_book(),
        (low & 255) | ((high << 8) & 0x700),
        ((low >> 8) & 255) | ((high << 5) & 0x700),
        ((low >> 16) & 255) | ((high << 2) & 0x700),
        (low >> 24) | ((high >> 1) & 0x700),
    )
    return eighths + (2 - 2 * (high >> 15))


@inline
def iq1_s_scales(p):
    scales = (words_of(load_i64(p + 34), load_i64(p + 42)) >> 12) & 7
    return to_f32(scales * 2 + 1) * (load_f16(p) * types.float32(0.125))


# IQ1_M: 256 values in 56 bytes.  0-31: low 8 bits of codes of 8 values each;  32-47: nibbles for 8 values: 3 high bits
# of the code, and 1 that makes the shift negative;  48-55: 4 u16: 4 x 3-bit scale of 16 values each, 4 bits of d (f16)
# value as IQ1_S
@inline
def iq1_m_integers(p, j):
    low, high = load_u32(p + 4 * j), types.int64(load_u16(p + 32 + 2 * j))
    eighths = four_entries(
        iq1_book(),
        (low & 255) | ((high << 8) & 0x700),
        ((low >> 8) & 255) | ((high << 4) & 0x700),
        ((low >> 16) & 255) | (high & 0x700),
        (low >> 24) | ((high >> 4) & 0x700),
    )
    up = ~high  # bits 3, 7, 11, 15: the shift of 8 values each is positive
    return eighths + join_i64x4(_twos(up >> 3), _twos(up >> 7), _twos(up >> 11), _twos(up >> 15))


@inline
def _twos(bit):
    """8 bytes, each 2 where the lowest bit is set, else 0."""
    return (bit & 1) * 0x0202020202020202


@inline
def iq1_m_scales(p):
    q = load_i64(p + 48)
    d = ((q >> 12) & 15) | ((q >> 24) & 0xF0) | ((q >> 36) & 0xF00) | ((q >> 48) & 0xF000)
    return splat_f32x8(f16_of_bits(types.uint16(d)) * types.float32(0.125))


@inline
def iq1_m_subscales(p):
    return (triples_of_i64(load_i64(p + 48)) & 7) * 2 + 1
