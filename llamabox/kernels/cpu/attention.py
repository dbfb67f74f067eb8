"""Attention over KV blocks: keys and values are read where they are stored, and no array grows with the square of the
length (arXiv:2205.14135).

A task is some rows of one sequence and one key head, with all query heads that share it: its queries. It works through
the sequence's cells a span of SPAN at a time: scores, softmax weights and weighted values of each query, its record.
Records are then folded into one, span after span. A long sequence with few rows is cut into a task a span; the last to
end folds. Either way a row's result depends on its own query and cells only, by this order of sums:

scores   tiles.py
weights  of a span: exp(score - largest); their total: 8 partial sums, one for the cells with the same cell mod 8
values   cell after cell within a span
spans    one after another: a * exp(largest of a - largest) + b * exp(largest of b - largest)

A block is unpacked to f32 in scratch, once for all queries of a task.
"""

from typing import NamedTuple

import numpy as np
from numba import types

from llamabox.kernels.cpu.atomics import atomic_store, call, fetch_add
from llamabox.kernels.cpu.program import argument, kernel
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
from llamabox.kernels.cpu.tiles import LANES, SPAN
from llamabox.kernels.cpu.vector_math import exp, tanh
from llamabox.kernels.kv import BLOCK

PART = 12  # int32s that describe a part
CALL = 128  # bytes for the arguments of a call
HEAD = 64  # bytes of a record before its values: largest score, total weight
NEGATIVE_INFINITY = np.float32(-np.inf)


def padded(size: int) -> int:
    """Values of a row in scratch."""
    return (size + LANES - 1) // LANES * LANES


def record_bytes(v_dim: int) -> int:
    """Bytes of a query's record."""
    return HEAD + 4 * padded(v_dim)


def scratch_bytes(queries: int, k_dim: int, v_dim: int) -> int:
    """Bytes of scratch that a thread needs for tasks of so many queries, a multiple of 4."""
    block = CALL + 4 * BLOCK * max(padded(k_dim), padded(v_dim))
    return block + queries * (8 + 4 * SPAN + 4 * padded(k_dim) + 2 * record_bytes(v_dim)) + 64 & ~63


class Sizes(NamedTuple):
    """Of a task: queries, these filled up to a multiple of 4, queries a row, values a key and a value row, these
    padded, and bytes of a record."""

    queries: int
    filled: int
    group: int
    k_dim: int
    v_dim: int
    k_width: int
    v_width: int
    record: int


