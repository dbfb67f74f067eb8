"""Attention over KV blocks: keys and values are read where they are stored, a block of cells at a time, and the softmax
is kept up to date as blocks pass (arXiv:2205.14135), so no array grows with the square of the length.

A task is some rows of one sequence and one key head, with all query heads that share it. A row's result depends on its
own query and cells only: its cells are visited in the same order whatever rows lie beside it.
"""

from typing import NamedTuple

import numpy as np
from numba import types

from llamabox.kernels.cpu.program import Kernel, argument
from llamabox.kernels.cpu.simd import (
    f32_of_bits,
    fma,
    inline,
    largest_f32,
    load_f32,
    load_f32x8,
    load_i32,
    load_i64,
    max_f32,
    splat_f32x8,
    store,
    sum_f32,
)
from llamabox.kernels.cpu.vector_math import exp, tanh
from llamabox.kernels.kv import BLOCK

NEGATIVE_INFINITY = np.float32(-np.inf)


def scratch_bytes(rows: int, group: int, k_dim: int, v_dim: int) -> int:
    """Bytes of scratch that a thread needs for tasks of this many rows and query heads a key head."""
    k_dim, v_dim = (k_dim + 7) & ~7, (v_dim + 7) & ~7
    return 4 * (BLOCK * (k_dim + v_dim + 1) + rows * group * (k_dim + v_dim + 2)) + 64


def store_rows(fmt):
    """The kernel that rounds rows to a cache's type and stores them in its blocks."""

    def store_in_blocks(args, task, thread):
        """args: 0 rows (T, K, E) f32, 1 T, 2 K, 3 E, 4 pool, 5 cells int64 (T,), 6-8 bytes from a block, head and cell
        of the pool to the next"""
        x, rows, heads, size = argument(args, 0), argument(args, 1), argument(args, 2), argument(args, 3)
        pool, cells = argument(args, 4), argument(args, 5)
        for row in range(rows):
            cell = load_i64(cells + 8 * row)
            place = pool + cell // BLOCK * argument(args, 6) + cell % BLOCK * argument(args, 8)
            for head in range(heads):
                fmt.write(place + head * argument(args, 7), x + 4 * (row * heads + head) * size, size)

    return Kernel(store_in_blocks, f"{fmt.name} store")


@inline
def _scaled(source, size, factor, target):
    """A row of f32 times a factor, filled up with zeros to a multiple of 8."""
    for k in range(0, size & ~7, 8):
        store(target + 4 * k, load_f32x8(source + 4 * k) * factor)
    if size & 7:
        store(target + 4 * (size & ~7), splat_f32x8(0.0))
        for k in range(size & ~7, size):
            store(target + 4 * k, types.float32(load_f32(source + 4 * k) * factor))


@inline
def _score_block(q, keys, width, scores):
    """Products of a query with the block's keys, padded rows of `width` f32 -> BLOCK scores."""
    for cell in range(0, BLOCK, 4):
        key = keys + 4 * cell * width
        a, b, c, d = splat_f32x8(0.0), splat_f32x8(0.0), splat_f32x8(0.0), splat_f32x8(0.0)
        for k in range(0, 4 * width, 32):
            v = load_f32x8(q + k)
            a = fma(v, load_f32x8(key + k), a)
            b = fma(v, load_f32x8(key + 4 * width + k), b)
            c = fma(v, load_f32x8(key + 8 * width + k), c)
            d = fma(v, load_f32x8(key + 12 * width + k), d)
        store(scores + 4 * cell, sum_f32(a))
        store(scores + 4 * cell + 4, sum_f32(b))
        store(scores + 4 * cell + 8, sum_f32(c))
        store(scores + 4 * cell + 12, sum_f32(d))


@inline
def _cap(scores, softcap):
    """Scores within (-softcap, softcap)."""
    for c in range(0, 4 * BLOCK, 32):
        store(scores + c, tanh(load_f32x8(scores + c) * (types.float32(1) / softcap)) * softcap)


@inline
def _weigh(scores, low, high, best):
    """Scores of the cells low .. high - 1 -> exp(score - largest), 0 elsewhere; returns (largest, their sum)."""
    for c in range(low):
        store(scores + 4 * c, NEGATIVE_INFINITY)
    for c in range(high, BLOCK):
        store(scores + 4 * c, NEGATIVE_INFINITY)
    top = load_f32x8(scores)
    for c in range(32, 4 * BLOCK, 32):
        top = max_f32(top, load_f32x8(scores + c))
    largest = largest_f32(top)
    if not largest > best:
        largest = best
    total = splat_f32x8(0.0)
    for c in range(0, 4 * BLOCK, 32):
        weight = exp(load_f32x8(scores + c) - largest)
        store(scores + c, weight)
        total = total + weight
    return largest, sum_f32(total)


