"""Block weights times two quantised rows: integer.py's kernel with each unit of the weights unpacked once for both.

args: 0 weight, 1 bytes a weight row, 2 weight rows, 3 values a row, 4 quantised rows, 5 their number: 2, 6 out,
      7 bytes an out row, 8 bias or 0, 9 weight rows a task
"""

from numba import types

from llamabox.kernels.cpu.program import Kernel, argument
from llamabox.kernels.cpu.simd import (
    fma,
    inline,
    load_f32,
    load_f32x8,
    splat_f32x8,
    stack_512,
    store,
    sum_f32,
    to_f32,
)
from llamabox.kernels.cpu.unit import X_UNIT, Unit, spare_unit, whole_unit


@inline
def _finish(acc, out, bias):
    y = sum_f32(acc)
    store(out, types.float32(y if bias == 0 else y + load_f32(bias)))


def two_rows(fmt: Unit) -> Kernel:
    """The kernel of a type."""
    unit_bytes = fmt.unit_bytes

    def multiply_rows(args, task, thread):
        weight, row_bytes, rows = argument(args, 0), argument(args, 1), argument(args, 2)
        groups, x, out, out_bytes = argument(args, 3) >> 5, argument(args, 4), argument(args, 6), argument(args, 7)
        bias, per_task, spare = argument(args, 8), argument(args, 9), spare_unit(stack_512())
        units = (groups + 7) >> 3
        for row in range(task * per_task, min(rows, (task + 1) * per_task)):
            a, b = splat_f32x8(0.0), splat_f32x8(0.0)
            for u in range(units):
                p = whole_unit(fmt, weight + row * row_bytes + u * unit_bytes, groups - 8 * u, spare)
                xa = x + u * X_UNIT
                xb, scales = xa + units * X_UNIT, fmt.scales(p)
                sums_a, sums_b = fmt.sums(fmt, p, xa), fmt.sums(fmt, p, xb)
                a = fma(to_f32(sums_a), scales * load_f32x8(xa + 256), a)
                b = fma(to_f32(sums_b), scales * load_f32x8(xb + 256), b)
                a, b = fmt.add_minimum(fmt, a, p, xa), fmt.add_minimum(fmt, b, p, xb)
            at, here = out + 4 * row, 0 if bias == 0 else bias + 4 * row
            _finish(a, at, here)
            _finish(b, at + out_bytes, here)

    return Kernel(multiply_rows, f"{fmt.name} two rows")
