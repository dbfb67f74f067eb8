"""Block weights times quantised rows.

One row (decode) reads each weight row once, straight from the file's bytes, and is bound by memory. Several rows share
a tile: TILE_ROWS weight rows are unpacked once into a thread's scratch and multiplied by all of them. Both do the same
arithmetic in the same order, so a row's result does not depend on how many there are.

args: 0 weight, 1 bytes a weight row, 2 weight rows, 3 values a row, 4 quantised rows, 5 their number, 6 out,
      7 bytes an out row, 8 bias or 0, 9 weight rows a task, 10 scratch, 11 bytes of scratch a thread
"""

from numba import types

from llamabox.kernels.cpu.program import Kernel, argument
from llamabox.kernels.cpu.simd import (
    high_halves,
    inline,
    load_f32,
    load_f32x8,
    load_i8x32,
    low_halves,
    prefetch,
    splat_f32x8,
    stack_512,
    store,
    sum_f32,
    sums_of_halves,
)
from llamabox.kernels.cpu.unit import (
    TILE_UNIT,
    X_UNIT,
    add_products,
    doubled_unit,
    mix_activations,
    spare_unit,
    unpack,
    unpack_to,
    whole_unit,
)

TILE_ROWS = 16
AHEAD = 2048  # bytes of weights asked for before their turn: measured, 20% faster than the CPU's own guess


@inline
def _finish(acc, out, bias, row):
    """Add the lanes and the bias of one result, and store it."""
    y = sum_f32(acc)
    if bias != 0:
        y += load_f32(bias + 4 * row)
    store(out + 4 * row, types.float32(y))


@inline
def _add_unit(fmt, acc, p, x):
    """acc plus the unit at p, read in place, times the activations at x."""
    w = unpack(fmt, p)
    sub = fmt.subscales(p)
    first, second = fmt.first(sub), fmt.second(sub)
    sums = fmt.half(w[0], w[1], w[2], w[3], x, first) + fmt.half(w[4], w[5], w[6], w[7], x + 128, second)
    acc = add_products(fmt, acc, sums, fmt.scales(p), first, second, x)
    return fmt.add_minimum(fmt, acc, p, x)


def one_row(fmt):
    """The kernel for a single quantised row."""
    unit_bytes = fmt.unit_bytes

    def multiply_row(args, task, thread):
        weight, row_bytes, rows = argument(args, 0), argument(args, 1), argument(args, 2)
        groups, x, out = argument(args, 3) >> 5, argument(args, 4), argument(args, 6)
        bias, per_task, spare = argument(args, 8), argument(args, 9), spare_unit(stack_512())
        for row in range(task * per_task, min(rows, (task + 1) * per_task)):
            p = weight + row * row_bytes
            acc = splat_f32x8(0.0)
            for u in range((groups + 7) >> 3):
                unit = whole_unit(fmt, p + u * unit_bytes, groups - 8 * u, spare)
                for line in range(0, unit_bytes, 64):
                    prefetch(p + u * unit_bytes + AHEAD + line)
                acc = _add_unit(fmt, acc, unit, x + u * X_UNIT)
            _finish(acc, out, bias, row)

    return Kernel(multiply_row, f"{fmt.name} one row")


@inline
def _add_tile_unit(fmt, acc_a, acc_b, tile, xa, xb):
    """Two accumulators, for the activations at xa and xb, plus the unit of a tile."""
    first, second = fmt.tile_sub(tile + 288), fmt.tile_sub(tile + 320)
    a, b, c, d = load_i8x32(tile), load_i8x32(tile + 32), load_i8x32(tile + 64), load_i8x32(tile + 96)
    sums_a, sums_b = fmt.half(a, b, c, d, xa, first), fmt.half(a, b, c, d, xb, first)
    a, b, c, d = load_i8x32(tile + 128), load_i8x32(tile + 160), load_i8x32(tile + 192), load_i8x32(tile + 224)
    sums_a = sums_a + fmt.half(a, b, c, d, xa + 128, second)
    sums_b = sums_b + fmt.half(a, b, c, d, xb + 128, second)
    scales = load_f32x8(tile + 256)
    acc_a = fmt.add_tile_minimum(add_products(fmt, acc_a, sums_a, scales, first, second, xa), tile, xa)
    acc_b = fmt.add_tile_minimum(add_products(fmt, acc_b, sums_b, scales, first, second, xb), tile, xb)
    return acc_a, acc_b