@inline
def _mix_values(acc, shrink, weights, values, width, low, high):
    """acc * shrink + the values of the cells low .. high - 1, weighted; width is a multiple of 8."""
    for k in range(0, 4 * (width & ~31), 128):
        a, b = load_f32x8(acc + k) * shrink, load_f32x8(acc + k + 32) * shrink
        c, d = load_f32x8(acc + k + 64) * shrink, load_f32x8(acc + k + 96) * shrink
        for cell in range(low, high):
            weight, value = splat_f32x8(load_f32(weights + 4 * cell)), values + 4 * cell * width + k
            a, b = fma(weight, load_f32x8(value), a), fma(weight, load_f32x8(value + 32), b)
            c, d = fma(weight, load_f32x8(value + 64), c), fma(weight, load_f32x8(value + 96), d)
        store(acc + k, a)
        store(acc + k + 32, b)
        store(acc + k + 64, c)
        store(acc + k + 96, d)
    for k in range(4 * (width & ~31), 4 * width, 32):
        y = load_f32x8(acc + k) * shrink
        for cell in range(low, high):
            y = fma(splat_f32x8(load_f32(weights + 4 * cell)), load_f32x8(values + 4 * cell * width + k), y)
        store(acc + k, y)


class Sizes(NamedTuple):
    """Of a task: rows, query heads a key head, values a key and a value row, and these padded to a multiple of 8."""

    rows: int
    group: int
    k_dim: int
    v_dim: int
    k_width: int
    v_width: int


class Scratch(NamedTuple):
    """Addresses of a task's own f32 memory; of the last three, of one row's part of them too.

    keys, values  of the block at hand (BLOCK, width);  scores (BLOCK,)
    state         (rows, group, 2): largest score, total weight;  queries, sums (rows, group, width)
    """

    keys: int
    values: int
    scores: int
    state: int
    queries: int
    sums: int


class Mask(NamedTuple):
    """window or 0, how many cells after its own a row sees, and the cells that the task may see at all."""

    window: int
    ahead: int
    begin: int
    end: int


@inline
def _scratch(base, n):
    values = base + 4 * BLOCK * n.k_width
    scores = values + 4 * BLOCK * n.v_width
    state = scores + 4 * BLOCK
    queries = state + 8 * n.rows * n.group
    return Scratch(base, values, scores, state, queries, queries + 4 * n.rows * n.group * n.k_width)


@inline
def _row(m, n, r):
    """The scratch of row r."""
    state, queries = m.state + 8 * r * n.group, m.queries + 4 * r * n.group * n.k_width
    return Scratch(m.keys, m.values, m.scores, state, queries, m.sums + 4 * r * n.group * n.v_width)


@inline
def _begin_row(q, m, n, scale):
    """Scaled queries, empty sums, and (largest score, total weight) = (-inf, 0) of each query head of a row."""
    for g in range(n.group):
        _scaled(q + 4 * g * n.k_dim, n.k_dim, scale, m.queries + 4 * g * n.k_width)
        for k in range(0, 4 * n.v_width, 32):
            store(m.sums + 4 * g * n.v_width + k, splat_f32x8(0.0))
        store(m.state + 8 * g, NEGATIVE_INFINITY)
        store(m.state + 8 * g + 4, types.float32(0))


@inline
def _end_row(out, m, n):
    """The weighted values over the total weight."""
    for g in range(n.group):
        factor = types.float32(1) / load_f32(m.state + 8 * g + 4)
        for k in range(n.v_dim):
            store(out + 4 * (g * n.v_dim + k), types.float32(load_f32(m.sums + 4 * (g * n.v_width + k)) * factor))


@inline
def _lean(scores, slope, distance):
    """ALiBi: less for cells that are far away. distance: from the block's first cell to the row."""
    for c in range(BLOCK):
        score = load_f32(scores + 4 * c) - slope * types.float32(abs(distance - c))
        store(scores + 4 * c, types.float32(score))


