"""What models write as + - * /, caps, copies and rows taken: f32, broadcast as NumPy does, the same bits as NumPy's."""

from functools import cache

import numpy as np

from llamabox.kernels.cpu.described import Described
from llamabox.kernels.cpu.program import Kernel, argument, kernel
from llamabox.kernels.cpu.runner import TASK_VALUES, Job
from llamabox.kernels.cpu.simd import inline, largest_f32, load_f32, load_f32x8, load_i32, splat_f32x8, store
from llamabox.kernels.cpu.vector_math import tanh


@inline
def _add(a, b):
    return a + b


@inline
def _sub(a, b):
    return a - b


@inline
def _mul(a, b):
    return a * b


@inline
def _div(a, b):
    return a / b


@inline
def _softcap(x, cap):
    """cap * tanh(x / cap)."""
    return tanh(x / cap) * cap


@inline
def _copy(a, b):
    return a


class Operation(Described):
    """A function of eight values of a and eight of b."""

    def __init__(self, name, function):
        self.name, self.function = name, function

    def __reduce__(self):
        return operation_named, (self.name,)


def operation_named(name: str) -> Operation:
    """The Operation of a name."""
    return OPERATIONS[name]


FUNCTIONS = {"add": _add, "sub": _sub, "mul": _mul, "div": _div, "softcap": _softcap, "copy": _copy}
OPERATIONS = {name: Operation(name, function) for name, function in FUNCTIONS.items()}


@inline
def _eight(base, step, k):
    """Values k .. k + 7 of a row whose values are `step` bytes apart, 4 or 0."""
    return load_f32x8(base + 4 * k) if step != 0 else splat_f32x8(load_f32(base))


@cache
def combine(name: str) -> Kernel:
    """The kernel of an operation."""
    operation = OPERATIONS[name]

    def combine_rows(args, task, thread):
        """args: 0 a, 1 bytes from a row of a to the next, 2 and from a value to the next (4 or 0), 3-5 the same of b,
        6 values a row, 7 rows, 8 rows a task, 9 out"""
        a_step, b_step = argument(args, 2), argument(args, 5)
        width, rows, per_task = argument(args, 6), argument(args, 7), argument(args, 8)
        for row in range(task * per_task, min(rows, (task + 1) * per_task)):
            a, b = argument(args, 0) + row * argument(args, 1), argument(args, 3) + row * argument(args, 4)
            out = argument(args, 9) + 4 * row * width
            for start in range(0, width & ~7, 8):
                store(out + 4 * start, operation.function(_eight(a, a_step, start), _eight(b, b_step, start)))
            for k in range(width & ~7, width):
                x, y = splat_f32x8(load_f32(a + k * a_step)), splat_f32x8(load_f32(b + k * b_step))
                store(out + 4 * k, largest_f32(operation.function(x, y)))

    return Kernel(combine_rows, f"{name} rows")


@kernel
def take_rows(args, task, thread):
    """args: 0 x, 1 bytes a row (a multiple of 4), 2 which rows, int32, 3 rows a task, 4 how many rows, 5 out"""
    row_bytes, per_task = argument(args, 1), argument(args, 3)
    for i in range(task * per_task, min(argument(args, 4), (task + 1) * per_task)):
        x, out = argument(args, 0) + load_i32(argument(args, 2) + 4 * i) * row_bytes, argument(args, 5) + i * row_bytes
        for k in range(0, row_bytes & ~31, 32):
            store(out + k, load_f32x8(x + k))
        for k in range(row_bytes & ~31, row_bytes, 4):
            store(out + k, load_f32(x + k))


Rows = list[tuple[int, int]]


def as_rows(shape: tuple[int, ...], *strides: tuple[int, ...]) -> Rows | None:
    """Operands of one shape as rows of values, each the last axes laid end to end: (rows, values a row), then for each
    operand bytes from a row to the next and from a value to the next, 4 or 0. None where their strides allow none."""
    for split in range(len(shape) - 1, -1, -1):
        found = [(int(np.prod(shape[:split])), int(np.prod(shape[split:])))]
        for along in strides:
            row, step = _even(shape[:split], along[:split]), _even(shape[split:], along[split:])
            if row is not None and step in (0, 4):
                found.append((row, step))
        if len(found) == 1 + len(strides):
            return found
    return None


def _even(shape: tuple[int, ...], strides: tuple[int, ...]) -> int | None:
    """The one distance between values that follow each other, 0 if there is one value; None if it differs."""
    axes = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    for (_, outer), (n, inner) in zip(axes, axes[1:], strict=False):
        if outer != n * inner:
            return None
    return axes[-1][1] if axes else 0


def combine_job(name: str, rows: Rows, a: int, b: int, out: int) -> Job:
    """The job of an operation on operands at these addresses; rows: what as_rows says of them."""
    (count, width), (a_row, a_step), (b_row, b_step) = rows
    per_task = max(1, TASK_VALUES // max(1, width))
    args = (a, a_row, a_step, b, b_row, b_step, width, count, per_task, out)
    return Job(combine(name).address, -(-count // per_task), args)


def take_rows_job(x: int, row_bytes: int, which: int, count: int, out: int) -> Job:
    """The job of x[which], count rows of row_bytes; all others are addresses."""
    per_task = max(1, 4 * TASK_VALUES // row_bytes)
    return Job(take_rows.address, -(-count // per_task), (x, row_bytes, which, per_task, count, out))
