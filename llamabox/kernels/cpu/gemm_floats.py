"""F32, F16 and BF16 weights times many f32 rows: blocks of 4 weight rows and 2 to 4 columns (rows of x) in registers.

The arithmetic of floats.py, so a row gives the same bits alone: 16 partial sums, added up in simd.sum_f32's order, then
the values left over, then the bias. CPUs with shorter vectors take the first 8 of the 16 sums, then the others.

Weights are read where they are, a batch of rows for one panel of columns after the other: the second-level cache keeps
them.
The first keeps PIECE values of a panel.

args: 0 weight, 1 bytes a weight row, 2 weight rows, 3 values a row, 4 rows of x (f32), 5 their number, 6 out,
      7 bytes an out row, 8 bias or 0, 9 weight rows a task, 10 scratch, 11 bytes of scratch a thread,
      12 weight rows read for one panel after the other
"""

from collections.abc import Callable

from numba import types

from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.floats import FLOATS, sixteen
from llamabox.kernels.cpu.gemm_floats_layout import BLOCK, COLUMNS, ROWS, SUMS
from llamabox.kernels.cpu.gemm_pack import called
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.simd import (
    f32x4,
    f32x8,
    fma,
    high_halves,
    inline,
    load_f32,
    load_f32x8,
    load_f32x16,
    low_halves,
    prefetch,
    shuffler,
    splat_f32x8,
    splat_f32x16,
    store,
)

LANES = 16 if FEATURES.avx512 else 8
PIECE = 1024  # values of a row

_load, _splat = (load_f32x16, splat_f32x16) if FEATURES.avx512 else (load_f32x8, splat_f32x8)


@inline
def _eight(fmt, p):
    return fmt.eight(p)


_load_weights = sixteen if FEATURES.avx512 else _eight


@inline
def _block_weights(fmt, rows, at):
    p, q, r, s, ahead = rows
    prefetch(p + at + ahead)
    prefetch(q + at + ahead)
    prefetch(r + at + ahead)
    prefetch(s + at + ahead)
    return (
        _load_weights(fmt, p + at),
        _load_weights(fmt, q + at),
        _load_weights(fmt, r + at),
        _load_weights(fmt, s + at),
    )


@inline
def _add_column(sums, w, x):
    v = _load(x)
    return fma(w[0], v, sums[0]), fma(w[1], v, sums[1]), fma(w[2], v, sums[2]), fma(w[3], v, sums[3])


@inline
def _load_sums(p, fresh):
    """The sums of a column so far: 0 at the start of a row."""
    if fresh:
        return _splat(0.0), _splat(0.0), _splat(0.0), _splat(0.0)
    return _load(p), _load(p + 64), _load(p + 128), _load(p + 192)


@inline
def _store_sums(p, sums):
    store(p, sums[0])
    store(p + 64, sums[1])
    store(p + 128, sums[2])
    store(p + 192, sums[3])


@called
def _add_two(fmt, rows, x, x_bytes, columns, steps, sums, fresh):
    """The sums of 4 weight rows times 2 columns (or once, twice the same), 16 * steps values on."""
    xb = x + (columns - 1) * x_bytes
    for first in range(0, 16, LANES):
        p = sums + 4 * first
        a, b = _load_sums(p, fresh), _load_sums(p + SUMS, fresh)
        for k in range(first, 16 * steps, 16):
            w = _block_weights(fmt, rows, k * fmt.size)
            a, b = _add_column(a, w, x + 4 * k), _add_column(b, w, xb + 4 * k)
        _store_sums(p, a)
        _store_sums(p + SUMS, b)


@called
def _add_three(fmt, rows, x, x_bytes, columns, steps, sums, fresh):
    """The same for 3 columns."""
    for first in range(0, 16, LANES):
        p = sums + 4 * first
        a, b, c = _load_sums(p, fresh), _load_sums(p + SUMS, fresh), _load_sums(p + 2 * SUMS, fresh)
        for k in range(first, 16 * steps, 16):
            w, y = _block_weights(fmt, rows, k * fmt.size), x + 4 * k
            a, b, c = _add_column(a, w, y), _add_column(b, w, y + x_bytes), _add_column(c, w, y + 2 * x_bytes)
        _store_sums(p, a)
        _store_sums(p + SUMS, b)
        _store_sums(p + 2 * SUMS, c)


@called
def _add_four(fmt, rows, x, x_bytes, columns, steps, sums, fresh):
    """The same for 4 columns; of 3 the last is taken twice."""
    last = (columns - 1) * x_bytes
    for first in range(0, 16, LANES):
        p = sums + 4 * first
        a, b = _load_sums(p, fresh), _load_sums(p + SUMS, fresh)
        c, d = _load_sums(p + 2 * SUMS, fresh), _load_sums(p + 3 * SUMS, fresh)
        for k in range(first, 16 * steps, 16):
            w, y = _block_weights(fmt, rows, k * fmt.size), x + 4 * k
            a, b = _add_column(a, w, y), _add_column(b, w, y + x_bytes)
            c, d = _add_column(c, w, y + 2 * x_bytes), _add_column(d, w, y + last)
        _store_sums(p, a)
        _store_sums(p + SUMS, b)
        _store_sums(p + 2 * SUMS, c)
        _store_sums(p + 3 * SUMS, d)