@inline
def _see_block(m, n, low, high, softcap, slopes, distance):
    """A row sees the cells low .. high - 1 of the block in scratch; slopes (group,) or 0."""
    for g in range(n.group):
        state = m.state + 8 * g
        best = load_f32(state)
        _score_block(m.queries + 4 * g * n.k_width, m.keys, n.k_width, m.scores)
        if softcap > 0:
            _cap(m.scores, softcap)
        if slopes != 0:
            _lean(m.scores, load_f32(slopes + 4 * g), distance)
        largest, total = _weigh(m.scores, low, high, best)
        shrink = exp(splat_f32x8(types.float32(best - largest)))
        _mix_values(m.sums + 4 * g * n.v_width, shrink, m.scores, m.values, n.v_width, low, high)
        store(state, types.float32(largest))
        store(state + 4, types.float32(load_f32(state + 4) * largest_f32(shrink) + total))


@inline
def _mask(args, first, rows, cells):
    """The mask of rows first .. first + rows - 1; positions ascend."""
    positions, window, ahead = argument(args, 7), argument(args, 14), argument(args, 15)
    begin, end = 0, min(cells, load_i32(positions + 4 * (first + rows - 1)) + 1 + ahead)
    if window:
        begin = max(0, load_i32(positions + 4 * first) - window + 1)
    return Mask(window, ahead, begin, end)


@inline
def _visible(mask, pos, block, filled):
    """The cells low .. high - 1 of a block that a row at pos sees."""
    low = max(0, pos - mask.window + 1 - block * BLOCK) if mask.window else 0
    return low, min(filled, pos + 1 + mask.ahead - block * BLOCK)


@inline
def _load_block(args, key_format, value_format, place, head, origin, filled, m, n):
    """The first cells of a block as f32."""
    key = argument(args, 2) + place * argument(args, 18) + head * argument(args, 19)
    value = argument(args, 3) + place * argument(args, 21) + head * argument(args, 22)
    for cell in range(filled):
        key_format.read(key + (origin + cell) * argument(args, 20), n.k_dim, m.keys + 4 * cell * n.k_width)
        value_format.read(value + (origin + cell) * argument(args, 23), n.v_dim, m.values + 4 * cell * n.v_width)


def attend(key_format, value_format):
    """The kernel for a cache of these types, each a CacheType.

    args: 0 q (T, H, E), 1 out (T, H, Ev), 2 keys, 3 values, 4 chunks int32 (C, 5): sequence, first row, rows, cells of
    the sequence, its first cell where there are no tables; 5 tables int32 or 0, 6 blocks a table row, 7 positions
    int32 (T,), 8 key heads, 9 query heads a key head, 10 E, 11 Ev, 12 scale (bits), 13 softcap (bits) or 0, 14 window
    or 0, 15 cells after its own that a row sees, 16 scratch, 17 bytes of scratch a thread, 18-20 bytes from a block,
    head and cell of keys to the next, 21-23 the same of values, 24 ALiBi's slopes f32 (H,) or 0.
    """

    def attend_chunk(args, task, thread):
        heads, group, k_dim, v_dim = argument(args, 8), argument(args, 9), argument(args, 10), argument(args, 11)
        scale, softcap = f32_of_bits(types.int32(argument(args, 12))), f32_of_bits(types.int32(argument(args, 13)))
        chunk, head, tables = argument(args, 4) + 20 * (task // heads), task % heads, argument(args, 5)
        sequence, first, rows = load_i32(chunk), load_i32(chunk + 4), load_i32(chunk + 8)
        n = Sizes(rows, group, k_dim, v_dim, (k_dim + 7) & ~7, (v_dim + 7) & ~7)
        m = _scratch(argument(args, 16) + thread * argument(args, 17), n)
        mask, slopes = _mask(args, first, rows, load_i32(chunk + 12)), argument(args, 24)
        if slopes != 0:
            slopes += 4 * head * group
        for r in range(rows):
            q = argument(args, 0) + ((first + r) * heads + head) * 4 * group * k_dim
            _begin_row(q, _row(m, n, r), n, scale)
        for block in range(mask.begin // BLOCK, (mask.end + BLOCK - 1) // BLOCK):
            place = block
            if tables != 0:
                place = load_i32(tables + 4 * (sequence * argument(args, 6) + block))
            filled = min(BLOCK, mask.end - block * BLOCK)
            _load_block(args, key_format, value_format, place, head, load_i32(chunk + 16), filled, m, n)
            for r in range(rows):
                pos = load_i32(argument(args, 7) + 4 * (first + r))
                low, high = _visible(mask, pos, block, filled)
                if low < high:
                    _see_block(_row(m, n, r), n, low, high, softcap, slopes, pos - block * BLOCK)
        for r in range(rows):
            _end_row(argument(args, 1) + ((first + r) * heads + head) * 4 * group * v_dim, _row(m, n, r), n)

    return Kernel(attend_chunk, f"attend {key_format.name} {value_format.name}")
