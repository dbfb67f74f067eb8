"""How each type of the KV cache is read as f32 and written: a row (one head of one position) at a time.

    read(source, size, target)    size values -> f32, filled up with zeros to a multiple of 8
    write(target, source, size)   f32 -> size values, rounded as kv.encode does

Quantised types are blocks of 32 values. They are written by ggml's reference rounding, value by value: a step stores
few of them. Byte layouts: formats.py; IQ4_NL: 0-1: d, f16;  2-17: nibbles, low halves first;  value = d * LEVELS[q].
"""

from collections.abc import Callable
from math import copysign, floor, inf, nan

import numpy as np
from numba import types

from llamabox.gguf import GGMLType
from llamabox.gguf.dequant.iq import IQ4_LEVELS
from llamabox.kernels.cpu.described import Described
from llamabox.kernels.cpu.floats import FLOATS, FloatFormat
from llamabox.kernels.cpu.formats import FORMATS, Format
from llamabox.kernels.cpu.halves import load_f16, store_f16
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.simd import (
    i8x8,
    inline,
    load_f32,
    load_f32x8,
    load_i64,
    load_u16,
    load_u32,
    shuffler,
    signed_i32,
    splat_f32x8,
    store,
    to_f32,
)
from llamabox.kernels.cpu.tiles import prefetch_row
from llamabox.kernels.kv import BLOCK

LEVELS = IQ4_LEVELS.astype(np.float32)
TINY = np.float32(1e-15)  # an IQ4_NL block of smaller values is zero
ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)

octet_0, octet_1, octet_2, octet_3 = (shuffler(1, i8x8, range(i, i + 8)) for i in (0, 8, 16, 24))


class CacheType(Described):
    """One type; see the module's docstring."""

    def __init__(self, name: str, read: Callable, write: Callable):
        self.name, self.read, self.write = name, read, write

    def __reduce__(self):
        return cache_type, (self.name,)


def cache_type(name: str) -> CacheType:
    """The CacheType of a type by the type's name."""
    return CACHE[name]


def _plain(fmt: FloatFormat) -> CacheType:
    @inline
    def read(source, size, target):
        for k in range(0, size & ~7, 8):
            store(target + 4 * k, fmt.eight(source + k * fmt.size))
        if size & 7:
            store(target + 4 * (size & ~7), splat_f32x8(0.0))
            for k in range(size & ~7, size):
                store(target + 4 * k, types.float32(fmt.one(source + k * fmt.size)))

    @inline
    def write(target, source, size):
        for k in range(0, size, 8):
            at = min(k, size - 8)  # the last 8 may overlap those before them
            fmt.put(target + at * fmt.size, load_f32x8(source + 4 * at))

    return CacheType(fmt.name, read, write)


