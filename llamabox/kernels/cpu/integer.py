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
from llamabox.kernels.cpu.simd import load_f32, splat_f32x8, stack_512, store, sum_f32
from llamabox.kernels.cpu.unit import OPENED, UNITS, add_unit, readable_unit


def one_row(name: str) -> Callable:
    """The kernel of a type."""
    fmt = UNITS[name]
    unit_bytes = fmt.unit_bytes

    def multiply_row(args, task, thread):
        weight, row_bytes, rows = argument(args, 0), argument(args, 1), argument(args, 2)
        groups, x, out = argument(args, 3) >> 5, argument(args, 4), argument(args, 6)
        bias, per_task = argument(args, 8), argument(args, 9)
        end, spare, opened = weight + rows * row_bytes, stack_512(), stack_512()
        whole, rest = groups >> 3, groups & 7
        for row in range(task * per_task, min(rows, (task + 1) * per_task)):
            p, y, acc = weight + row * row_bytes, x, splat_f32x8(0.0)
            unit = fmt.opened(p, opened)
            for u in range(whole):
                p, following = p + unit_bytes, p + unit_bytes
                if u + 1 < whole:  # opened ahead of its turn: what is stored takes a while to be read again
                    following = fmt.opened(p, opened + ((u + 1) & 1) * OPENED)
                acc = add_unit(fmt, acc, unit, y, 8)
                unit, y = following, y + X_UNIT
            if rest > 0 and fmt.blocks > 1:
                acc = add_unit(fmt, acc, readable_unit(fmt, p, rest, end, spare), y, rest)
            total = sum_f32(acc)
            if bias != 0:
                total += load_f32(bias + 4 * row)
            store(out + 4 * row, types.float32(total))

    return multiply_row
