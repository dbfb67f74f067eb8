"""The K types: super-blocks of 256 values, f16 scales times small integers; what the functions are: formats.py."""

from numba import types

from llamabox.kernels.cpu.halves import load_f16, load_two_f16
from llamabox.kernels.cpu.simd import (
    bytes_of_i64,
    inline,
    join,
    load_f32,
    load_i8x16,
    load_i8x32,
    load_i64,
    load_u32,
    splat_f32x8,
    to_f32,
    unsigned_i32x8,
)
from llamabox.kernels.cpu.unpacking import signed_i16x16


# Q2_K: 256 values in 84 bytes.  0-15: scale (low) and minimum (high) of 16 values each, 4 bits;  16-79: codes, 2 bits,
# groups 4n .. 4n + 3 in bytes 32n .. 32n + 31;  80-81: d, f16;  82-83: dmin, f16
# value = d * scale * q - dmin * minimum
@inline
def q2_k_integers(p, j):
    return (load_i8x32(p + 16 + (j >> 2) * 32) >> (2 * (j & 3))) & 3


@inline
def q2_k_scales(p):
    return splat_f32x8(load_f16(p + 80))


@inline
def q2_k_subscales(p):
    return signed_i16x16(load_i8x16(p) & 15)


@inline
def q2_k_minimums(p):
    return splat_f32x8(-load_f16(p + 82))


@inline
def q2_k_subminimums(p):
    return signed_i16x16(load_i8x16(p) >> 4)


# Q3_K: 256 values in 110 bytes.  0-31: third bits, bit j of byte i for value i of group j;  32-95: low 2 bits as Q2_K;
# 96-107: scales, 6 bits;  108-109: d, f16;  value = d * (scale - 32) * (q - 4)
@inline
def q3_k_integers(p, j):
    low = (load_i8x32(p + 32 + (j >> 2) * 32) >> (2 * (j & 3))) & 3
    return low | (((load_i8x32(p) >> j) & 1) << 2)


@inline
def q3_k_scales(p):
    return splat_f32x8(load_f16(p + 108))


# The 12 bytes: the low 4 bits of scales 0-7, above them those of 8-15; the upper 2 bits of 0-3, 4-7, 8-11, 12-15.
@inline
def q3_k_subscales(p):
    low, c = load_i64(p + 96), types.int64(load_u32(p + 104))
    first = (low & 0x0F0F0F0F0F0F0F0F) | ((c & 0x03030303) << 4) | ((c & 0x0C0C0C0C) << 34)
    last = ((low >> 4) & 0x0F0F0F0F0F0F0F0F) | (c & 0x30303030) | (((c >> 2) & 0x30303030) << 32)
    return signed_i16x16(join(bytes_of_i64(types.uint64(first)), bytes_of_i64(types.uint64(last))) - 32)


# Q4_K: 256 values in 144 bytes.  0-1: d, f16;  2-3: dmin, f16;  4-15: scales and minimums, 6 bits each;  16-143:
# nibbles, groups 2i (low) and 2i + 1 (high) in bytes 32i .. 32i + 31;  value = d * scale * q - dmin * minimum
@inline
def q4_k_halves(p, j):
    q = p + 16 + (j >> 1) * 32
    first, last = join(load_i8x16(q), load_i8x16(q + 64)), join(load_i8x16(q + 16), load_i8x16(q + 80))
    return (first >> (4 * (j & 1))) & 15, (last >> (4 * (j & 1))) & 15


# The 12 bytes: a = scales 0-3, b = minimums 0-3, whose upper 2 bits hold those of 4-7; c = the nibbles of 4-7.
@inline
def q4_k_scales(p):
    a, c = types.uint64(load_u32(p + 4)), types.uint64(load_u32(p + 12))
    high = (c & 0x0F0F0F0F) | ((a >> 2) & 0x30303030)
    return to_f32(unsigned_i32x8(bytes_of_i64((a & 0x3F3F3F3F) | (high << 32)))) * load_two_f16(p)[0]


@inline
def q4_k_minimums(p):
    b, c = types.uint64(load_u32(p + 8)), types.uint64(load_u32(p + 12))
    high = ((c >> 4) & 0x0F0F0F0F) | ((b >> 2) & 0x30303030)
    return to_f32(unsigned_i32x8(bytes_of_i64((b & 0x3F3F3F3F) | (high << 32)))) * -load_two_f16(p)[1]


# Q5_K: 256 values in 176 bytes.  0-15: as Q4_K;  16-47: fifth bits, bit j of byte i for value i of group j;
# 48-175: nibbles as Q4_K;  value = d * scale * q - dmin * minimum
@inline
def q5_k_integers(p, j):
    nibbles = (load_i8x32(p + 48 + (j >> 1) * 32) >> (4 * (j & 1))) & 15
    return nibbles | (((load_i8x32(p + 16) >> j) & 1) << 4)


# Q6_K: 256 values in 210 bytes.  0-127: low 4 bits;  128-191: high 2 bits;  192-207: scales, int8[16];  208-209: d,
# f16.  Groups 4n .. 4n + 3 share low bytes 64n .. 64n + 63 and high bytes 32n .. 32n + 31
# value = d * scale * (q - 32)
@inline
def q6_k_integers(p, j):
    low = load_i8x32(p + (j >> 2) * 64 + (j & 1) * 32) >> (4 * ((j >> 1) & 1))
    high = load_i8x32(p + 128 + (j >> 2) * 32) >> (2 * (j & 3))
    return (low & 15) | ((high & 3) << 4)


@inline
def q6_k_scales(p):
    return splat_f32x8(load_f16(p + 208))


@inline
def q6_k_subscales(p):
    return signed_i16x16(load_i8x16(p + 192))


# Q8_K: 256 values in 292 bytes.  0-3: d, f32;  4-259: q, int8[256];  260-291: sums, not read;  value = d * q
@inline
def q8_k_integers(p, j):
    return load_i8x32(p + 4 + 32 * j)


@inline
def q8_k_scales(p):
    return splat_f32x8(load_f32(p))
