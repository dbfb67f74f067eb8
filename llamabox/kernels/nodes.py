"""What a recorded forward pass is made of: values, and the ops that make them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Value:
    """An array of the pass, known by its number; what it holds differs from step to step."""

    id: int
    shape: tuple[int, ...]
    dtype: np.dtype


class _TheStep:
    """Stands for the step itself among the arguments of a node."""

    def __repr__(self) -> str:
        return "step"


STEP = _TheStep()


@dataclass(frozen=True, eq=False)
class Node:
    """One op: its name in Ops, or add, sub, mul, div, neg, reshape, transpose, slice.

    args     in the order of the op's signature, defaults filled in: Value, STEP, Weight, arrays of the backend (norms,
             biases), Rope, numbers, None, names of activations, tuples of those. linear_many: (x, weights, biases), two
             tuples of equal length; rope: (x, (cos, sin), neox); reshape: (x, shape); transpose: (x, axes); slice:
             (x, index), a tuple of int, slice, None, Ellipsis
    kwargs   what the signature takes by keyword only: attend's scale, window, ...
    results  one value; of linear_many one a weight, of rope_angles (cos, sin)
    """

    op: str
    args: tuple
    kwargs: Mapping[str, Any]
    results: tuple[Value, ...]


@dataclass(eq=False)
class Tape:
    """The nodes so far, the values that have names (llama.cpp's, as attn_out-3), and how many values there are."""

    nodes: list[Node] = field(default_factory=list)
    names: dict[str, Value] = field(default_factory=dict)
    count: int = 0

    def value(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Value:
        self.count += 1
        return Value(self.count - 1, tuple(map(int, shape)), np.dtype(dtype))


def values_in(args: Any) -> list[Value]:
    """The values among arguments, those inside tuples too, in order."""
    if isinstance(args, Value):
        return [args]
    return [value for item in args for value in values_in(item)] if isinstance(args, tuple) else []