def _blocks(type: GGMLType, unpack: Callable, pack: Callable) -> CacheType:
    """unpack(p, target): the 32 values of the block at p; pack(x, p): the block of 32 finite f32."""
    block_bytes = type.type_size

    @inline
    def read(source, size, target):
        for k in range(0, size, 32):
            unpack(source + k // 32 * block_bytes, target + 4 * k)

    @inline
    def write(target, source, size):
        for k in range(0, size, 32):
            p = target + k // 32 * block_bytes
            if _all_finite(source + 4 * k):
                pack(source + 4 * k, p)
            else:  # the scale makes all of the block NaN
                for i in range(block_bytes):
                    store(p + i, types.uint8(0))
                store_f16(p, types.float32(nan))

    return CacheType(type.name, read, write)


def _with_scale(fmt: Format) -> Callable:
    """unpack of a type of FORMATS."""
    offset, has_minimum = fmt.offset, fmt.minimums is not None
    integers = fmt.integers

    @inline
    def unpack(p, target):
        q, d, m = integers(p, 0), load_f16(p), splat_f32x8(0.0)
        if has_minimum:
            m = splat_f32x8(load_f16(p + 2))
        store(target, _values(octet_0(q), offset) * d + m)
        store(target + 32, _values(octet_1(q), offset) * d + m)
        store(target + 64, _values(octet_2(q), offset) * d + m)
        store(target + 96, _values(octet_3(q), offset) * d + m)

    return unpack


@inline
def _values(octet, offset):
    return to_f32(signed_i32(octet) - offset)


@inline
def _unpack_iq4_nl(p, target):
    d = load_f16(p)
    for i in range(4):
        word = types.int64(load_u32(p + 2 + 4 * i))
        for j in range(4):
            k, code = 4 * i + j, word >> (8 * j)
            store(target + 4 * k, types.float32(d * LEVELS[code & 15]))
            store(target + 4 * (k + 16), types.float32(d * LEVELS[(code >> 4) & 15]))


@inline
def _all_finite(x):
    for k in range(32):
        if not abs(load_f32(x + 4 * k)) < inf:
            return False
    return True


@inline
def _furthest(x):
    """The value of largest size, the first of equals."""
    best = load_f32(x)
    for k in range(1, 32):
        value = load_f32(x + 4 * k)
        if abs(value) > abs(best):
            best = value
    return best


@inline
def _inverse(d):
    return types.float32(0) if d == 0 else types.float32(ONE / d)


@inline
def _code(value, low, inverse, half, top):
    """trunc((value - low) * inverse + half), at most top."""
    scaled = types.float32(types.float32(value - low) * inverse)
    return min(types.int64(types.float32(scaled + half)), top)


@inline
def _nibbles(x, p, low, inverse, half, top, fifths):
    """The low 4 bits of 32 codes at p, and where fifths is not 0 the fifth bits there."""
    bits = types.uint32(0)
    for k in range(16):
        a = _code(load_f32(x + 4 * k), low, inverse, half, top)
        b = _code(load_f32(x + 4 * (k + 16)), low, inverse, half, top)
        store(p + k, types.uint8((a & 15) | ((b & 15) << 4)))
        bits |= types.uint32(((a >> 4) << k) | ((b >> 4) << (k + 16)))
    if fifths != 0:
        store(fifths, types.uint32(bits))


@inline
def _pack_q8_0(x, p):
    d = types.float32(abs(_furthest(x)) / types.float32(127))
    inverse = _inverse(d)
    store_f16(p, d)
    for k in range(32):
        value = types.float32(load_f32(x + 4 * k) * inverse)
        size = abs(value)
        whole = types.float32(floor(size))
        whole += types.float32(1) if types.float32(size - whole) >= HALF else types.float32(0)  # halves away from 0
        store(p + 2 + k, types.int8(types.int64(copysign(whole, value))))


@inline
def _pack_q4_0(x, p):
    d = types.float32(_furthest(x) / types.float32(-8))
    store_f16(p, d)
    _nibbles(x, p + 2, ZERO, _inverse(d), types.float32(8.5), 15, 0)


@inline
def _pack_q5_0(x, p):
    d = types.float32(_furthest(x) / types.float32(-16))
    store_f16(p, d)
    _nibbles(x, p + 6, ZERO, _inverse(d), types.float32(16.5), 31, p + 2)


@inline
def _step_and_lowest(x, top):
    low = high = load_f32(x)
    for k in range(1, 32):
        value = load_f32(x + 4 * k)
        low, high = min(low, value), max(high, value)
    return types.float32(types.float32(high - low) / top), low


@inline
def _pack_q4_1(x, p):
    d, low = _step_and_lowest(x, types.float32(15))
    store_f16(p, d)
    store_f16(p + 2, low)
    _nibbles(x, p + 4, low, _inverse(d), HALF, 15, 0)


@inline
def _pack_q5_1(x, p):
    d, low = _step_and_lowest(x, types.float32(31))
    store_f16(p, d)
    store_f16(p + 2, low)
    _nibbles(x, p + 8, low, _inverse(d), HALF, 31, p + 4)


@inline
def _nearest_level(x):
    """The index of the level nearest to x; in a tie the higher one."""
    code = 0
    while code < 15 and not types.float32(x - LEVELS[code]) < types.float32(LEVELS[code + 1] - x):
        code += 1
    return code


@inline
def _pack_iq4_nl(x, p):
    largest = _furthest(x)
    inverse = _inverse(types.float32(largest / LEVELS[0]))
    above, below = types.float32(0), types.float32(0)
    for k in range(32):
        value = load_f32(x + 4 * k)
        code = 0 if abs(largest) < TINY else _nearest_level(types.float32(value * inverse))
        q, w = LEVELS[code], types.float32(value * value)
        weighted = types.float32(w * q)
        above += types.float32(weighted * value)
        below += types.float32(weighted * q)
        if k < 16:
            store(p + 2 + k, types.uint8(code))
        else:
            store(p + k - 14, types.uint8((load_u16(p + k - 14) & 15) | (code << 4)))
    empty = abs(largest) < TINY or below == 0
    store_f16(p, types.float32(0) if empty else types.float32(above / below))


def read_rows(name: str) -> Callable:
    """The kernel that reads rows of a CacheType."""
    fmt = CACHE[name]

    def read_cells(args, task, thread):
        """args: 0 source, 1 bytes from a row to the next, 2 rows, 3 values a row, 4 target, 5 f32 values from a row to
        the next, filled up with zeros, 6 as many rows that are needed later and asked for meanwhile, 7 bytes from one
        to the next, 8 bytes of one"""
        source, step, size, width = argument(args, 0), argument(args, 1), argument(args, 3), argument(args, 5)
        for row in range(argument(args, 2)):
            target = argument(args, 4) + 4 * row * width
            prefetch_row(argument(args, 6) + row * argument(args, 7), argument(args, 8))
            fmt.read(source + row * step, size, target)
            for k in range((size + 7) & ~7, width, 8):
                store(target + 4 * k, splat_f32x8(0.0))

    return read_cells


def store_rows(name: str) -> Callable:
    """The kernel that rounds rows to a CacheType and stores them in its blocks."""
    fmt = CACHE[name]

    def store_in_blocks(args, task, thread):
        """args: 0 rows (T, K, E) f32, 1 T, 2 K, 3 E, 4 pool, 5 cells int64 (T,), 6-8 bytes from a block, head and cell
        of the pool to the next, 9 rows a task"""
        x, rows, heads, size = argument(args, 0), argument(args, 1), argument(args, 2), argument(args, 3)
        pool, cells = argument(args, 4), argument(args, 5)
        per_task = argument(args, 9)
        for row in range(task * per_task, min(rows, (task + 1) * per_task)):
            cell = load_i64(cells + 8 * row)
            place = pool + cell // BLOCK * argument(args, 6) + cell % BLOCK * argument(args, 8)
            for head in range(heads):
                fmt.write(place + head * argument(args, 7), x + 4 * (row * heads + head) * size, size)

    return store_in_blocks


PACK = {
    GGMLType.Q8_0: _pack_q8_0,
    GGMLType.Q4_0: _pack_q4_0,
    GGMLType.Q4_1: _pack_q4_1,
    GGMLType.Q5_0: _pack_q5_0,
    GGMLType.Q5_1: _pack_q5_1,
}

CACHE = {
    t.name: t
    for t in (
        *(_plain(fmt) for fmt in FLOATS.values()),
        *(_blocks(type, _with_scale(FORMATS[type]), pack) for type, pack in PACK.items()),
        _blocks(GGMLType.IQ4_NL, _unpack_iq4_nl, _pack_iq4_nl),
    )
}
