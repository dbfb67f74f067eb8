"""Traced: what a model computes with while its forward pass is recorded; a shape and a dtype, but no numbers.

It can do what models may do with arrays: + - * /, negation, reshape, transpose, basic slices, .shape, .ndim, .size,
.dtype. Anything else raises RecordError, which names the operation and the line of the model that asked for it.
"""

import sys
from collections.abc import Callable, Mapping
from math import prod
from types import EllipsisType
from typing import Any

import numpy as np

from llamabox.kernels.nodes import STEP, Node, Tape, Value

KERNELS = __name__.rpartition(".")[0] + "."  # frames of these modules are not the model's
VOCABULARY = "models call ops, + - * /, reshape, transpose and basic slices, and read shape, ndim, size and dtype"
ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide}
UFUNCS = {ufunc: name for name, ufunc in ARITHMETIC.items()}


class RecordError(TypeError):
    """A model did what cannot be recorded. The message says what, and where."""


def refuse(what: str) -> RecordError:
    """The error for an operation, with the function and the line of the model that asked for it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(KERNELS):
        frame = frame.f_back
    module = frame.f_globals.get("__name__", "").rpartition(".")[2]
    return RecordError(f"{module}.{frame.f_code.co_name}, line {frame.f_lineno}: {what}; {VOCABULARY}")


class Traced:
    """See the file's head. value: what it stands for in the nodes of the tape"""

    __slots__ = ("tape", "value")

    def __init__(self, tape: Tape, value: Value):
        self.tape, self.value = tape, value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    def reshape(self, *shape: Any) -> "Traced":
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        found = stand_in(self).reshape(wanted).shape  # NumPy's error where they do not fit
        return note(self.tape, "reshape", (self, found), found, self.dtype)

    def transpose(self, *axes: Any) -> "Traced":
        order = axes[0] if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes
        order = tuple(int(axis) % self.ndim for axis in order) if order else tuple(range(self.ndim))[::-1]
        return note(self.tape, "transpose", (self, order), stand_in(self).transpose(order).shape, self.dtype)

    def __getitem__(self, index: Any) -> "Traced":
        index = index if isinstance(index, tuple) else (index,)
        if not all(item is None or type(item) in (int, slice, EllipsisType) for item in index):
            kinds = ", ".join(type(item).__name__ for item in index)
            raise refuse(f"an index of {kinds}")
        return note(self.tape, "slice", (self, index), stand_in(self)[index].shape, self.dtype)

    def __neg__(self) -> "Traced":
        return note(self.tape, "neg", (self,), self.shape, self.dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> "Traced":
        """NumPy's side of `array * traced` and `np.float32(2) * traced`."""
        if ufunc in UFUNCS and method == "__call__" and not kwargs:
            return arithmetic(UFUNCS[ufunc], *inputs)
        raise refuse(f"np.{ufunc.__name__}")

    def __array_function__(self, function: Callable, types: Any, args: Any, kwargs: Any) -> Any:
        raise refuse(f"np.{function.__name__}")

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise refuse("a NumPy array made of a value")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # protocols that others look for
            raise AttributeError(name)
        raise refuse(f".{name} of a value")

    def __repr__(self) -> str:
        return f"Traced({self.value.id}: {self.dtype} {self.shape})"


def stand_in(x: Traced) -> np.ndarray:
    """An array of this shape that takes no memory."""
    return np.broadcast_to(np.zeros((), x.dtype), x.shape)


def note(tape: Tape, op: str, args: tuple, shape: tuple[int, ...], dtype: Any = np.float32, **kwargs: Any) -> Traced:
    """Write a node with one result onto the tape."""
    return note_many(tape, op, args, [(shape, dtype)], kwargs)[0]


def note_many(tape: Tape, op: str, args: tuple, results: list, kwargs: Mapping[str, Any] | None = None) -> list[Traced]:
    """Write a node onto the tape. results: (shape, dtype) of each"""
    values = tuple(tape.value(*result) for result in results)
    tape.nodes.append(Node(op, _plain(args), dict(kwargs or {}), values))
    return [Traced(tape, value) for value in values]


def arithmetic(op: str, a: Any, b: Any) -> Traced:
    """a op b, of which at least one is traced; the other may be a number or an array of the backend."""
    tape = next(x.tape for x in (a, b) if isinstance(x, Traced))
    for x in (a, b):
        if not isinstance(x, int | float | np.number) and not hasattr(x, "dtype"):
            raise refuse(f"{op} of a value and {type(x).__name__}")
    kinds = [type(x) if isinstance(x, int | float) and not isinstance(x, np.number) else _dtype(x) for x in (a, b)]
    dtype = ARITHMETIC[op].resolve_dtypes((*kinds, None))[2]  # type: ignore[arg-type]
    shapes = [tuple(x.shape) if hasattr(x, "shape") else () for x in (a, b)]
    return note(tape, op, (a, b), np.broadcast_shapes(*shapes), dtype)


def _dtype(x: Any) -> np.dtype:
    """Of an array of any backend; torch's names are NumPy's."""
    return x.dtype if isinstance(x.dtype, np.dtype) else np.dtype(str(x.dtype).removeprefix("torch."))


def _plain(x: Any) -> Any:
    """An argument as nodes hold it."""
    if isinstance(x, Traced):
        return x.value
    if isinstance(x, TracedStep):
        return STEP
    return tuple(map(_plain, x)) if isinstance(x, tuple | list) else x


class TracedStep:
    """The step, of which models read the positions and which rows are wanted, and that they hand to `attend`."""

    __slots__ = ("out_rows", "pos")

    def __init__(self, pos: Traced, out_rows: Traced):
        self.pos, self.out_rows = pos, out_rows

    def __getattr__(self, name: str) -> Any:
        raise refuse(f"step.{name}")


def _operator(op: str, swapped: bool) -> Callable:
    return lambda self, other: arithmetic(op, other, self) if swapped else arithmetic(op, self, other)


def _refusal(what: str) -> Callable:
    def method(self: Any, *args: Any) -> Any:
        raise refuse(what)

    return method


for _name, _dunder in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("div", "truediv")):
    setattr(Traced, f"__{_dunder}__", _operator(_name, False))
    setattr(Traced, f"__r{_dunder}__", _operator(_name, True))
    setattr(Traced, f"__i{_dunder}__", _refusal(f"{_name} in place"))
for _dunder in ("pow", "matmul", "mod", "floordiv", "and", "or", "xor"):
    for _form in ("", "r", "i"):
        setattr(Traced, f"__{_form}{_dunder}__", _refusal(f"{_dunder} of a value"))
for _dunder, _what in {
    "bool": "the truth value of an array",
    "float": "float() of a value",
    "int": "int() of a value",
    "complex": "complex() of a value",
    "index": "a value as an index",
    "iter": "iteration over a value",
    "len": "len() of a value",
    "contains": "`in` of a value",
    "setitem": "assignment into a value",
    "delitem": "deletion of items",
    "abs": "abs() of a value",
    "invert": "~ of a value",
    "round": "round() of a value",
    **{name: "comparison of values" for name in ("eq", "ne", "lt", "le", "gt", "ge")},
}.items():
    setattr(Traced, f"__{_dunder}__", _refusal(_what))
