"""Block weights times 2 to 4 quantised rows (columns): integer.py's kernel, each unit of the weights unpacked
once: LLVM sees that add_unit does the same with it for every column.

args: 0 weight, 1 bytes a weight row, 2 weight rows, 3 values a row, 4 quantised rows, 5 their number, 6 out,
      7 bytes an out row, 8 bias or 0, 9 weight rows a task
"""

from collections.abc import Callable

from numba import types

from llamabox.kernels.cpu.layout import X_UNIT
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.simd import (
    inline,
    load_f32,
    splat_f32x8,
    stack_512,
    store,
    sum_f32,
)
from llamabox.kernels.cpu.unit import OPENED, UNITS, add_unit, readable_unit


@inline
def _unit(fmt, row, u, groups, end, memory):
    """Where the functions of a type read unit u of the weight row at `row`."""
    if 8 * u >= groups:
        return row
    spare, opened = memory, memory + (u & 1) * OPENED
    return fmt.opened(readable_unit(fmt, row + u * fmt.unit_bytes, groups - 8 * u, end, spare), opened)


@inline
def _finish(acc, out, bias):
    y = sum_f32(acc)
    store(out, types.float32(y if bias == 0 else y + load_f32(bias)))


def two_rows(name: str) -> Callable:
    """The kernel of a type for 2 rows."""
    fmt = UNITS[name]

    def multiply_two(args, task, thread):
        weight, row_bytes, rows = argument(args, 0), argument(args, 1), argument(args, 2)
        groups, out, out_bytes, bias = argument(args, 3) >> 5, argument(args, 6), argument(args, 7), argument(args, 8)
        per_task, end, memory = argument(args, 9), weight + rows * row_bytes, stack_512()
        units = (groups + 7) >> 3
        for row in range(task * per_task, min(rows, (task + 1) * per_task)):
            a, b = splat_f32x8(0.0), splat_f32x8(0.0)
            base = weight + row * row_bytes
            following = _unit(fmt, base, 0, groups, end, memory)
            for u in range(units):
                p, following = following, _unit(fmt, base, u + 1, groups, end, memory)
                x, left = argument(args, 4) + u * X_UNIT, groups - 8 * u
                a = add_unit(fmt, a, p, x, left)
                b = add_unit(fmt, b, p, x + units * X_UNIT, left)
            y, added = out + 4 * row, 0 if bias == 0 else bias + 4 * row
            _finish(a, y, added)
            _finish(b, y + out_bytes, added)

    return multiply_two


def four_rows(name: str) -> Callable:
    """The kernel of a type for 3 or 4 rows; of 3 the last is multiplied twice."""
    fmt = UNITS[name]

    def multiply_four(args, task, thread):
        weight, row_bytes, rows = argument(args, 0), argument(args, 1), argument(args, 2)
        groups, out, out_bytes, bias = argument(args, 3) >> 5, argument(args, 6), argument(args, 7), argument(args, 8)
        per_task, end, memory = argument(args, 9), weight + rows * row_bytes, stack_512()
        units, last = (groups + 7) >> 3, argument(args, 5) - 1
        x_bytes = units * X_UNIT
        for row in range(task * per_task, min(rows, (task + 1) * per_task)):
            a, b, c, d = splat_f32x8(0.0), splat_f32x8(0.0), splat_f32x8(0.0), splat_f32x8(0.0)
            base = weight + row * row_bytes
            following = _unit(fmt, base, 0, groups, end, memory)
            for u in range(units):
                p, following = following, _unit(fmt, base, u + 1, groups, end, memory)
                x, left = argument(args, 4) + u * X_UNIT, groups - 8 * u
                a = add_unit(fmt, a, p, x, left)
                b = add_unit(fmt, b, p, x + x_bytes, left)
                c = add_unit(fmt, c, p, x + 2 * x_bytes, left)
                d = add_unit(fmt, d, p, x + last * x_bytes, left)
            y, added = out + 4 * row, 0 if bias == 0 else bias + 4 * row
            _finish(a, y, added)
            _finish(b, y + out_bytes, added)
            _finish(c, y + 2 * out_bytes, added)
            _finish(d, y + last * out_bytes, added)

    return multiply_four
