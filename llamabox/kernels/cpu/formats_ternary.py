"""The 1- and 2-bit types with one scale a block: TQ1_0, TQ2_0, Q1_0, Q2_0; what the functions are: formats.py."""

import numpy as np
from numba import types

from llamabox.kernels.cpu.halves import load_f16, load_f16_pairs, load_f16_quads
from llamabox.kernels.cpu.simd import (
    bytes_of_i64,
    inline,
    join,
    load_i8x16,
    load_i8x32,
    load_i32,
    load_i64,
    load_u32,
    mask_i8x32,
    splat_f32x8,
    unsigned_i32x8,
)
from llamabox.kernels.cpu.tables import table
from llamabox.kernels.cpu.unpacking import bytes_of_i32x8, four_times, thirds

TQ1_RUNS = [[(3**n, 32)] for n in range(5)] + [[(1, 16), (3, 16)], [(9, 16), (27, 16)]]
TQ1_RUNS += [[(81, 16), (1, 4), (3, 4), (9, 4), (27, 4)]]
tq1_powers = table(np.array([[power for power, count in runs for _ in range(count)] for runs in TQ1_RUNS], np.uint8))


# TQ1_0: 256 values in 54 bytes.  0-47: five base-3 digits a byte, in runs of 32 and 16 bytes;  48-51: four digits a
# byte;  52-53: d, f16;  value = d * (digit - 1)
# A byte is a base-3 fraction in 256ths: multiplied by 3^n (mod 256), it has digit n on top.
@inline
def tq1_0_integers(p, j):
    if j < 5:
        source = load_i8x32(p)
    elif j < 7:
        source = join(load_i8x16(p + 32), load_i8x16(p + 32))
    else:
        source = join(load_i8x16(p + 32), four_times(load_i32(p + 48)))
    return thirds(source * load_i8x32(tq1_powers() + 32 * j))


@inline
def tq1_0_scales(p):
    return splat_f32x8(load_f16(p + 52))


# TQ2_0: 256 values in 66 bytes.  0-63: codes, 2 bits, groups 4n .. 4n + 3 in bytes 32n .. 32n + 31;  64-65: d, f16
# value = d * (code - 1)
@inline
def tq2_0_integers(p, j):
    return (load_i8x32(p + (j >> 2) * 32) >> (2 * (j & 3))) & 3


@inline
def tq2_0_scales(p):
    return splat_f32x8(load_f16(p + 64))


# Q1_0: 128 values in 18 bytes.  0-1: d, f16;  2-17: one bit each;  value = d or -d
@inline
def q1_0_integers(p, j):
    return mask_i8x32(load_u32(p + 18 * (j >> 2) + 2 + 4 * (j & 3))) & 2


@inline
def q1_0_scales(p):
    return load_f16_quads(p, 18)


# Q2_0: 64 values in 18 bytes.  0-1: d, f16;  2-17: codes, 2 bits, four neighbours a byte;  value = d * (code - 1)
@inline
def q2_0_integers(p, j):
    q = unsigned_i32x8(bytes_of_i64(types.uint64(load_i64(p + 18 * (j >> 1) + 2 + 8 * (j & 1)))))
    return bytes_of_i32x8((q | (q << 6) | (q << 12) | (q << 18)) & 0x03030303)  # a code a byte


@inline
def q2_0_scales(p):
    return load_f16_pairs(p, 18)
