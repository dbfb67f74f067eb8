"""Every block type that has fused kernels, described once: where its integers, scales and minimums are.

Kernels see a row as units of 8 groups of 32 values: 8 blocks of a 32-value type, or one 256-value super-block.

    value = scale[group] * (integer - offset) + minimum[group]       types with one scale a group
    value = scale[group] * sub[half group] * (integer - offset)      types with an integer scale for every 16 values

A description is a handful of functions of the unit's address p:
    integers(p, j) -> i8x32    the 32 integers of group j, in order
    scales(p)      -> f32x8    one a group
    minimums(p)    -> f32x8    one a group, for types that have them
    subscales(p)   -> i8x16    one for every 16 values, for types that have them
Units are always whole: what lacks at the end of a row is filled up with zero bytes (unit.py).
How wide the integers are decides how many products fit 16 bits:
    bits 5   unsigned, at most 31: four products are added before widening
    bits 6   unsigned, at most 63: two
    bits 8   signed: one, and the sign moves to the other factor
Byte layouts: ggml-common.h and ggml-quants.c.
"""

from collections.abc import Callable
from dataclasses import dataclass

from numba import types

from llamabox.gguf import GGMLType
from llamabox.kernels.cpu.halves import load_f16, load_f16_each
from llamabox.kernels.cpu.simd import (
    bytes_of_i64,
    inline,
    join,
    load_i8x16,
    load_i8x32,
    load_u32,
    mask_i8x32,
    splat_f32x8,
    to_f32,
    unsigned_i32x8,
)


@dataclass(frozen=True)
class Format:
    """One block type; see the module's docstring."""

    type: GGMLType
    bits: int
    integers: Callable
    scales: Callable
    minimums: Callable | None = None
    subscales: Callable | None = None
    offset: int = 0

    @property
    def name(self) -> str:
        return self.type.name

    @property
    def unit_bytes(self) -> int:
        return 256 // self.type.block_size * self.type.type_size


# Q8_0: 32 values in 34 bytes.  0-1: d, f16;  2-33: q, int8[32];  value = d * q
@inline
def q8_0_integers(p, j):
    return load_i8x32(p + 34 * j + 2)


@inline
def q8_0_scales(p):
    return load_f16_each(p, 34)


@inline
def _nibbles(p):
    """32 values of 16 bytes: the low halves, then the high halves."""
    q = load_i8x16(p)
    return join(q & 15, q >> 4)


# Q4_0: 32 values in 18 bytes.  0-1: d, f16;  2-17: nibbles, low halves first;  value = d * (q - 8)
@inline
def q4_0_integers(p, j):
    return _nibbles(p + 18 * j + 2)


@inline
def q4_0_scales(p):
    return load_f16_each(p, 18)


# Q4_1: 32 values in 20 bytes.  0-1: d, f16;  2-3: m, f16;  4-19: nibbles;  value = d * q + m
@inline
def q4_1_integers(p, j):
    return _nibbles(p + 20 * j + 4)


@inline
def q4_1_scales(p):
    return load_f16_each(p, 20)


@inline
def q4_1_minimums(p):
    return load_f16_each(p + 2, 20)


# Q5_0: 32 values in 22 bytes.  0-1: d, f16;  2-5: fifth bits, bit i of value i;  6-21: nibbles;  value = d * (q - 16)
@inline
def q5_0_integers(p, j):
    b = p + 22 * j
    return _nibbles(b + 6) | (mask_i8x32(load_u32(b + 2)) & 16)


@inline
def q5_0_scales(p):
    return load_f16_each(p, 22)


# Q5_1: 32 values in 24 bytes.  0-1: d, f16;  2-3: m, f16;  4-7: fifth bits;  8-23: nibbles;  value = d * q + m
@inline
def q5_1_integers(p, j):
    b = p + 24 * j
    return _nibbles(b + 8) | (mask_i8x32(load_u32(b + 4)) & 16)


@inline
def q5_1_scales(p):
    return load_f16_each(p, 24)


@inline
def q5_1_minimums(p):
    return load_f16_each(p + 2, 24)


# Q4_K: 256 values in 144 bytes.  0-1: d, f16;  2-3: dmin, f16;  4-15: scales and minimums, 6 bits each;  16-143:
# nibbles, groups 2i (low) and 2i + 1 (high) in bytes 32i .. 32i + 31;  value = d * scale * q - dmin * minimum
@inline
def q4_k_integers(p, j):
    return (load_i8x32(p + 16 + (j >> 1) * 32) >> (4 * (j & 1))) & 15


# The 12 bytes: a = scales 0-3, b = minimums 0-3, whose upper 2 bits hold those of 4-7; c = the nibbles of 4-7.
@inline
def q4_k_scales(p):
    a, c = types.uint64(load_u32(p + 4)), types.uint64(load_u32(p + 12))
    high = (c & 0x0F0F0F0F) | ((a >> 2) & 0x30303030)
    return to_f32(unsigned_i32x8(bytes_of_i64((a & 0x3F3F3F3F) | (high << 32)))) * load_f16(p)


@inline
def q4_k_minimums(p):
    b, c = types.uint64(load_u32(p + 8)), types.uint64(load_u32(p + 12))
    high = ((c >> 4) & 0x0F0F0F0F) | ((b >> 2) & 0x30303030)
    return to_f32(unsigned_i32x8(bytes_of_i64((b & 0x3F3F3F3F) | (high << 32)))) * -load_f16(p + 2)


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
    return load_i8x16(p + 192)


FORMATS = {
    f.type: f
    for f in (
        Format(GGMLType.Q8_0, 8, q8_0_integers, q8_0_scales),
        Format(GGMLType.Q4_0, 5, q4_0_integers, q4_0_scales, offset=8),
        Format(GGMLType.Q4_1, 5, q4_1_integers, q4_1_scales, q4_1_minimums),
        Format(GGMLType.Q5_0, 5, q5_0_integers, q5_0_scales, offset=16),
        Format(GGMLType.Q5_1, 5, q5_1_integers, q5_1_scales, q5_1_minimums),
        Format(GGMLType.Q4_K, 5, q4_k_integers, q4_k_scales, q4_k_minimums),
        Format(GGMLType.Q5_K, 5, q5_k_integers, q4_k_scales, q4_k_minimums),
        Format(GGMLType.Q6_K, 6, q6_k_integers, q6_k_scales, subscales=q6_k_subscales, offset=32),
    )
}
