"""Placed: an array on one of several devices. Its copies on others are made when they are needed, and kept with it."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from llamabox.kernels.ops import Ops


@dataclass(frozen=True, eq=False)
class Site:
    """One device that computes, by its name in the plan."""

    name: str
    ops: Ops

    def use(self) -> Ops:
        """Its backend, with the device made the calling thread's current one."""
        self.ops.enter()
        return self.ops


class Pass(Protocol):
    """What knows the device that a pass has come to."""

    here: Site


class Placed:
    """An array, the device it is on, and the pass that it belongs to.

    Arithmetic of values on different devices happens where the pass is: on the device of the layer whose weights or
    keys it used last. So what a layer gets from the one before crosses once, at the border.
    """

    __slots__ = ("_copies", "array", "run", "site")

    def __init__(self, run: Pass, site: Site, array: Any):
        self.run, self.site, self.array = run, site, array
        self._copies: dict[str, Any] = {}

    def on(self, site: Site) -> Any:
        """The array as another device has it, moved through the host."""
        if site.ops is self.site.ops:
            return self.array
        if site.name not in self._copies:
            values = self.site.use().to_numpy(self.array)
            self._copies[site.name] = site.use().array(values)
        return self._copies[site.name]

    def is_on(self, site: Site) -> bool:
        """Whether the device has the array already."""
        return site.ops is self.site.ops or site.name in self._copies

    def _made(self, make: Callable[[Any], Any]) -> "Placed":
        """What the device makes of the array."""
        self.site.use()
        return Placed(self.run, self.site, make(self.array))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        return len(self.array.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        return self.array.nbytes

    def __len__(self) -> int:
        return len(self.array)

    def reshape(self, *shape: Any) -> "Placed":
        return self._made(lambda x: x.reshape(*shape))

    def transpose(self, *axes: Any) -> "Placed":
        return self._made(lambda x: x.transpose(*axes))

    def __neg__(self) -> "Placed":
        return self._made(operator.neg)

    def __getitem__(self, index: Any) -> "Placed":
        return self._made(lambda x: x[index])

    def __setitem__(self, index: Any, x: Any) -> None:
        x = on(x, self.site)
        self.site.use()
        self.array[index] = x
        self._copies.clear()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.site.use().to_numpy(self.array), dtype)

    __array_ufunc__ = None  # so that `np.float32(2) * x` comes here

    def _meet(self, other: Any, function: Callable, swapped: bool = False) -> "Placed":
        apart = isinstance(other, Placed) and other.site.ops is not self.site.ops
        site = self.run.here if apart else self.site
        a, b = self.on(site), on(other, site)
        site.use()
        return Placed(self.run, site, function(b, a) if swapped else function(a, b))

    def _change(self, other: Any, function: Callable) -> "Placed":
        other = on(other, self.site)
        self.site.use()
        self.array = function(self.array, other)
        self._copies.clear()
        return self

    def __add__(self, other: Any) -> "Placed":
        return self._meet(other, operator.add)

    def __radd__(self, other: Any) -> "Placed":
        return self._meet(other, operator.add, swapped=True)

    def __iadd__(self, other: Any) -> "Placed":
        return self._change(other, operator.iadd)

    def __sub__(self, other: Any) -> "Placed":
        return self._meet(other, operator.sub)

    def __rsub__(self, other: Any) -> "Placed":
        return self._meet(other, operator.sub, swapped=True)

    def __mul__(self, other: Any) -> "Placed":
        return self._meet(other, operator.mul)

    def __rmul__(self, other: Any) -> "Placed":
        return self._meet(other, operator.mul, swapped=True)

    def __truediv__(self, other: Any) -> "Placed":
        return self._meet(other, operator.truediv)

    def __rtruediv__(self, other: Any) -> "Placed":
        return self._meet(other, operator.truediv, swapped=True)


def on(x: Any, site: Site) -> Any:
    """An argument as a device's ops take it: placed arrays, and host arrays that stand in arithmetic, moved there."""
    if isinstance(x, Placed):
        return x.on(site)
    return site.use().array(x) if isinstance(x, np.ndarray) and x.ndim > 0 else x
