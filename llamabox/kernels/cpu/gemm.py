"""Block weights times many quantised rows: ROWS weight rows at a time, a lane each, by panels of COLUMNS rows.

Every value of a group is multiplied by the same activation in all lanes, 4 values an instruction; a group's sum is
exact; accumulator j of a weight row and a column takes the groups j, j + 8, j + 16, ... in order, and the 8 are added
as ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)): the arithmetic of integer.py, so a row gives the same bits alone.

A tile stays in the second-level cache and is unpacked once for all rows; PIECE units of a panel stay in the first.

args: 0 weight, 1 bytes a weight row, 2 weight rows, 3 values a row, 4 quantised rows, 5 their number, 6 out,
      7 bytes an out row, 8 bias or 0, 9 weight rows a task, 10 scratch, 11 bytes of scratch a thread,
      12 weight rows unpacked at a time
"""

from collections.abc import Callable

from llamabox.kernels.cpu.gemm_format import TILE_FORMATS
from llamabox.kernels.cpu.gemm_lanes import load_bytes, load_floats, repeat_float, splat_float
from llamabox.kernels.cpu.gemm_layout import COLUMNS, PANEL_UNIT, PLANE, PLANES, ROWS, STEP, TALLY, VECTOR
from llamabox.kernels.cpu.gemm_pack import called, pack_panel, unpack_tile
from llamabox.kernels.cpu.layout import X_UNIT
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.simd import fma, inline, load_f32, prefetch, store, to_f32

PIECE = 8  # units


@inline
def _load_group(p):
    return (
        load_bytes(p),
        load_bytes(p + VECTOR),
        load_bytes(p + 2 * VECTOR),
        load_bytes(p + 3 * VECTOR),
        load_bytes(p + 4 * VECTOR),
        load_bytes(p + 5 * VECTOR),
        load_bytes(p + 6 * VECTOR),
        load_bytes(p + 7 * VECTOR),
    )


@inline
def _add_group(kind, acc, w, scales, group, x):
    """acc plus a group of the tile times the group of a column at x."""
    sums = kind.sums(kind, w, group, x)
    return kind.add_minimum(kind, fma(to_f32(sums), scales * repeat_float(x + 256), acc), group, x)


@inline
def _add_four(kind, accs, w, scales, group, x):
    a, b, c, d = accs
    a = _add_group(kind, a, w, scales, group, x)
    b = _add_group(kind, b, w, scales, group, x + PANEL_UNIT)
    c = _add_group(kind, c, w, scales, group, x + 2 * PANEL_UNIT)
    d = _add_group(kind, d, w, scales, group, x + 3 * PANEL_UNIT)
    return a, b, c, d


@inline
def _load_four(p):
    return load_floats(p), load_floats(p + VECTOR), load_floats(p + 2 * VECTOR), load_floats(p + 3 * VECTOR)


@inline
def _store_four(p, accs):
    store(p, accs[0])
    store(p + VECTOR, accs[1])
    store(p + 2 * VECTOR, accs[2])
    store(p + 3 * VECTOR, accs[3])


@called
def _add_four_columns(kind, tally, tile, x, units):
    """The accumulators of one group of every unit, for 4 columns."""
    accs, unit_bytes = _load_four(tally), 8 * kind.stride
    for u in range(units):
        group = tile + u * unit_bytes
        w, scales = _load_group(group), load_floats(group + 8 * VECTOR)
        accs = _add_four(kind, accs, w, scales, group, x + u * STEP)
    _store_four(tally, accs)


@called
def _add_eight_columns(kind, tally, tile, x, units):
    """The same for 8 columns."""
    accs, more, unit_bytes = _load_four(tally), _load_four(tally + 4 * VECTOR), 8 * kind.stride
    for u in range(units):
        group = tile + u * unit_bytes
        w, scales = _load_group(group), load_floats(group + 8 * VECTOR)
        accs = _add_four(kind, accs, w, scales, group, x + u * STEP)
        more = _add_four(kind, more, w, scales, group, x + u * STEP + 4 * PANEL_UNIT)
    _store_four(tally, accs)
    _store_four(tally + 4 * VECTOR, more)


