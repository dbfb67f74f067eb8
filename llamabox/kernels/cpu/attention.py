"""Attention over KV blocks: keys and values are read where they are stored, and no array grows with the square of the
length (arXiv:2205.14135).

A task is some rows of one sequence and some key heads, each with all query heads that share it: its queries. It works
through the sequence's cells a span of SPAN at a time: scores, softmax weights and weighted values of each query, its
record. Records are then folded into one, span after span. A long sequence with few rows is cut into a task a span; the
last to end folds. Either way a row's result depends on its own query and cells only, by this order of sums:

scores   tiles.py
weights  of a span: exp(score - largest); their total: 8 partial sums, one for the cells with the same cell mod 8
values   cell after cell within a span
spans    one after another: a * exp(largest of a - largest) + b * exp(largest of b - largest)

A block is unpacked to f32 in scratch, once for all queries of a task; a task of few queries reads f16 as it is.
"""

from typing import NamedTuple

import numpy as np
from numba import types

from llamabox.kernels.cpu.atomics import atomic_store, call, fetch_add
from llamabox.kernels.cpu.attention_layout import CALL, HEAD, RANGE, SPAN, padded
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.simd import (
    f32_of_bits,
    inline,
    largest_f32,
    load_f32,
    load_f32x8,
    load_f32x16,
    load_i32,
    max_f32,
    splat_f32x8,
    splat_f32x16,
    store,
    sum_f32,
)
from llamabox.kernels.cpu.vector_math import exp, tanh
from llamabox.kernels.kv import BLOCK

DIRECT = 8  # queries of a head; of more, each key and value is used often enough to be unpacked
NEGATIVE_INFINITY = np.float32(-np.inf)


_padded = inline(padded)


class Sizes(NamedTuple):
    """Of a task: key heads, queries of each, these filled up to a multiple of 4, queries a row, values a key and a
    value row, these padded, and bytes of a record."""

    heads: int
    queries: int
    filled: int
    group: int
    k_dim: int
    v_dim: int
    k_width: int
    v_width: int
    record: int


class Scratch(NamedTuple):
    """Addresses of a task's own memory, f32 but for ranges; n: queries of a head, filled up.

    block    keys or values of a block (BLOCK, width);  queries (heads, n, k_width);  scores (heads, n, SPAN)
    ranges   int32 (n, 2): the cells low .. high - 1 of the span that a query sees
    records  of a span, totals  of the spans so far: (heads, n) of largest score, total weight; HEAD bytes on: sums
    call     arguments of a kernel that is called
    """

    block: int
    queries: int
    scores: int
    ranges: int
    records: int
    totals: int
    call: int


@inline
def _sizes(args, part, heads):
    rows = types.int64(load_i32(part + 8))
    group, k_dim, v_dim = argument(args, 9), argument(args, 10), argument(args, 11)
    n = rows * group
    k_width, v_width = _padded(k_dim), _padded(v_dim)
    return Sizes(heads, n, (n + 3) & ~3, group, k_dim, v_dim, k_width, v_width, HEAD + 4 * v_width)


@inline
def _scratch(base, n):
    block = base + CALL
    queries, all_filled = block + 4 * BLOCK * max(n.k_width, n.v_width), n.heads * n.filled
    scores = queries + 4 * all_filled * n.k_width
    records = scores + 4 * all_filled * SPAN
    totals = records + all_filled * n.record
    return Scratch(block, queries, scores, totals + all_filled * n.record, records, totals, base)


@inline
def _scaled(source, size, factor, target, width):
    """A row of f32 times a factor, filled up with zeros."""
    for k in range(size & ~7, width, 8):
        store(target + 4 * k, splat_f32x8(0.0))
    for k in range(0, size & ~7, 8):
        store(target + 4 * k, load_f32x8(source + 4 * k) * factor)
    for k in range(size & ~7, size):
        store(target + 4 * k, types.float32(load_f32(source + 4 * k) * factor))


