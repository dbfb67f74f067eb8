"""Jobs of arithmetic (arithmetic.py): how operands that broadcast are laid out as rows."""

import numpy as np

from llamabox.kernels.cpu.kernel import kernel
from llamabox.kernels.cpu.runner import TASK_VALUES, Job

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
    return Job(kernel("arithmetic", "combine", name).address, -(-count // per_task), args)


def take_rows_job(x: int, row_bytes: int, which: int, count: int, out: int) -> Job:
    """The job of x[which], count rows of row_bytes; all others are addresses."""
    per_task = max(1, 4 * TASK_VALUES // row_bytes)
    args = (x, row_bytes, which, per_task, count, out)
    return Job(kernel("arithmetic", "take_rows").address, -(-count // per_task), args)
