"""A stand-in for the module cupy, with what CupyOps uses: its arrays (arrays.py), and kernels run by grid.py.

`installed()` puts it in the place of cupy while a backend is opened. It is called CUDA0, or with hip=True ROCm0.
"""

import importlib.machinery
import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import arrays
import grid
import numpy as np
from arrays import Allocator, Recorder, computed, do, ndarray, new, not_while_capturing


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class RawModule:
    """Compiled when a kernel is asked for."""

    def __init__(self, *, code: str, options: tuple = ()):
        self.options, self._library = options, grid.Library(code)

    def get_function(self, name: str):
        if name not in self._library.names:
            raise CUDARuntimeError(f"CUDA_ERROR_NOT_FOUND: {name}")

        def launch(grid_shape, block, args):
            for arg in args:
                if not isinstance(arg, ndarray | np.generic):
                    raise TypeError(f"Unsupported type {type(arg)}")
            raw = [arg.data.ptr if isinstance(arg, ndarray) else arg for arg in args]
            shape = tuple(int(n) for n in grid_shape)
            do(lambda: self._library.launch(name, shape, block[0], raw))

        return launch


class Device:
    """The only one."""

    attributes = {"MultiProcessorCount": 3}

    def __init__(self, id: int = 0):
        if id != 0:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = id

    def use(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Graph:
    """Captured work."""

    launches = 0

    def __init__(self, work):
        self._work = work

    def launch(self, stream=None):
        Graph.launches += 1
        for work in self._work:
            work()


class Stream:
    def __init__(self, non_blocking: bool = False):
        self.non_blocking = non_blocking

    def use(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def begin_capture(self, mode=None):
        Recorder.work = []

    def end_capture(self):
        work, Recorder.work = Recorder.work, None
        return Graph(work)

    def synchronize(self):
        not_while_capturing("synchronize")


@contextmanager
def using_allocator(allocator):
    before, Allocator.current = Allocator.current, allocator.__self__
    try:
        yield
    finally:
        Allocator.current = before


def gemm_ex(
    handle, trans_a, trans_b, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc, compute, algo
):
    """Columns first, A transposed and B not, f16 or f32 in, f32 out."""
    assert (trans_a, trans_b, a_type == b_type, c_type, algo) == (1, 0, True, CUDA_R_32F, -1)
    assert compute in (68, CUDA_R_32F)  # CUBLAS_COMPUTE_32F; hipBLAS takes a data type
    dtype = {CUDA_R_16F: np.float16, CUDA_R_32F: np.float32}[a_type]

    def memory(address, columns, lead, dtype):
        strides = (lead * np.dtype(dtype).itemsize, np.dtype(dtype).itemsize)
        size = (columns[0] - 1) * strides[0] + columns[1] * strides[1]
        return np.ndarray(columns, dtype, (np.ctypeslib.ctypes.c_byte * size).from_address(address), 0, strides)

    def work():
        w, x = memory(a, (m, k), lda, dtype), memory(b, (n, k), ldb, dtype)
        with np.errstate(all="ignore"):
            memory(c, (n, m), ldc, np.float32)[...] = x.astype(np.float32) @ w.astype(np.float32).T

    do(work)


CUDA_R_32F, CUDA_R_16F = 0, 2


def module(hip: bool = False) -> ModuleType:
    """The module."""
    cupy = ModuleType("cupy")
    cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    cupy.__version__ = "stand-in"
    cupy.ndarray, cupy.RawModule, cupy.empty = ndarray, RawModule, new
    cupy.asarray, cupy.ascontiguousarray = asarray, ascontiguousarray
    cupy.zeros = lambda shape, dtype=np.float64: _filled(shape, dtype, 0)
    cupy.ones = lambda shape, dtype=np.float64: _filled(shape, dtype, 1)
    cupy.arange = lambda n, dtype=None: asarray(np.arange(n, dtype=dtype))
    cupy.maximum = lambda a, b: computed(np.maximum, a, b)
    runtime = SimpleNamespace(
        is_hip=hip,
        getDeviceCount=lambda: 1,
        memGetInfo=lambda: (3 << 30, 4 << 30),
        getDeviceProperties=lambda i: {"name": b"an emulated grid"},
        CUDARuntimeError=CUDARuntimeError,
        CUDA_R_32F=CUDA_R_32F,
        CUDA_R_16F=CUDA_R_16F,
        streamCaptureModeRelaxed=2,
    )
    blas = SimpleNamespace(gemmEx=gemm_ex, CUBLAS_OP_T=1, CUBLAS_OP_N=0, CUBLAS_COMPUTE_32F=68, CUBLAS_GEMM_DEFAULT=-1)
    cupy.cuda = SimpleNamespace(
        Device=Device,
        Stream=Stream,
        MemoryPool=arrays.Allocator,
        using_allocator=using_allocator,
        runtime=runtime,
        cublas=blas,
        device=SimpleNamespace(get_cublas_handle=lambda: 0),
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    )
    return cupy


def asarray(x, dtype=None) -> ndarray:
    if not isinstance(x, ndarray):
        not_while_capturing("asarray of the host")
        host = np.asarray(x, dtype)
        x = new(host.shape, host.dtype)
        x._a[...] = host
    return x if dtype is None else x.astype(dtype, copy=False)


def ascontiguousarray(x, dtype=None) -> ndarray:
    x = asarray(x, dtype)
    return x if x.flags.c_contiguous else x.copy()


def _filled(shape, dtype, value) -> ndarray:
    made = new(shape, dtype)
    do(lambda: made._a.fill(value))
    return made


@contextmanager
def installed(hip: bool = False):
    """`import cupy` gives the stand-in."""
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = module(hip)
    try:
        yield sys.modules["cupy"]
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