@called
def _multiply_panel(kind, tile, panel, columns, groups, tallies, ahead, share):
    """The 8 accumulators of every column for a tile times a panel of 4 or 8. Meanwhile the memory at `ahead` is asked
    for, `share` bytes at a time.
    """
    for i in range(8 * COLUMNS):
        store(tallies + i * VECTOR, splat_float(0.0))
    for first in range(0, (groups + 7) >> 3, PIECE):
        for j in range(min(8, groups)):
            units = min(PIECE, ((groups - j + 7) >> 3) - first)
            for line in range(0, share, 64):
                prefetch(ahead + line)
            ahead += share
            group, x = tile + (8 * first + j) * kind.stride, panel + first * STEP + 4 * j
            if columns == 4:
                _add_four_columns(kind, tallies + j * TALLY, group, x, units)
            else:
                _add_eight_columns(kind, tallies + j * TALLY, group, x, units)


@inline
def _add_up(p):
    """The 8 accumulators at p, TALLY bytes apart, added in the order of simd.sum_f32."""
    a = load_floats(p) + load_floats(p + 4 * TALLY)
    b = load_floats(p + 2 * TALLY) + load_floats(p + 6 * TALLY)
    c = load_floats(p + TALLY) + load_floats(p + 5 * TALLY)
    d = load_floats(p + 3 * TALLY) + load_floats(p + 7 * TALLY)
    return (a + b) + (c + d)


@called
def _finish(tallies, columns, rows, out, out_bytes, bias):
    """The results of a tile and a panel, plus the bias, stored."""
    for c in range(columns):
        y, p = _add_up(tallies + c * VECTOR), out + c * out_bytes
        if rows == ROWS:
            store(p, y if bias == 0 else y + load_floats(bias))
        else:
            store(tallies, y)
            for row in range(rows):
                one = load_f32(tallies + 4 * row)
                store(p + 4 * row, one if bias == 0 else one + load_f32(bias + 4 * row))


@called
def _multiply_batch(fmt, weights, rows_of_x, results, scratch):
    """The results of weight rows that are unpacked together."""
    (weight, row_bytes, rows, groups), (x, n), (out, out_bytes, bias) = weights, rows_of_x, results
    units, planes = (groups + 7) >> 3, scratch + 8 * TALLY
    panel, tile_bytes = planes + PLANES * PLANE, units * 8 * fmt.kind.stride
    tiles = panel + units * STEP
    for row in range(0, rows, ROWS):
        unpack_tile(
            fmt, weight + row * row_bytes, row_bytes, rows - row, groups, tiles + row // ROWS * tile_bytes, planes
        )
    share = 2 * row_bytes // ((units + PIECE - 1) // PIECE)  # of the next batch's rows
    for t in range(0, n, COLUMNS):
        columns = 4 if n - t <= 4 else COLUMNS
        pack_panel(fmt.kind, fmt.offset, x + t * units * X_UNIT, n - t, columns, units, panel)
        for row in range(0, rows, ROWS):
            tile, ahead = tiles + row // ROWS * tile_bytes, weight + (rows + row) * row_bytes
            _multiply_panel(fmt.kind, tile, panel, columns, groups, scratch, ahead, share if t == 0 else 0)
            here, added = out + t * out_bytes + 4 * row, 0 if bias == 0 else bias + 4 * row
            _finish(scratch, min(COLUMNS, n - t), min(ROWS, rows - row), here, out_bytes, added)


def many_rows(name: str) -> Callable:
    """The kernel of a type."""
    fmt = TILE_FORMATS[name]

    def multiply_rows(args, task, thread):
        row_bytes, groups = argument(args, 1), argument(args, 3) >> 5
        per_task, batch = argument(args, 9), argument(args, 12)
        row, end = task * per_task, min(argument(args, 2), (task + 1) * per_task)
        while row < end:
            weight, bias = argument(args, 0) + row * row_bytes, argument(args, 8)
            _multiply_batch(
                fmt,
                (weight, row_bytes, min(batch, end - row), groups),
                (argument(args, 4), argument(args, 5)),
                (argument(args, 6) + 4 * row, argument(args, 7), 0 if bias == 0 else bias + 4 * row),
                argument(args, 10) + thread * argument(args, 11),
            )
            row += batch

    return multiply_rows
