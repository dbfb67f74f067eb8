"""F32, F16 and BF16 weights times f32 rows.

Every result is 16 partial sums, one for the values k with the same k mod 16, each added in order of k, then sum_f32 of
them, then the values beyond the last whole 16: the same whether a row is multiplied alone or among others
(gemm_floats.py).

args: 0 weight, 1 bytes a weight row, 2 weight rows, 3 values a row, 4 row of x (f32), 5 and 7 unused, 6 out,
      8 bias or 0, 9 weight rows a task
"""

from collections.abc import Callable

from numba import types

from llamabox.kernels.cpu.described import Described
from llamabox.kernels.cpu.halves import load_bf16x8, load_f16, load_f16x8, store_bf16x8, store_f16x8
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.simd import (
    f32_of_bits,
    fma,
    inline,
    join,
    load_f32,
    load_f32x8,
    load_f32x16,
    load_u16,
    splat_f32x16,
    store,
    sum_f32,
)


@inline
def _one_f32(p):
    return load_f32(p)


@inline
def _eight_f32(p):
    return load_f32x8(p)


@inline
def _one_f16(p):
    return load_f16(p)


@inline
def _eight_f16(p):
    return load_f16x8(p)


@inline
def _one_bf16(p):
    return f32_of_bits(types.int32(types.uint32(load_u16(p)) << 16))


@inline
def _eight_bf16(p):
    return load_bf16x8(p)


@inline
def _put_f32(p, v):
    store(p, v)


@inline
def _put_f16(p, v):
    store_f16x8(p, v)


@inline
def _put_bf16(p, v):
    store_bf16x8(p, v)


class FloatFormat(Described):
    """A plain type: bytes a value, how one and eight of them become f32, and how eight are rounded and stored."""

    def __init__(self, name: str, size: int, one: Callable, eight: Callable, put: Callable):
        self.name, self.size, self.one, self.eight, self.put = name, size, one, eight, put

    def __reduce__(self):
        return float_format, (self.name,)


def float_format(name: str) -> FloatFormat:
    """The FloatFormat of a type by the type's name."""
    return FLOATS[name]


FLOATS = {
    f.name: f
    for f in (
        FloatFormat("F32", 4, _one_f32, _eight_f32, _put_f32),
        FloatFormat("F16", 2, _one_f16, _eight_f16, _put_f16),
        FloatFormat("BF16", 2, _one_bf16, _eight_bf16, _put_bf16),
    )
}


@inline
def sixteen(fmt, p):
    """16 values as f32."""
    return join(fmt.eight(p), fmt.eight(p + 8 * fmt.size))


@inline
def _finish(fmt, acc, p, x, width, out, bias, row):
    """Add the lanes, the values beyond the last whole 16, and the bias; store the result."""
    y = sum_f32(acc)
    for k in range(width & ~15, width):
        y += fmt.one(p + k * fmt.size) * load_f32(x + 4 * k)
    if bias != 0:
        y += load_f32(bias + 4 * row)
    store(out + 4 * row, types.float32(y))


def one_row(name: str) -> Callable:
    """The kernel for a single row. It multiplies two weight rows at a time, each from its own half of the task: memory
    is read fastest in two long runs, and the additions of one row are not waited for."""
    fmt = FLOATS[name]

    def multiply_row(args, task, thread):
        weight, row_bytes, rows = argument(args, 0), argument(args, 1), argument(args, 2)
        width, x, out = argument(args, 3), argument(args, 4), argument(args, 6)
        bias, per_task = argument(args, 8), argument(args, 9)
        first, end = task * per_task, min(rows, (task + 1) * per_task)
        half = (end - first + 1) >> 1
        for row in range(first, first + half):
            other = min(row + half, end - 1)
            p, q = weight + row * row_bytes, weight + other * row_bytes
            a, b = splat_f32x16(0.0), splat_f32x16(0.0)
            for k in range(0, width & ~15, 16):
                v = load_f32x16(x + 4 * k)
                a, b = fma(sixteen(fmt, p + k * fmt.size), v, a), fma(sixteen(fmt, q + k * fmt.size), v, b)
            _finish(fmt, a, p, x, width, out, bias, row)
            _finish(fmt, b, q, x, width, out, bias, other)

    return multiply_row
