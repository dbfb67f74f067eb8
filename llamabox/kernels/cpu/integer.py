"""Block weights times one quantised row (decode): each weight row is read once, straight from the file's bytes.

Accumulator j takes the groups j, j + 8, j + 16, ... in order: the exact integer sum of a group's products times both
scales, then, of types with minimums, the minimum times the sum of x. In the end the 8 are added as
((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)). Many rows: gemm.py, the same arithmetic in the same order.

args: 0 weight, 1 bytes a weight row, 2 weight rows, 3 values a row, 4 quantised row, 5 and 7 unused, 6 out,
      8 bias or 0, 9 weight rows a task
"""

from collections.abc import Callable

from numba import types

from llamabox.kernels.cpu.layout import X_UNIT
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.simd import fma, load_f32, load_f32x8, splat_f32x8, stack_512, store, sum_f32, to_f32
from llamabox.kernels.cpu.unit import OPENED, UNITS, spare_unit, whole_unit


def one_row(name: str) -> Callable:
    """The kernel of a type."""
    fmt = UNITS[name]
    unit_bytes = fmt.unit_bytes

    def multiply_row(args, task, thread):
        weight, row_bytes, rows = argument(args, 0), argument(args, 1), argument(args, 2)
        groups, x, out = argument(args, 3) >> 5, argument(args, 4), argument(args, 6)
        bias, per_task, spare = argument(args, 8), argument(args, 9), spare_unit(stack_512())
        units, opened = (groups + 7) >> 3, stack_512()
        whole = groups >> 3
        for row in range(task * per_task, min(rows, (task + 1) * per_task)):
            base = weight + row * row_bytes
            if groups & 7:
                whole_unit(fmt, base + whole * unit_bytes, groups & 7, spare)
            acc = splat_f32x8(0.0)
            p = fmt.opened(base if whole > 0 else spare, opened)
            for u in range(units):
                following, y = p, x + u * X_UNIT
                if u + 1 < units:  # opened ahead of its turn: what is stored takes a while to be read again
                    unit = base + (u + 1) * unit_bytes if u + 1 < whole else spare
                    following = fmt.opened(unit, opened + ((u + 1) & 1) * OPENED)
                acc = fma(to_f32(fmt.sums(fmt, p, y)), fmt.scales(p) * load_f32x8(y + 256), acc)
                acc = fmt.add_minimum(fmt, acc, p, y)
                p = following
            total = sum_f32(acc)
            if bias != 0:
                total += load_f32(bias + 4 * row)
            store(out + 4 * row, types.float32(total))

    return multiply_row
