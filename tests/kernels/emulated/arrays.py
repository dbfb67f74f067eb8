"""Arrays of the stand-in for CuPy: NumPy memory that only its own functions may touch, as a device's.

What CuPy refuses is refused: a NumPy array in arithmetic with a device's, an implicit copy to the host, and, while a
graph is captured, whatever would wait for the device or copy from the host. Captured work runs when its graph is
launched.
"""

from types import SimpleNamespace

import numpy as np

SCALARS = (int, float, np.generic)


class Recorder:
    """The work being captured: None, or a list of functions."""

    work = None


def do(work) -> None:
    """Now, or when the graph that is being captured is launched."""
    if Recorder.work is None:
        work()
    else:
        Recorder.work.append(work)


def not_while_capturing(what: str) -> None:
    if Recorder.work is not None:
        raise RuntimeError(f"{what}: cudaErrorStreamCaptureUnsupported")


class Allocator:
    """Where memory comes from. A pool's blocks are used again once nobody holds them."""

    current = None

    def __init__(self):
        self._free: dict[int, list] = {}
        self.n_blocks = 0

    def malloc(self, size: int) -> np.ndarray:
        size = -(-size // 512) * 512
        if not self._free.get(size):
            self.n_blocks += 1
            self._free.setdefault(size, []).append(np.empty(size + 256, np.uint8))
        return self._free[size].pop()

    def free(self, block: np.ndarray) -> None:
        self._free[block.size - 256].append(block)


DEFAULT = Allocator()


class Memory:
    """A block that an array and its views hold; their pool has it again when the last of them is gone."""

    def __init__(self, pool: Allocator, block: np.ndarray):
        self._pool, self._block = pool, block

    def __del__(self):
        self._pool.free(self._block)


def new(shape, dtype) -> "ndarray":
    """Unwritten memory: bytes of 255, so NaN in floats."""
    shape, dtype = tuple(np.atleast_1d(np.asarray(shape, np.int64)).tolist()), np.dtype(dtype)
    size, pool = int(np.prod(shape)) * dtype.itemsize, Allocator.current or DEFAULT
    block = pool.malloc(max(size, 1))
    start = -block.ctypes.data % 256
    held = block[start : start + size]
    if Recorder.work is None:
        held[:] = 255
    return ndarray(np.ndarray(shape, dtype, held), Memory(pool, block))


def computed(function, *arrays) -> "ndarray":
    """function(NumPy arrays or scalars) as a new array."""
    raw = [a._a if isinstance(a, ndarray) else a for a in arrays]
    for a in arrays:
        if not isinstance(a, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(a)}")
    with np.errstate(all="ignore"):
        like = function(*raw)
    out = new(like.shape, like.dtype)

    def work():
        with np.errstate(all="ignore"):
            out._a[...] = function(*raw)

    do(work)
    return out


def index_of(key):
    """An index without device arrays; host arrays are copied to the device by CuPy, so not while capturing."""
    parts = key if isinstance(key, tuple) else (key,)
    if any(isinstance(p, np.ndarray | list) for p in parts):
        not_while_capturing("an index of the host")
    parts = tuple(p._a if isinstance(p, ndarray) else p for p in parts)
    return parts, any(isinstance(p, np.ndarray | list) for p in parts)


class ndarray:
    """An array of the device."""

    __array_priority__ = 100

    def __init__(self, a: np.ndarray, owner):
        self._a, self._owner = a, owner

    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: self._a.flags)
    T = property(lambda self: self.transpose())
    data = property(lambda self: SimpleNamespace(ptr=self._a.ctypes.data))

    def __len__(self):
        return len(self._a)

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__" or kwargs:
            raise TypeError(f"{ufunc.__name__}.{method} with {sorted(kwargs)}")
        return computed(ufunc, *inputs)

    def get(self) -> np.ndarray:
        not_while_capturing("get")
        return self._a.copy()

    def set(self, values: np.ndarray) -> None:
        not_while_capturing("set")
        if values.dtype != self.dtype or values.shape != self.shape:
            raise ValueError(f"set: {values.dtype} {values.shape}, expected {self.dtype} {self.shape}")
        self._a[...] = values

    def _view(self, a):
        if not np.shares_memory(a, self._a) and a.size > 0:
            return computed(lambda x: x.reshape(a.shape), self)
        return ndarray(a, self._owner)

    def reshape(self, *shape):
        return self._view(self._a.reshape(*shape))

    def transpose(self, *axes):
        return self._view(self._a.transpose(*axes))

    def view(self, dtype):
        return self._view(self._a.view(dtype))

    def astype(self, dtype, copy=True):
        return self if not copy and self.dtype == dtype else computed(lambda a: a.astype(dtype), self)

    def copy(self):
        return computed(np.copy, self)

    def sum(self, axis=None, keepdims=False):
        return computed(lambda a: np.asarray(a.sum(axis=axis, keepdims=keepdims)), self)

    def __getitem__(self, key):
        key, advanced = index_of(key)
        if advanced:
            return computed(lambda a: a[key], self)
        return self._view(np.asarray(self._a[key]))

    def __setitem__(self, key, value):
        if not isinstance(value, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(value)}")
        key, value = index_of(key)[0], value._a if isinstance(value, ndarray) else value
        do(lambda: self._a.__setitem__(key, value))

    def __neg__(self):
        return computed(np.negative, self)


def _operators():
    table = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "pow": np.power}
    for name, ufunc in table.items():
        setattr(ndarray, f"__{name}__", lambda a, b, f=ufunc: computed(f, a, b))
        setattr(ndarray, f"__r{name}__", lambda a, b, f=ufunc: computed(f, b, a))

        def in_place(a, b, f=ufunc):
            if not isinstance(b, (ndarray, *SCALARS)):
                raise TypeError(f"Unsupported type {type(b)}")
            raw = b._a if isinstance(b, ndarray) else b
            do(lambda: f(a._a, raw, out=a._a))
            return a

        setattr(ndarray, f"__i{name}__", in_place)


_operators()
