"""Norms, rope and activations: rows of f32, a multiple of 8 wide. Each row is done by itself, in one order."""

import math
from collections.abc import Callable

from numba import types

from llamabox.kernels.cpu.described import Described
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.simd import (
    even_f32x8,
    f32_of_bits,
    fma,
    inline,
    interleave_high,
    interleave_low,
    load_f32,
    load_f32x8,
    odd_f32x8,
    splat_f32x8,
    store,
    sum_f32,
)
from llamabox.kernels.cpu.vector_math import gelu, gelu_erf, silu


@inline
def float_argument(args, i):
    """The i-th argument, the bits of an f32."""
    return f32_of_bits(types.int32(argument(args, i)))


@inline
def sum_of_squares(x, width):
    """Of the f32 values at x, in the order that all norms share."""
    a, b = splat_f32x8(0.0), splat_f32x8(0.0)
    for k in range(0, width & ~15, 16):
        v, w = load_f32x8(x + 4 * k), load_f32x8(x + 4 * k + 32)
        a, b = fma(v, v, a), fma(w, w, b)
    if width & 8:
        v = load_f32x8(x + 4 * width - 32)
        a = fma(v, v, a)
    return sum_f32(a + b)


def rms_norm(args, task, thread):
    """args: 0 x, 1 width, 2 rows, 3 rows a task, 4 out, 5 weight or 0, 6 eps (bits)"""
    width, rows, per_task, weight = argument(args, 1), argument(args, 2), argument(args, 3), argument(args, 5)
    eps = float_argument(args, 6)
    for row in range(task * per_task, min(rows, (task + 1) * per_task)):
        x, out = argument(args, 0) + 4 * row * width, argument(args, 4) + 4 * row * width
        mean = sum_of_squares(x, width) / types.float32(width)
        factor = types.float32(1) / types.float32(math.sqrt(mean + eps))
        for k in range(0, 4 * width, 32):
            y = load_f32x8(x + k) * factor
            if weight != 0:
                y = y * load_f32x8(weight + k)
            store(out + k, y)


def layer_norm(args, task, thread):
    """args: 0 x, 1 width, 2 rows, 3 rows a task, 4 out, 5 weight, 6 bias or 0, 7 eps (bits)"""
    width, rows, per_task = argument(args, 1), argument(args, 2), argument(args, 3)
    weight, bias, eps = argument(args, 5), argument(args, 6), float_argument(args, 7)
    for row in range(task * per_task, min(rows, (task + 1) * per_task)):
        x, out = argument(args, 0) + 4 * row * width, argument(args, 4) + 4 * row * width
        acc = splat_f32x8(0.0)
        for k in range(0, 4 * width, 32):
            acc = acc + load_f32x8(x + k)
        mean = splat_f32x8(sum_f32(acc) / types.float32(width))
        for k in range(0, 4 * width, 32):
            store(out + k, load_f32x8(x + k) - mean)
        variance = sum_of_squares(out, width) / types.float32(width)
        factor = types.float32(1) / types.float32(math.sqrt(variance + eps))
        for k in range(0, 4 * width, 32):
            y = load_f32x8(out + k) * factor * load_f32x8(weight + k)
            if bias != 0:
                y = y + load_f32x8(bias + k)
            store(out + k, y)


class Activation(Described):
    """A function of eight values."""

    def __init__(self, name, function):
        self.name, self.function = name, function

    def __reduce__(self):
        return activation_named, (self.name,)


def activation_named(name: str) -> Activation:
    """The Activation of a name."""
    return ACTIVATIONS[name]


ACTIVATIONS = {name: Activation(name, f) for name, f in (("silu", silu), ("gelu", gelu), ("gelu_erf", gelu_erf))}


def activate(name: str) -> Callable:
    """The kernel of an activation, and of an activation times another array."""
    activation = ACTIVATIONS[name]

    def activate_span(args, task, thread):
        """args: 0 x, 1 other or 0, 2 values (at least 8), 3 values a task (a multiple of 8), 4 out"""
        x, other, n = argument(args, 0), argument(args, 1), argument(args, 2)
        per_task, out = argument(args, 3), argument(args, 4)
        for start in range(task * per_task, min(n, (task + 1) * per_task), 8):
            k = 4 * min(start, n - 8)  # the last 8 may overlap those before them
            y = activation.function(load_f32x8(x + k))
            if other != 0:
                y = y * load_f32x8(other + k)
            store(out + k, y)

    return activate_span


def rope(args, task, thread):
    """args: 0 x, 1 heads, 2 head size, 3 rows, 4 rows a task, 5 out, 6 cos, 7 sin, 8 pairs (a multiple of 8), 9 neox"""
    heads, size, rows, per_task = argument(args, 1), argument(args, 2), argument(args, 3), argument(args, 4)
    pairs, neox = argument(args, 8), argument(args, 9)
    for row in range(task * per_task, min(rows, (task + 1) * per_task)):
        cos, sin = argument(args, 6) + 4 * row * pairs, argument(args, 7) + 4 * row * pairs
        for head in range(heads):
            offset = 4 * (row * heads + head) * size
            x, out = argument(args, 0) + offset, argument(args, 5) + offset
            for i in range(0, 4 * pairs, 32):
                c, s = load_f32x8(cos + i), load_f32x8(sin + i)
                if neox:
                    a, b = load_f32x8(x + i), load_f32x8(x + 4 * pairs + i)
                    store(out + i, a * c - b * s)
                    store(out + 4 * pairs + i, a * s + b * c)
                else:
                    v, w = load_f32x8(x + 2 * i), load_f32x8(x + 2 * i + 32)
                    a, b = even_f32x8(v, w), odd_f32x8(v, w)
                    p, q = a * c - b * s, a * s + b * c
                    store(out + 2 * i, interleave_low(p, q))
                    store(out + 2 * i + 32, interleave_high(p, q))
            for i in range(8 * pairs, 4 * size, 4):
                store(out + i, load_f32(x + i))