_add_more = _add_four if FEATURES.avx512 else _add_three


_first_pairs = shuffler(2, f32x8, [0, 1, 8, 9, 4, 5, 12, 13])
_last_pairs = shuffler(2, f32x8, [2, 3, 10, 11, 6, 7, 14, 15])
_even = shuffler(1, f32x4, [0, 2, 4, 6])
_odd = shuffler(1, f32x4, [1, 3, 5, 7])


@inline
def _halved(p):
    return load_f32x8(p) + load_f32x8(p + 32)


@inline
def _add_up(p):
    """The sums of a column, each 16 added in sum_f32's order: one lane a weight row."""
    a, b, c, d = _halved(p), _halved(p + 64), _halved(p + 128), _halved(p + 192)
    ac, bd = low_halves(a, c) + high_halves(a, c), low_halves(b, d) + high_halves(b, d)
    pairs = _first_pairs(ac, bd) + _last_pairs(ac, bd)
    return _even(pairs) + _odd(pairs)


@called
def _finish(fmt, weight, row_bytes, sums, x, width, out, bias, count):
    """A column's results for `count` weight rows: its sums added up, the values left over, the bias."""
    results = _add_up(sums)
    if count == ROWS and bias == 0 and width & 15 == 0:
        store(out, results)
        return
    store(sums, results)
    for i in range(count):
        y = load_f32(sums + 4 * i)
        for k in range(width & ~15, width):
            y += fmt.one(weight + i * row_bytes + k * fmt.size) * load_f32(x + 4 * k)
        if bias != 0:
            y += load_f32(bias + 4 * i)
        store(out + 4 * i, types.float32(y))


@inline
def _row_addresses(weight, row_bytes, rows, ahead):
    """Of 4 weight rows; where there are fewer, the last one stands for the others. And how far ahead to prefetch."""
    return (
        weight,
        weight + min(1, rows - 1) * row_bytes,
        weight + min(2, rows - 1) * row_bytes,
        weight + min(3, rows - 1) * row_bytes,
        ahead,
    )


@called
def _multiply_panel(fmt, weight, row_bytes, rows, x, columns, width, sums, first):
    """The sums of weight rows times at most COLUMNS columns; the first of them bring the weights into the cache."""
    ahead = ROWS * row_bytes if first else 0
    for k in range(0, max(1, width & ~15), PIECE):
        steps = min(PIECE, width - k) >> 4
        for row in range(0, rows, ROWS):
            block = _row_addresses(weight + row * row_bytes + k * fmt.size, row_bytes, rows - row, ahead)
            if columns > 2:
                _add_more(fmt, block, x + 4 * k, 4 * width, columns, steps, sums + row // ROWS * BLOCK, k == 0)
            else:
                _add_two(fmt, block, x + 4 * k, 4 * width, columns, steps, sums + row // ROWS * BLOCK, k == 0)


@called
def _multiply_batch(fmt, weights, rows_of_x, results, sums):
    """The results of weight rows that the second-level cache keeps."""
    (weight, row_bytes, rows, width), (x, n), (out, out_bytes, bias) = weights, rows_of_x, results
    for t in range(0, n, COLUMNS):
        xt, columns = x + 4 * t * width, min(COLUMNS, n - t)
        _multiply_panel(fmt, weight, row_bytes, rows, xt, columns, width, sums, t == 0)
        for row in range(0, rows, ROWS):
            block, added, count = weight + row * row_bytes, 0 if bias == 0 else bias + 4 * row, min(ROWS, rows - row)
            for c in range(columns):
                here, y = sums + row // ROWS * BLOCK + c * SUMS, out + (t + c) * out_bytes + 4 * row
                _finish(fmt, block, row_bytes, here, xt + 4 * c * width, width, y, added, count)


def many_rows(name: str) -> Callable:
    """The kernel of a type."""
    fmt = FLOATS[name]

    def multiply_rows(args, task, thread):
        row_bytes, per_task, batch = argument(args, 1), argument(args, 9), argument(args, 12)
        row, end = task * per_task, min(argument(args, 2), (task + 1) * per_task)
        while row < end:
            weight, bias = argument(args, 0) + row * row_bytes, argument(args, 8)
            _multiply_batch(
                fmt,
                (weight, row_bytes, min(batch, end - row), argument(args, 3)),
                (argument(args, 4), argument(args, 5)),
                (argument(args, 6) + 4 * row, argument(args, 7), 0 if bias == 0 else bias + 4 * row),
                argument(args, 10) + thread * argument(args, 11),
            )
            row += batch

    return multiply_rows
