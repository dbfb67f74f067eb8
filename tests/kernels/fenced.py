"""Backends that stand for GPUs: their arrays know their device, and whoever mixes them with another's is told so.

As CUDA does, they have a current device, on which everything happens; whoever forgets to choose it is told too.
"""

import operator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llamabox.kernels import KVCache, Ops, Threads, Weight
from llamabox.kernels.ops_cpu import CpuOps

HOST_ARRAYS = ("embed", "take_rows", "rope_angles", "attention_temperature")  # their ids, rows, positions


class Crossing(AssertionError):
    """An array of one device in the hands of another."""


current = [""]  # the device of the calling thread


def check_current(device):
    if current[0] != device:
        raise Crossing(f"{device} is used while {current[0]} is current")


class FarArray:
    """An array in a device's memory: no NumPy function can read it, and arithmetic stays on its device."""

    __array_ufunc__ = None

    def __init__(self, device, values):
        self.device, self.values = device, values

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)
    nbytes = property(lambda self: self.values.nbytes)

    def __array__(self, *_, **__):
        raise Crossing(f"an array of {self.device} is read as if it were the host's")

    def __len__(self):
        return len(self.values)

    def reshape(self, *shape):
        check_current(self.device)
        return FarArray(self.device, self.values.reshape(*shape))

    def transpose(self, *axes):
        return FarArray(self.device, self.values.transpose(*axes))

    def view(self, dtype):
        return FarArray(self.device, self.values.view(dtype))

    def __getitem__(self, index):
        check_current(self.device)
        return FarArray(self.device, self.values[index])

    def __setitem__(self, index, x):
        self.values[index] = self._own(x)

    def _own(self, x):
        check_current(self.device)
        if isinstance(x, FarArray):
            if x.device != self.device:
                raise Crossing(f"an array of {x.device} meets one of {self.device}")
            return x.values
        if isinstance(x, np.ndarray):
            raise Crossing(f"a host array meets one of {self.device}")
        return x


def _arithmetic(function, swapped):
    def method(self, other):
        a, b = self.values, self._own(other)
        return FarArray(self.device, function(b, a) if swapped else function(a, b))

    return method


for _name in ("add", "sub", "mul", "truediv"):
    setattr(FarArray, f"__{_name}__", _arithmetic(getattr(operator, _name), False))
    setattr(FarArray, f"__r{_name}__", _arithmetic(getattr(operator, _name), True))
FarArray.__iadd__ = _arithmetic(operator.iadd, False)
FarArray.__neg__ = lambda self: FarArray(self.device, -self.values)


@dataclass(frozen=True, eq=False)
class FarWeight(Weight):
    device: str = ""
    inner: Any = None


class FarCache(KVCache):
    """The cache of a device, with arrays that others cannot read."""

    device, inner = "", None

    def copy_block(self, source, target):
        check_current(self.device)
        self.inner.copy_block(source, target)


class FencedOps(Ops):
    """A backend around CpuOps or Ops whose arrays are FarArray. moved: how often an array came in; fetched: bytes that
    went out."""

    name = "fenced"

    def __init__(self, device, inner=CpuOps, threads=1):
        super().__init__()
        self.device, self.inner, self.moved = device, inner(Threads(threads)), 0
        self.fetched = 0

    def enter(self):
        current[0] = self.device

    def begin(self, rows):
        self.enter()
        return self.inner.begin(rows)

    def weight(self, tensor, scale=None):
        check_current(self.device)
        made = self.inner.weight(tensor, scale)
        if not isinstance(made, Weight):
            return FarArray(self.device, made)
        return FarWeight(made.name, made.type, made.shape, None, None, self.device, made)

    def array(self, x):
        check_current(self.device)
        assert type(x) is np.ndarray, f"{self.device} is given {type(x).__name__}"
        self.moved += 1
        return FarArray(self.device, self.inner.array(x).copy())

    def to_numpy(self, x):
        x = self._own(x, "to_numpy").copy()
        self.fetched += x.nbytes
        return x

    def kv_cache(self, shapes, n_blocks, type_k="f16", type_v="f16"):
        made = FarCache(shapes, 0, type_k, type_v)
        made.device, made.inner = self.device, self.inner.kv_cache(shapes, n_blocks, type_k, type_v)
        made.n_blocks = n_blocks
        made.k, made.v = ([FarArray(self.device, a) for a in pools] for pools in (made.inner.k, made.inner.v))
        return made

    def move_cells(self, kv, sources, targets, deltas, ropes):
        assert kv.device == self.device
        own = [None if rope is None else (rope[0], self._own(rope[1], "move_cells")) for rope in ropes]
        self.inner.move_cells(kv.inner, sources, targets, deltas, own)

    def attend(self, q, k, v, step, layer, **how):
        if step.kv is not None:
            assert step.kv.device == self.device
            step = self._step(step)
        return self._wrap(self.inner.attend(*(self._own(x, "attend") for x in (q, k, v)), step, layer, **how))

    def _step(self, step):
        return replace(step, kv=step.kv.inner)

    def _own(self, x, op):
        check_current(self.device)
        if isinstance(x, list | tuple):
            return type(x)(self._own(item, op) for item in x)
        if isinstance(x, FarArray | FarWeight):
            if x.device != self.device:
                raise Crossing(f"{op} of {self.device} is given an array of {x.device}")
            return x.values if isinstance(x, FarArray) else x.inner
        if isinstance(x, np.ndarray) and op not in HOST_ARRAYS:
            raise Crossing(f"{op} of {self.device} is given a host array")
        if type(x).__module__.startswith("llamabox.kernels.placed"):
            raise Crossing(f"{op} of {self.device} is given a {type(x).__name__}")
        return x

    def _wrap(self, x):
        if isinstance(x, list | tuple):
            return type(x)(map(self._wrap, x))
        return FarArray(self.device, x)


def _fenced(op):
    def method(self, *args, **kwargs):
        return self._wrap(getattr(self.inner, op)(*(self._own(x, op) for x in args), **kwargs))

    return method


for _op in (
    "dense embed take_rows linear linear_many linear_experts rms_norm layer_norm silu sigmoid gelu gelu_erf tanh "
    "softcap softmax activation ffn_gated top_k largest take_along sum clamp_min rope_angles attention_temperature rope"
).split():
    setattr(FencedOps, _op, _fenced(_op))