@inline
def _row_of(args, array, n, first, head, i, size):
    """Where in an array (T, H, size) the i-th query of a key head has its row."""
    return array + (((first + i // n.group) * argument(args, 8) + head) * n.group + i % n.group) * 4 * size


@inline
def _begin(args, m, n, first, head):
    """Scaled queries of the rows from `first` and the key heads from `head` on, and empty totals."""
    scale = f32_of_bits(types.int32(argument(args, 12)))
    for h in range(n.heads):
        for i in range(n.queries):
            q, at = _row_of(args, argument(args, 0), n, first, head + h, i, n.k_dim), h * n.filled + i
            _scaled(q, n.k_dim, scale, m.queries + 4 * at * n.k_width, n.k_width)
            store(m.totals + at * n.record + 4, types.float32(0))


@inline
def _set_ranges(args, ranges, n, first, start, end):
    """What each query sees of the cells start .. end - 1; positions ascend, so low and high do."""
    window, ahead = argument(args, 14), argument(args, 15)
    for i in range(n.filled):
        pos = load_i32(argument(args, 7) + 4 * (first + min(i, n.queries - 1) // n.group))
        low = max(0, pos - window + 1 - start) if window else 0
        store(ranges + 8 * i, types.int32(min(low, SPAN)))
        store(ranges + 8 * i + 4, types.int32(max(0, min(end, pos + 1 + ahead) - start)))


@inline
def _weigh(scores, low, high, softcap, slope, distance):
    """Scores of a query -> exp(score - largest) of the cells low .. high - 1, 0 of others in the same vectors; returns
    (largest, total). slope: ALiBi's, for the distance from the first cell to the query."""
    begin, end = low & ~7, (high + 7) & ~7
    if softcap > 0:
        for c in range(4 * begin, 4 * end, 32):
            store(scores + c, tanh(load_f32x8(scores + c) * (types.float32(1) / softcap)) * softcap)
    if slope != 0:
        for c in range(low, high):
            score = load_f32(scores + 4 * c) - slope * types.float32(abs(distance - c))
            store(scores + 4 * c, types.float32(score))
    for c in range(begin, low):
        store(scores + 4 * c, NEGATIVE_INFINITY)
    for c in range(high, end):
        store(scores + 4 * c, NEGATIVE_INFINITY)
    top = load_f32x8(scores + 4 * begin)
    for c in range(4 * begin + 32, 4 * end, 32):
        top = max_f32(top, load_f32x8(scores + c))
    largest, total = largest_f32(top), splat_f32x8(0.0)
    for c in range(4 * begin, 4 * end, 32):
        weight = exp(load_f32x8(scores + c) - largest)
        store(scores + c, weight)
        total = total + weight
    return largest, sum_f32(total)


@inline
def _weigh_all(args, m, n, records, first, head, start):
    """Weights of all queries for the span that begins at cell `start`; records of their totals, without values yet."""
    softcap, slopes = f32_of_bits(types.int32(argument(args, 13))), argument(args, 24)
    for at in range(n.heads * n.filled):
        h, i = at // n.filled, min(at % n.filled, n.queries - 1)  # rows that fill up are as the last
        low, high = load_i32(m.ranges + 8 * i), load_i32(m.ranges + 8 * i + 4)
        record, slope = records + at * n.record, types.float32(0)
        if slopes != 0:
            slope = load_f32(slopes + 4 * ((head + h) * n.group + i % n.group))
        largest, total = NEGATIVE_INFINITY, types.float32(0)
        if low < high:
            distance = load_i32(argument(args, 7) + 4 * (first + i // n.group)) - start
            largest, total = _weigh(m.scores + 4 * at * SPAN, low, high, softcap, slope, distance)
        store(record, types.float32(largest))
        store(record + 4, types.float32(total))
        for k in range(HEAD, n.record, 64):
            store(record + k, splat_f32x16(0.0))


@inline
def _row(args, which, part, head, cell):
    """Address of a cell's key (which = 0) or value (1) of a head, and of the next cell's in its block."""
    pool, strides, place, origin = argument(args, 2 + which), args + 8 * (18 + 3 * which), cell // BLOCK, 0
    if argument(args, 5) != 0:
        place = types.int64(load_i32(argument(args, 5) + 4 * (load_i32(part) + place)))
    else:
        origin = types.int64(load_i32(part + 16))
    step = argument(strides, 2)
    return pool + place * argument(strides, 0) + head * argument(strides, 1) + (origin + cell % BLOCK) * step, step


@inline
def _call(m, function, *values):
    """Call the kernel at an address with these int64 arguments."""
    for i in range(len(values)):
        store(m.call + 8 * i, values[i])
    call(function, m.call, 0, 0)


@inline
def _following(args, which, part, n, head, h, cell, end):
    """The row of the head after h, or of the first head in the next block if there is one; rows as _row's."""
    following = cell if h + 1 < n.heads else min(cell + BLOCK, end - 1)
    return _row(args, which, part, head + (h + 1 if h + 1 < n.heads else 0), following)


@inline
def _see_span(args, m, n, records, part, head, start):
    """The records of all queries for the cells of the span that begins at cell `start`."""
    first, end = load_i32(part + 4), min(start + SPAN, types.int64(load_i32(part + 12)))
    _set_ranges(args, m.ranges, n, first, start, end)
    begin, end = load_i32(m.ranges) // BLOCK * BLOCK, types.int64(load_i32(m.ranges + 8 * n.queries - 4))
    for at in range(begin, end, BLOCK):
        cells = min(BLOCK, end - at)
        for h in range(n.heads):
            (key, step), dot = _row(args, 0, part, head + h, start + at), argument(args, 30)
            if n.queries > DIRECT or dot == 0:
                _call(m, argument(args, 26), key, step, cells, n.k_dim, m.block, n.k_width, key, 0, 0)
                key, step, dot = m.block, 4 * n.k_width, argument(args, 28)
            later, gap = _following(args, 0, part, n, head, h, start + at, start + end)
            if at + BLOCK >= end and h + 1 == n.heads:
                later, gap = _row(args, 1, part, head, start + begin)
            q, scores = m.queries + 4 * h * n.filled * n.k_width, m.scores + 4 * h * n.filled * SPAN
            size = min(gap, 4 * n.k_dim)
            _call(m, dot, q, key, step, scores, m.ranges, n.queries, n.k_width, at, cells, later, gap, size)
    _weigh_all(args, m, n, records, first, head, start)
    for at in range(begin, end, BLOCK):
        cells = min(BLOCK, end - at)
        for h in range(n.heads):
            (value, step), mix = _row(args, 1, part, head + h, start + at), argument(args, 31)
            if n.queries > DIRECT or mix == 0:
                later, _ = _following(args, 1, part, n, head, h, start + at, start + end)
                size = min(step, 4 * n.v_dim)
                _call(m, argument(args, 27), value, step, cells, n.v_dim, m.block, n.v_width, later, step, size)
                value, step, mix = m.block, 4 * n.v_width, argument(args, 29)
            sums, scores = records + h * n.filled * n.record + HEAD, m.scores + 4 * h * n.filled * SPAN
            _call(m, mix, sums, n.record, scores, value, step, m.ranges, n.queries, n.v_width, at, cells)


@inline
def _fold(total, record, size):
    """Add a query's record of the next span to that of the spans before; a total weight of 0: nothing was seen."""
    if load_f32(record + 4) == 0:
        return
    if load_f32(total + 4) == 0:
        for k in range(0, size, 64):
            store(total + k, load_f32x16(record + k))
        return
    a, b = load_f32(total), load_f32(record)
    largest = max(a, b)
    keep, add = exp(splat_f32x8(types.float32(a - largest))), exp(splat_f32x8(types.float32(b - largest)))
    keep, add = largest_f32(keep), largest_f32(add)
    store(total, types.float32(largest))
    store(total + 4, types.float32(load_f32(total + 4) * keep + load_f32(record + 4) * add))
    for k in range(HEAD, size, 64):
        store(total + k, load_f32x16(total + k) * keep + load_f32x16(record + k) * add)


@inline
def _fold_all(m, n, records):
    for at in range(n.heads * n.filled):
        _fold(m.totals + at * n.record, records + at * n.record, n.record)


@inline
def _end(args, m, n, first, head):
    """The weighted values over the total weight."""
    for h in range(n.heads):
        for i in range(n.queries):
            total, out = m.totals + (h * n.filled + i) * n.record, argument(args, 1)
            factor, out = types.float32(1) / load_f32(total + 4), _row_of(args, out, n, first, head + h, i, n.v_dim)
            for k in range(0, n.v_dim & ~7, 8):
                store(out + 4 * k, load_f32x8(total + HEAD + 4 * k) * factor)
            for k in range(n.v_dim & ~7, n.v_dim):
                store(out + 4 * k, types.float32(load_f32(total + HEAD + 4 * k) * factor))


@inline
def _find(args, task):
    """The range that a task belongs to, and the number of the task in it."""
    ranges, low, high = argument(args, 4) + 4 * RANGE, 0, load_i32(argument(args, 4)) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if load_i32(ranges + 4 * RANGE * middle + 36) <= task:
            low = middle
        else:
            high = middle - 1
    part = ranges + 4 * RANGE * low
    return part, low, task - load_i32(part + 36)


@inline
def _records(args, n, part, head):
    """Where the first part of a range has its records, and bytes from a part to the next."""
    size = n.filled * n.record
    heads = argument(args, 8)
    return argument(args, 25) + load_i32(part + 32) * n.record * heads + head * size, size * heads


@inline
def _is_last(args, which, parts, head):
    """Whether all other parts of a range have ended."""
    counter = argument(args, 6) + 8 * (which * argument(args, 8) + head)
    if fetch_add(counter, 1) < parts - 1:
        return False
    atomic_store(counter, 0)
    return True


def attend(args, task, thread):
    """Attend to keys and values of any type.

    args: 0 q (T, H, E), 1 out (T, H, Ev), 2 keys, 3 values, 4 R and ranges int32 (1 + R, RANGE), 5 tables int32 or 0,
    6 counters int64 (R, K), 0 before and after, 7 positions int32 (T,), 8 key heads, 9 query heads a key head, 10 E,
    11 Ev, 12 scale (bits), 13 softcap (bits) or 0, 14 window or 0, 15 cells after its own that a row sees, 16 scratch,
    17 bytes of scratch a thread, 18-20 bytes from a block, head and cell of keys to the next, 21-23 the same of values,
    24 ALiBi's slopes f32 (H,) or 0, 25 records of split ranges; addresses of kernels: 26-27 of cache_types.read_rows
    for keys and values, 28-29 dot_block and mix_block of scratch; 30-31 the same of the cache, or 0

    A range: 0 where its table begins, 1 first row, 2 rows, 3 cells of the sequence, 4 its first cell where there are no
    tables, 5-6 its cells, beginning with a span, 7 into how many parts it is split, a span each (1: it is not), 8 its
    first record, over key heads, 9 its first task, 10 key heads a task. Tasks: parts, and for each all key heads.
    """
    (part, which, number), heads = _find(args, task), argument(args, 8)
    first, parts, at_once = load_i32(part + 4), load_i32(part + 28), types.int64(load_i32(part + 40))
    groups = (heads + at_once - 1) // at_once
    head, begin, end = number % groups * at_once, types.int64(load_i32(part + 20)), types.int64(load_i32(part + 24))
    n = _sizes(args, part, min(at_once, heads - head))
    m = _scratch(argument(args, 16) + thread * argument(args, 17), n)
    _begin(args, m, n, first, head)
    if parts == 1:
        for start in range(begin, end, SPAN):
            _see_span(args, m, n, m.records, part, head, start)
            _fold_all(m, n, m.records)
    else:
        number //= groups
        records, step = _records(args, n, part, head)
        _see_span(args, m, n, records + number * step, part, head, begin + number * SPAN)
        if not _is_last(args, which, parts, head):
            return
        for p in range(parts):
            _fold_all(m, n, records + p * step)
    _end(args, m, n, first, head)
