"""Rows of f32 quantised to 8 bits, 32 values a scale: what block weights are multiplied by. Layout: layout.py."""

import numpy as np
from numba import types

from llamabox.kernels.cpu.layout import X_PAIRS, X_SUMS, X_UNIT
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.simd import (
    bits_of,
    f32_of_bits,
    i64_of_bytes,
    inline,
    join,
    largest_i32,
    load_f32x8,
    max_i32,
    narrow_i8,
    narrow_i8x8,
    splat_f32x8,
    store,
    sum_i32,
    to_i32,
)

INFINITY_BITS = 0x7F800000
TINY = np.float32(1e-30)  # a group whose largest value is below this is zero: 1 / scale must not overflow
NAN = np.float32(np.nan)


@inline
def _store_octet(x, s, q):
    """8 integers, values 4s .. 4s + 7 of the group that begins at x."""
    both = i64_of_bytes(narrow_i8x8(q))
    store(x + 32 * s, types.uint32(both))
    store(x + 32 * s + 32, types.uint32(both >> 32))


@inline
def _store_group(x, j, scale, sum_a, sum_b):
    store(x + 256 + 4 * j, types.float32(scale))
    store(x + 288 + 4 * j, types.int16(sum_a))
    store(x + 290 + 4 * j, types.int16(sum_b))
    store(x + X_SUMS + 4 * j, types.float32(types.float32(sum_a + sum_b) * scale))


@inline
def quantise_group(a, b, c, d, x, j):
    """32 values, 8 in each vector, into group j of the unit at x: scale = largest / 127, rounded to f16's precision,
    NaN if a value is not finite; q = round(127 value / largest)."""
    one = max_i32(bits_of(a) & 0x7FFFFFFF, bits_of(b) & 0x7FFFFFFF)  # as integers, magnitudes order like the values
    two = max_i32(bits_of(c) & 0x7FFFFFFF, bits_of(d) & 0x7FFFFFFF)  # and NaN lies above infinity
    bits = largest_i32(max_i32(one, two))
    largest = f32_of_bits(bits)
    scale, inverse = types.float32(0), types.float32(0)
    if bits >= INFINITY_BITS:
        scale = NAN
    elif largest > TINY:
        scale = largest / types.float32(127)
        high = scale * types.float32(8193)  # 2^13 + 1
        scale = high - (high - scale)  # the nearest with 11 significant bits: ggml keeps these scales in f16
        inverse = types.float32(127) / largest
    factor = splat_f32x8(inverse)
    qa, qb, qc, qd = to_i32(a * factor), to_i32(b * factor), to_i32(c * factor), to_i32(d * factor)
    pair = x + X_PAIRS + 64 * (j & 3) + 16 * (j >> 2)
    store(pair, narrow_i8(join(qa, qb)))
    store(pair + 32, narrow_i8(join(qc, qd)))
    octets = x + 4 * j
    _store_octet(octets, 0, qa)
    _store_octet(octets, 2, qb)
    _store_octet(octets, 4, qc)
    _store_octet(octets, 6, qd)
    _store_group(x, j, scale, sum_i32(qa + qb), sum_i32(qc + qd))


@inline
def clear_group(x, j):
    """Zeros for group j, which lies beyond the end of a row."""
    for s in range(8):
        store(x + 32 * s + 4 * j, types.uint32(0))
    pair = x + X_PAIRS + 64 * (j & 3) + 16 * (j >> 2)
    for i in (0, 8, 32, 40):
        store(pair + i, types.uint64(0))
    _store_group(x, j, types.float32(0), 0, 0)


def quantise(args, task, thread):
    """args: 0 source, 1 values a row, 2 rows, 3 rows a task, 4 target.  Groups beyond the row's end are zero."""
    source, width, rows = argument(args, 0), argument(args, 1), argument(args, 2)
    per_task, target = argument(args, 3), argument(args, 4)
    units = (width + 255) // 256
    for row in range(task * per_task, min(rows, (task + 1) * per_task)):
        for group in range(units * 8):
            x = target + (row * units + (group >> 3)) * X_UNIT
            if group * 32 < width:
                v = source + 4 * (row * width + group * 32)
                a, b, c, d = load_f32x8(v), load_f32x8(v + 32), load_f32x8(v + 64), load_f32x8(v + 96)
                quantise_group(a, b, c, d, x, group & 7)
            else:
                clear_group(x, group & 7)
