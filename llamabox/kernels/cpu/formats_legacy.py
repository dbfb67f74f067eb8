"""Blocks of 32 values with one scale, some with a minimum; what the functions are: formats.py."""

from numba import types

from llamabox.kernels.cpu.halves import load_f16_each
from llamabox.kernels.cpu.simd import inline, join, load_i8x16, load_i8x32, load_u32, mask_i8x32


# Q8_0: 32 values in 34 bytes.  0-1: d, f16;  2-33: q, int8[32];  value = d * q
@inline
def q8_0_integers(p, j):
    return load_i8x32(p + 34 * j + 2)


@inline
def q8_0_scales(p):
    return load_f16_each(p, 34)


@inline
def nibbles(p):
    """32 values of 16 bytes: the low halves, then the high halves."""
    q = load_i8x16(p)
    return join(q & 15, q >> 4)


@inline
def five_bits(p, q):
    """Of two groups, each 4 bytes of fifth bits, then 16 of nibbles: their first 16 values, their last 16."""
    a, b, both = types.uint64(load_u32(p)), types.uint64(load_u32(q)), join(load_i8x16(p + 4), load_i8x16(q + 4))
    first, last = types.uint32((a & 0xFFFF) | (b << 16)), types.uint32((a >> 16) | (b & 0xFFFF0000))
    return (both & 15) | (mask_i8x32(first) & 16), (both >> 4) | (mask_i8x32(last) & 16)


# Q4_0: 32 values in 18 bytes.  0-1: d, f16;  2-17: nibbles, low halves first;  value = d * (q - 8)
@inline
def q4_0_integers(p, j):
    return nibbles(p + 18 * j + 2)


@inline
def q4_0_scales(p):
    return load_f16_each(p, 18)


# Q4_1: 32 values in 20 bytes.  0-1: d, f16;  2-3: m, f16;  4-19: nibbles;  value = d * q + m
@inline
def q4_1_integers(p, j):
    return nibbles(p + 20 * j + 4)


@inline
def q4_1_scales(p):
    return load_f16_each(p, 20)


@inline
def q4_1_minimums(p):
    return load_f16_each(p + 2, 20)


# Q5_0: 32 values in 22 bytes.  0-1: d, f16;  2-5: fifth bits, bit i of value i;  6-21: nibbles;  value = d * (q - 16)
@inline
def q5_0_halves(p, j):
    return five_bits(p + 22 * j + 2, p + 22 * (j + 4) + 2)


@inline
def q5_0_scales(p):
    return load_f16_each(p, 22)


# Q5_1: 32 values in 24 bytes.  0-1: d, f16;  2-3: m, f16;  4-7: fifth bits;  8-23: nibbles;  value = d * q + m
@inline
def q5_1_halves(p, j):
    return five_bits(p + 24 * j + 4, p + 24 * (j + 4) + 4)


@inline
def q5_1_scales(p):
    return load_f16_each(p, 24)


@inline
def q5_1_minimums(p):
    return load_f16_each(p + 2, 24)


# Q8_1: 32 values in 36 bytes.  0-1: d, f16;  2-3: d * sum of q, f16, not read;  4-35: q, int8[32];  value = d * q
@inline
def q8_1_integers(p, j):
    return load_i8x32(p + 36 * j + 4)


@inline
def q8_1_scales(p):
    return load_f16_each(p, 36)