class Scratch(NamedTuple):
    """Addresses of a task's own memory, f32 but for ranges; n: queries, filled up.

    block    keys or values of a block (BLOCK, width);  queries (n, k_width);  scores (n, SPAN)
    ranges   int32 (n, 2): the cells low .. high - 1 of the span that a query sees
    records  of a span, totals  of the spans so far: (n,) of largest score, total weight; HEAD bytes on: v_width sums
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
def _sizes(args, rows):
    group, k_dim, v_dim = argument(args, 9), argument(args, 10), argument(args, 11)
    n = rows * group
    k_width, v_width = (k_dim + LANES - 1) // LANES * LANES, (v_dim + LANES - 1) // LANES * LANES
    return Sizes(n, (n + 3) & ~3, group, k_dim, v_dim, k_width, v_width, HEAD + 4 * v_width)


@inline
def _scratch(base, n):
    block = base + CALL
    queries = block + 4 * BLOCK * max(n.k_width, n.v_width)
    scores = queries + 4 * n.filled * n.k_width
    records = scores + 4 * n.filled * SPAN
    totals = records + n.filled * n.record
    return Scratch(block, queries, scores, totals + n.filled * n.record, records, totals, base)


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
def _begin(args, m, n, first, head):
    """Scaled queries of the rows from `first` on, and empty totals."""
    scale, heads = f32_of_bits(types.int32(argument(args, 12))), argument(args, 8)
    for i in range(n.queries):
        q = argument(args, 0) + (((first + i // n.group) * heads + head) * n.group + i % n.group) * 4 * n.k_dim
        _scaled(q, n.k_dim, scale, m.queries + 4 * i * n.k_width, n.k_width)
        store(m.totals + i * n.record + 4, types.float32(0))


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
    for i in range(n.queries):
        low, high = load_i32(m.ranges + 8 * i), load_i32(m.ranges + 8 * i + 4)
        record, slope = records + i * n.record, types.float32(0)
        if slopes != 0:
            slope = load_f32(slopes + 4 * (head * n.group + i % n.group))
        largest, total = NEGATIVE_INFINITY, types.float32(0)
        if low < high:
            distance = load_i32(argument(args, 7) + 4 * (first + i // n.group)) - start
            largest, total = _weigh(m.scores + 4 * i * SPAN, low, high, softcap, slope, distance)
        store(record, types.float32(largest))
        store(record + 4, types.float32(total))
    for i in range(n.filled):
        for k in range(HEAD, n.record, 64):
            store(records + i * n.record + k, splat_f32x16(0.0))


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
def _see_span(args, m, n, records, part, head, start):
    """The records of all queries for the cells of the span that begins at cell `start`."""
    first, end = load_i32(part + 4), min(start + SPAN, types.int64(load_i32(part + 12)))
    _set_ranges(args, m.ranges, n, first, start, end)
    begin, end = load_i32(m.ranges) // BLOCK * BLOCK, types.int64(load_i32(m.ranges + 8 * n.queries - 4))
    q, scores, ranges = m.queries, m.scores, m.ranges
    for at in range(begin, end, BLOCK):
        cells, (key, step) = min(BLOCK, end - at), _row(args, 0, part, head, start + at)
        _call(m, argument(args, 26), key, step, cells, n.k_dim, m.block, n.k_width, key, 0, 0)
        more = at + BLOCK < end
        later, step = _row(args, 0 if more else 1, part, head, start + (at + BLOCK if more else begin))
        size = min(step, 4 * n.k_dim)
        _call(m, argument(args, 28), q, m.block, scores, ranges, n.queries, n.k_width, at, cells, later, step, size)
    _weigh_all(args, m, n, records, first, head, start)
    for at in range(begin, end, BLOCK):
        cells, (value, step) = min(BLOCK, end - at), _row(args, 1, part, head, start + at)
        later, step = _row(args, 1, part, head, start + min(at + BLOCK, end - 1))
        size = min(step, 4 * n.v_dim)
        _call(m, argument(args, 27), value, step, cells, n.v_dim, m.block, n.v_width, later, step, size)
        to = records + HEAD
        _call(m, argument(args, 29), to, n.record, scores, m.block, ranges, n.queries, n.v_width, at, cells)


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
def _end(args, m, n, first, head):
    """The weighted values over the total weight."""
    heads = argument(args, 8)
    for i in range(n.queries):
        total = m.totals + i * n.record
        factor = types.float32(1) / load_f32(total + 4)
        out = argument(args, 1) + (((first + i // n.group) * heads + head) * n.group + i % n.group) * 4 * n.v_dim
        for k in range(n.v_dim):
            store(out + 4 * k, types.float32(load_f32(total + HEAD + 4 * k) * factor))


@inline
def _split(args, m, n, part, head):
    """Where this part of a split range has its records (0: it is not split), of its first part, and of a part."""
    parts, size = load_i32(part + 32), n.filled * n.record * argument(args, 8)
    first = argument(args, 25) + load_i32(part + 28) * n.record * argument(args, 8) + head * n.filled * n.record
    return (first + load_i32(part + 36) * size if parts > 1 else 0), first, size


@inline
def _is_last(args, part, head):
    """Whether all other parts of a split range have ended."""
    counter, parts = argument(args, 6) + 8 * (load_i32(part + 40) * argument(args, 8) + head), load_i32(part + 32)
    if fetch_add(counter, 1) < parts - 1:
        return False
    atomic_store(counter, 0)
    return True


@kernel
def attend(args, task, thread):
    """Attend to keys and values of any type.

    args: 0 q (T, H, E), 1 out (T, H, Ev), 2 keys, 3 values, 4 parts int32 (P, PART), 5 tables int32 or 0, 6 counters
    int64, 0 before and after, 7 positions int32 (T,), 8 key heads, 9 query heads a key head, 10 E, 11 Ev, 12 scale
    (bits), 13 softcap (bits) or 0, 14 window or 0, 15 cells after its own that a row sees, 16 scratch, 17 bytes of
    scratch a thread, 18-20 bytes from a block, head and cell of keys to the next, 21-23 the same of values, 24 ALiBi's
    slopes f32 (H,) or 0, 25 records of split ranges; addresses of kernels: 26-27 of cache_types.read_rows for keys and
    values, 28 dot_block, 29 mix_block

    A part: 0 where its table begins, 1 first row, 2 rows, 3 cells of the sequence, 4 its first cell where there are no
    tables, 5-6 the part's cells, beginning with a span; of a range that is split into parts, a span each: 7 its first
    record, over key heads, 8 parts, 9 number of this part, 10 counter, over key heads. Tasks: parts times key heads.
    """
    heads = argument(args, 8)
    part, head = argument(args, 4) + 4 * PART * (task // heads), task % heads
    first, n = load_i32(part + 4), _sizes(args, types.int64(load_i32(part + 8)))
    m = _scratch(argument(args, 16) + thread * argument(args, 17), n)
    records, base, step = _split(args, m, n, part, head)
    _begin(args, m, n, first, head)
    for start in range(load_i32(part + 20), load_i32(part + 24), SPAN):
        at = m.records if records == 0 else records
        _see_span(args, m, n, at, part, head, start)
        if records == 0:
            for i in range(n.queries):
                _fold(m.totals + i * n.record, m.records + i * n.record, n.record)
    if records != 0:
        if not _is_last(args, part, head):
            return
        for p in range(load_i32(part + 32)):
            for i in range(n.queries):
                _fold(m.totals + i * n.record, base + p * step + i * n.record, n.record)
    _end(args, m, n, first, head)
