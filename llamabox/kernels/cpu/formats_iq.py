"""The IQ types: codes point into codebooks of 8 or 4 magnitudes, with signs and scales beside; functions: formats.py.

All but the IQ4 types are opened first, into memory m whose fields lie apart:
    0-127    codes, u16: 4 a group of IQ1 and IQ2, 8 of IQ3
    128-159  a bit for each value, set where its sign is minus;  IQ1: a byte for each 8 values, 2 when their shift is
             positive, else 0
    160-191  scales, f32 a group
    192-223  sub-scales, i16 for 16 values
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
    load_f32x8,
    load_i8x16,
    load_i8x32,
    load_i16x16,
    load_i16x32,
    load_i32x8,
    load_i64,
    load_u16,
    load_u32,
    mask_i8x32,
    splat_f32x8,
    splat_i8x32,
    store,
    to_f32,
    unsigned_i32x8,
)
from llamabox.kernels.cpu.tables import around, eight_entries, four_entries, look_up, table
from llamabox.kernels.cpu.unpacking import (
    bytes_of_i32x8,
    eight_times,
    even_i32x8,
    interleave_i8x8,
    interleave_i8x16,
    low_bytes,
    nibbles_of_u32,
    odd_i32x8,
    pairs_of_u16,
    signed_i16x16,
    triples_of_i64,
    words,
    words_of,
)

SIGNS, SCALES, SUBSCALES = 128, 160, 192

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


# ---- what opened units have in common --------------------------------------------------------------------------------


@inline
def opened_scales(m):
    return load_f32x8(m + SCALES)


@inline
def opened_subscales(m):
    return load_i16x16(m + SUBSCALES)


@inline
def _even_signs(bits):
    """The sign bits of 256 values: 7 are stored for each 8 (in one byte each); the 8th makes their number even."""
    odd = bits ^ (bits >> 4)
    odd = odd ^ (odd >> 2)
    odd = odd ^ (odd >> 1)
    return bits | (odd << 7)


@inline
def _signs_of_28(w):
    """Four 7-bit fields of each of 8 words as the sign bits of 256 values."""
    fields = (w & 0x7F) | ((w << 1) & 0x7F00) | ((w << 2) & 0x7F0000) | ((w << 3) & 0x7F000000)
    return _even_signs(bytes_of_i32x8(fields))


@inline
def _odd_nibbles(p):
    """2 n + 1 for the 16 nibbles n of 8 bytes, low halves first."""
    q = bytes_of_i64(types.uint64(load_i64(p)))
    return signed_i16x16(interleave_i8x8(q & 15, q >> 4)) * 2 + 1


# IQ2_XXS: 256 values in 66 bytes.  0-1: d, f16;  then 8 bytes a group: 4 codes of 8 values each; u32: 4 x 7 sign bits,
# 4-bit scale;  value = d * (scale + 0.5) / 4 * sign * magnitude
@inline
def iq2_xxs_opened(p, m):
    a, b = load_i32x8(p + 2), load_i32x8(p + 34)
    store(m, words(bytes_of_i32x8(even_i32x8(a, b)), splat_i8x32(0)))
    w = odd_i32x8(a, b)
    store(m + SIGNS, _signs_of_28(w))
    store(m + SCALES, to_f32((w >> 28) * 2 + 1) * (load_f16(p) * types.float32(0.125)))
    return m


@inline
def iq2_xxs_integers(m, j):
    return around(43, four_entries(iq2_xxs_book(), m + 8 * j), load_u32(m + SIGNS + 4 * j))


# IQ2_XS: 256 values in 74 bytes.  0-1: d, f16;  2-65: u16 for 8 values: 9-bit code, 7 sign bits;
# 66-73: 4-bit scale of 16 values each;  value as IQ2_XXS
@inline
def iq2_xs_opened(p, m):
    q = load_i16x32(p + 2)
    store(m, q & 511)
    store(m + SIGNS, _even_signs(low_bytes(q >> 9)))
    store(m + SCALES, splat_f32x8(load_f16(p) * types.float32(0.125)))
    store(m + SUBSCALES, _odd_nibbles(p + 66))
    return m


@inline
def iq2_xs_integers(m, j):
    return around(43, four_entries(iq2_xs_book(), m + 8 * j), load_u32(m + SIGNS + 4 * j))


# IQ2_S: 256 values in 82 bytes.  0-1: d, f16;  2-33: low 8 bits of codes of 8 values each;  34-65: sign bytes;
# 66-73: high 2 bits of codes;  74-81: 4-bit scale of 16 values each;  value as IQ2_XXS
@inline
def iq2_s_opened(p, m):
    h = unsigned_i32x8(bytes_of_i64(types.uint64(load_i64(p + 66))))
    high = (h | (h << 6) | (h << 12) | (h << 18)) & 0x03030303  # 2 bits a byte
    store(m, words(load_i8x32(p + 2), bytes_of_i32x8(high)))
    store(m + SIGNS, load_i8x32(p + 34))
    store(m + SCALES, splat_f32x8(load_f16(p) * types.float32(0.125)))
    store(m + SUBSCALES, _odd_nibbles(p + 74))
    return m


@inline
def iq2_s_integers(m, j):
    return around(43, four_entries(iq2_s_book(), m + 8 * j), load_u32(m + SIGNS + 4 * j))


# IQ3_XXS: 256 values in 98 bytes.  0-1: d, f16;  2-65: codes of 4 values each;  66-97: u32 for 32 values: 4 x 7 sign
# bits, 4-bit scale;  value = d * (scale + 0.5) / 2 * sign * magnitude
@inline
def iq3_xxs_opened(p, m):
    store(m, words(load_i8x32(p + 2), splat_i8x32(0)))
    store(m + 64, words(load_i8x32(p + 34), splat_i8x32(0)))
    w = load_i32x8(p + 66)
    store(m + SIGNS, _signs_of_28(w))
    store(m + SCALES, to_f32((w >> 28) * 2 + 1) * (load_f16(p) * types.float32(0.25)))
    return m


@inline
def iq3_xxs_integers(m, j):
    return around(62, eight_entries(iq3_xxs_book(), m + 16 * j), load_u32(m + SIGNS + 4 * j))


# IQ3_S: 256 values in 110 bytes.  0-1: d, f16;  2-65: low 8 bits of codes of 4 values each;  66-73: ninth bits;
# 74-105: sign bytes;  106-109: 4-bit scale of 32 values each;  value = d * (2 * scale + 1) * sign * magnitude
@inline
def iq3_s_opened(p, m):
    store(m, words(load_i8x32(p + 2), mask_i8x32(load_u32(p + 66)) & 1))
    store(m + 64, words(load_i8x32(p + 34), mask_i8x32(load_u32(p + 70)) & 1))
    store(m + SIGNS, load_i8x32(p + 74))
    store(m + SCALES, to_f32((nibbles_of_u32(load_u32(p + 106)) & 15) * 2 + 1) * load_f16(p))
    return m


@inline
def iq3_s_integers(m, j):
    return around(15, eight_entries(iq3_s_book(), m + 16 * j), load_u32(m + SIGNS + 4 * j))


# IQ1_S: 256 values in 50 bytes.  0-1: d, f16;  2-33: low 8 bits of codes of 8 values each;  34-49: u16 a group: 4 x 3
# high bits of codes, 3-bit scale, 1 bit that makes the shift negative
# value = d * (2 * scale + 1) * (level + shift), shift = +-1/8
@inline
def iq1_s_opened(p, m):
    h = words_of(load_i64(p + 34), load_i64(p + 42))
    high = (h & 7) | ((h << 5) & 0x700) | ((h << 10) & 0x70000) | ((h << 15) & 0x7000000)  # 3 bits a byte
    store(m, words(load_i8x32(p + 2), bytes_of_i32x8(high)))
    store(m + SIGNS, ((h >> 15) ^ 1) * 0x02020202)
    store(m + SCALES, to_f32(((h >> 12) & 7) * 2 + 1) * (load_f16(p) * types.float32(0.125)))
    return m


@inline
def iq1_integers(m, j):
    return four_entries(iq1_book(), m + 8 * j) + eight_times(load_u32(m + SIGNS + 4 * j))


# IQ1_M: 256 values in 56 bytes.  0-31: low 8 bits of codes of 8 values each;  32-47: nibbles for 8 values: 3 high bits
# of the code, and 1 that makes the shift negative;  48-55: 4 u16: 4 x 3-bit scale of 16 values each, 4 bits of d (f16)
# value as IQ1_S
@inline
def iq1_m_opened(p, m):
    q, last = load_i8x16(p + 32), load_i64(p + 48)
    nibble = interleave_i8x16(q, q >> 4)
    store(m, words(load_i8x32(p), nibble & 7))
    store(m + SIGNS, ((nibble >> 2) & 2) ^ 2)
    d = ((last >> 12) & 15) | ((last >> 24) & 0xF0) | ((last >> 36) & 0xF00) | ((last >> 48) & 0xF000)
    store(m + SCALES, splat_f32x8(f16_of_bits(types.uint16(d)) * types.float32(0.125)))
    store(m + SUBSCALES, (triples_of_i64(last) & 7) * 2 + 1)
    return m
