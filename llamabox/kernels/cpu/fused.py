"""What stands before a product, in one pass: rows of f32 that are added, normed or activated, and quantised at once.

Each gives the same bits as its parts one after another: +, rms_norm, an activation times other rows, quantise. Rows are
a multiple of 32 wide. A result that nobody wants has the address 0.
"""

import math
from collections.abc import Callable

from numba import types

from llamabox.kernels.cpu.activation import clear_group, quantise_group
from llamabox.kernels.cpu.elementwise import ACTIVATIONS, float_argument, sum_of_squares
from llamabox.kernels.cpu.layout import X_UNIT
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.simd import inline, load_f32x8, store


@inline
def _put_group(a, b, c, d, out, quantised, group):
    """32 values, group `group` of a row, into its f32 at `out` and its units at `quantised`, unless these are 0."""
    if out != 0:
        y = out + 128 * group
        store(y, a)
        store(y + 32, b)
        store(y + 64, c)
        store(y + 96, d)
    if quantised != 0:
        quantise_group(a, b, c, d, quantised + (group >> 3) * X_UNIT, group & 7)


@inline
def _clear_rest(quantised, groups):
    """The groups that a row of so many lacks to whole units are zero."""
    if quantised != 0:
        for group in range(groups, (groups + 7) & ~7):
            clear_group(quantised + (group >> 3) * X_UNIT, group & 7)


@inline
def _row_of(base, row, row_bytes):
    return base + row * row_bytes if base != 0 else 0


def rms_norm(args, task, thread):
    """args: 0 x, 1 other or 0, 2 width, 3 rows, 4 rows a task, 5 sum or 0, 6 weight, 7 eps (bits), 8 out or 0,
    9 quantised or 0.  sum = x + other (may be x itself); out = rms_norm(sum) where there is other, else rms_norm(x)"""
    other, width, rows, per_task = argument(args, 1), argument(args, 2), argument(args, 3), argument(args, 4)
    weight, eps, groups = argument(args, 6), float_argument(args, 7), argument(args, 2) >> 5
    for row in range(task * per_task, min(rows, (task + 1) * per_task)):
        x = argument(args, 0) + 4 * row * width
        if other != 0:
            y, total = other + 4 * row * width, argument(args, 5) + 4 * row * width
            for k in range(0, 4 * width, 32):
                store(total + k, load_f32x8(x + k) + load_f32x8(y + k))
            x = total
        mean = sum_of_squares(x, width) / types.float32(width)
        factor = types.float32(1) / types.float32(math.sqrt(mean + eps))
        out = _row_of(argument(args, 8), row, 4 * width)
        quantised = _row_of(argument(args, 9), row, ((groups + 7) >> 3) * X_UNIT)
        for group in range(groups):
            v, w = x + 128 * group, weight + 128 * group
            a, b = load_f32x8(v) * factor * load_f32x8(w), load_f32x8(v + 32) * factor * load_f32x8(w + 32)
            c, d = load_f32x8(v + 64) * factor * load_f32x8(w + 64), load_f32x8(v + 96) * factor * load_f32x8(w + 96)
            _put_group(a, b, c, d, out, quantised, group)
        _clear_rest(quantised, groups)


@inline
def _activated(activation, x, other):
    y = activation.function(load_f32x8(x))
    return y * load_f32x8(other) if other != 0 else y


def activate(name: str) -> Callable:
    """The kernel of an activation, or of an activation times other rows."""
    activation = ACTIVATIONS[name]

    def activate_units(args, task, thread):
        """args: 0 x, 1 other or 0, 2 width, 3 rows, 4 units a task (of all rows, one after another), 5 out or 0,
        6 quantised or 0"""
        width, rows, per_task = argument(args, 2), argument(args, 3), argument(args, 4)
        groups = width >> 5
        units = (groups + 7) >> 3
        for i in range(task * per_task, min(rows * units, (task + 1) * per_task)):
            row, first = i // units, i % units * 8
            x = argument(args, 0) + 4 * row * width
            other, out = _row_of(argument(args, 1), row, 4 * width), _row_of(argument(args, 5), row, 4 * width)
            quantised = _row_of(argument(args, 6), row, units * X_UNIT)
            for group in range(first, min(groups, first + 8)):
                v, w = x + 128 * group, other + 128 * group if other != 0 else 0
                a, b = _activated(activation, v, w), _activated(activation, v + 32, w + 32 if w != 0 else 0)
                c = _activated(activation, v + 64, w + 64 if w != 0 else 0)
                d = _activated(activation, v + 96, w + 96 if w != 0 else 0)
                _put_group(a, b, c, d, out, quantised, group)
            if first + 8 >= groups:
                _clear_rest(quantised, groups)

    return activate_units
