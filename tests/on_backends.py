"""The backends that tests run on, and ops that take and give NumPy arrays whatever the backend.

torch is one of them wherever the extra `test` is installed, on its CPU device. cupy is, on a GPU where one is;
elsewhere its kernels run on an emulated grid (kernels/emulated/), in tests that ask for EVERY backend, as it is slow.
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llamabox.kernels import BACKENDS, Weight, open_backend
from llamabox.kernels.backends import PACKAGES
from llamabox.kernels.devices import devices

sys.path.append(str(Path(__file__).parent / "kernels" / "emulated"))
import standin  # noqa: E402

TAKE_POSITIONS = ("rope_angles", "attention_temperature")  # ops whose first argument stays on the host
PRESENT = tuple(name for name in BACKENDS if name not in PACKAGES or name == "torch" or devices(name))
EMULATED = () if devices("cupy") else ("cupy",)
EVERY = (*PRESENT, *EMULATED)


def here(name: str | None) -> AbstractContextManager:
    """In it, an emulated backend opens too."""
    if name not in EMULATED:
        return nullcontext()
    if standin.grid.compiler() is None:
        pytest.skip("no C++ compiler, and no package ziglang")
    return standin.installed()


def open_ops(name: str, threads: int = 2) -> Any:
    """A backend for op tests: itself where its arrays are NumPy's, else a HostOps around it."""
    if name == "torch":
        return HostOps(open_torch())
    with here(name):
        ops = open_backend(name, threads)
    return ops if name in ("numpy", "cpu") else HostOps(ops)


def open_torch() -> Any:
    """torch on the CPU, with one thread: its threads spin, which takes forever where other tests run beside."""
    ops = open_backend("torch", 1, device="CPU")
    ops.begin(1)
    return ops


class HostOps:
    """Moves arrays and weights to the backend of `ops` before a call, and its results back."""

    def __init__(self, ops: Any):
        self.ops, self.name, self.kv_cache = ops, ops.name, ops.kv_cache

    def __getattr__(self, name: str) -> Any:
        method, kept = getattr(self.ops, name), int(name in TAKE_POSITIONS)
        return lambda *args, **kwargs: self._back(method(*args[:kept], *map(self._there, args[kept:]), **kwargs))

    def to_numpy(self, x: Any) -> np.ndarray:
        return self.ops.to_numpy(x)

    def _there(self, x: Any) -> Any:
        if isinstance(x, Weight):
            scale = None if x.scale is None else self.ops.array(x.scale)
            return Weight(x.name, x.type, x.shape, self.ops.array(x.data), scale)
        if isinstance(x, np.ndarray):
            return self.ops.array(x)
        return type(x)(map(self._there, x)) if type(x) in (list, tuple) else x

    def _back(self, x: Any) -> Any:
        if type(x) in (list, tuple):
            return type(x)(map(self._back, x))
        return self.ops.to_numpy(x) if hasattr(x, "shape") else x


def cells_like(ops: Any, x: np.ndarray, pool: Any) -> Any:
    """Encoded cells of the host as elements of a cache's array."""
    ops = getattr(ops, "ops", ops)
    return ops.array(np.ascontiguousarray(x).view(np.uint8)).view(pool.dtype)