@inline
def _add_mixed_unit(fmt, acc_a, acc_b, tile, x):
    """The first halves of both accumulators, side by side, plus a doubled unit of a tile times mixed activations."""
    first, second = fmt.tile_sub(tile + 288), fmt.tile_sub(tile + 320)
    a, b, c, d = load_i8x32(tile), load_i8x32(tile + 32), load_i8x32(tile + 64), load_i8x32(tile + 96)
    sums = fmt.half(a, b, c, d, x, first)
    a, b, c, d = load_i8x32(tile + 128), load_i8x32(tile + 160), load_i8x32(tile + 192), load_i8x32(tile + 224)
    sums = sums + fmt.half(a, b, c, d, x + 128, second)
    acc = add_products(fmt, low_halves(acc_a, acc_b), sums, load_f32x8(tile + 256), first, second, x)
    return fmt.add_tile_minimum(acc, tile, x)


def many_rows(fmt):
    """The kernel for several quantised rows. A last unit of at most 4 groups is multiplied by two rows at once."""
    unit_bytes = fmt.unit_bytes

    def multiply_rows(args, task, thread):
        weight, row_bytes, rows = argument(args, 0), argument(args, 1), argument(args, 2)
        groups, x, n = argument(args, 3) >> 5, argument(args, 4), argument(args, 5)
        out, out_bytes, bias, per_task = argument(args, 6), argument(args, 7), argument(args, 8), argument(args, 9)
        tile, spare = argument(args, 10) + thread * argument(args, 11), spare_unit(stack_512())
        units = (groups + 7) >> 3
        half = 1 if 0 < (groups & 7) <= 4 else 0
        whole = units - half
        first = task * per_task
        count = min(rows - first, per_task)
        for row in range(count):
            p = weight + (first + row) * row_bytes
            for u in range(whole):
                unit = whole_unit(fmt, p + u * unit_bytes, groups - 8 * u, spare)
                unpack_to(fmt, unit, tile + (row * units + u) * TILE_UNIT)
            if half:
                unit = doubled_unit(fmt, p + whole * unit_bytes, groups & 7, spare)
                unpack_to(fmt, unit, tile + (row * units + whole) * TILE_UNIT)
        for t in range(0, n, 2):
            xa = x + t * units * X_UNIT
            other = min(t + 1, n - 1)  # an odd last row is multiplied twice
            xb = x + other * units * X_UNIT
            if half:
                mix_activations(xa + whole * X_UNIT, xb + whole * X_UNIT, spare)
            for row in range(count):
                acc_a, acc_b = splat_f32x8(0.0), splat_f32x8(0.0)
                w = tile + row * units * TILE_UNIT
                for u in range(whole):
                    acc_a, acc_b = _add_tile_unit(
                        fmt, acc_a, acc_b, w + u * TILE_UNIT, xa + u * X_UNIT, xb + u * X_UNIT
                    )
                if half:
                    low = _add_mixed_unit(fmt, acc_a, acc_b, w + whole * TILE_UNIT, spare)
                else:
                    low = low_halves(acc_a, acc_b)
                a, b = sums_of_halves(low + high_halves(acc_a, acc_b))  # the order of sum_f32
                if bias != 0:
                    a, b = a + load_f32(bias + 4 * (first + row)), b + load_f32(bias + 4 * (first + row))
                store(out + t * out_bytes + 4 * (first + row), types.float32(a))
                store(out + other * out_bytes + 4 * (first + row), types.float32(b))

    return Kernel(multiply_rows, f"{fmt.name} many rows")
