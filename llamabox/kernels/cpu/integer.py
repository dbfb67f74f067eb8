"""Block weights times one quantised row (decode): each weight row is read once, straight from the file's bytes.

Many rows: gemm.py, the same arithmetic in the same order.

args: 0 weight, 1 bytes a weight row, 2 weight rows, 3 values a row, 4 quantised row, 5 and 7 unused, 6 out,
      8 bias or 0, 9 weight rows a task
"""

from numba import types

from llamabox.kernels.cpu.program import Kernel, argument
from llamabox.kernels.cpu.simd import (
    inline,
    load_f32,
    prefetch,
    splat_f32x8,
    stack_512,
    store,
    sum_f32,
)
from llamabox.kernels.cpu.unit import (
    X_UNIT,
    add_products,
    spare_unit,
    unpack,
    whole_unit,
)

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
