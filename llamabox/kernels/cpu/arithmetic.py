"""What models write as + - * /, caps, copies and rows taken: f32, broadcast as NumPy does, the same bits as NumPy's."""

from collections.abc import Callable

from llamabox.kernels.cpu.described import Described
from llamabox.kernels.cpu.program import argument
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


def combine(name: str) -> Callable:
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

    return combine_rows


def take_rows(args, task, thread):
    """args: 0 x, 1 bytes a row (a multiple of 4), 2 which rows, int32, 3 rows a task, 4 how many rows, 5 out"""
    row_bytes, per_task = argument(args, 1), argument(args, 3)
    for i in range(task * per_task, min(argument(args, 4), (task + 1) * per_task)):
        x, out = argument(args, 0) + load_i32(argument(args, 2) + 4 * i) * row_bytes, argument(args, 5) + i * row_bytes
        for k in range(0, row_bytes & ~31, 32):
            store(out + k, load_f32x8(x + k))
        for k in range(row_bytes & ~31, row_bytes, 4):
            store(out + k, load_f32(x + k))
