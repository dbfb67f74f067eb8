"""ggml's own products on its CPU backend, through ctypes; environment as ggml.py.

Weights lie where llama.cpp puts them at its default settings: repacked where its CPU backend has a layout for the type.
"""

import ctypes
from ctypes import c_bool, c_int, c_int64, c_size_t, c_uint32, c_void_p

import numpy as np
from ggml import Ggml

from llamabox.gguf import GGMLType


class InitParams(ctypes.Structure):
    """struct ggml_init_params."""

    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


class ThreadpoolParams(ctypes.Structure):
    """struct ggml_threadpool_params."""

    _fields_ = [
        ("cpumask", c_bool * 512),
        ("n_threads", c_int),
        ("prio", c_int),
        ("poll", c_uint32),
        ("strict_cpu", c_bool),
        ("paused", c_bool),
    ]


FUNCTIONS = {  # name: (result, arguments)
    "ggml_init": (c_void_p, InitParams),
    "ggml_free": (None, c_void_p),
    "ggml_new_tensor_2d": (c_void_p, c_void_p, c_int, c_int64, c_int64),
    "ggml_mul_mat": (c_void_p, c_void_p, c_void_p, c_void_p),
    "ggml_new_graph": (c_void_p, c_void_p),
    "ggml_build_forward_expand": (None, c_void_p, c_void_p),
    "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, c_void_p, c_void_p),
    "ggml_backend_buffer_free": (None, c_void_p),
    "ggml_backend_tensor_set": (None, c_void_p, c_void_p, c_size_t, c_size_t),
    "ggml_backend_tensor_get": (None, c_void_p, c_void_p, c_size_t, c_size_t),
    "ggml_backend_get_default_buffer_type": (c_void_p, c_void_p),
    "ggml_backend_get_device": (c_void_p, c_void_p),
    "ggml_backend_dev_supports_op": (c_bool, c_void_p, c_void_p),
    "ggml_backend_graph_compute": (c_int, c_void_p, c_void_p),
    "ggml_threadpool_params_default": (ThreadpoolParams, c_int),
    "ggml_quantize_requires_imatrix": (c_bool, c_int),
}
CPU_FUNCTIONS = {
    "ggml_backend_cpu_init": (c_void_p,),
    "ggml_backend_cpu_set_n_threads": (None, c_void_p, c_int),
    "ggml_backend_cpu_set_threadpool": (None, c_void_p, c_void_p),
    "ggml_threadpool_new": (c_void_p, ctypes.POINTER(ThreadpoolParams)),
    "_Z35ggml_backend_cpu_repack_buffer_typev": (c_void_p,),  # C++: declared in repack.h only
}


def _declare(lib, functions) -> None:
    for name, (result, *arguments) in functions.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments


class GgmlProducts(Ggml):
    """ggml with its CPU backend and a pool of threads that lasts, as llama.cpp has it."""

    def __init__(self, threads: int = 2):
        super().__init__()
        self.cpu = ctypes.CDLL(str(self.directory / "libggml-cpu.so"))
        _declare(self.lib, FUNCTIONS)
        _declare(self.cpu, CPU_FUNCTIONS)
        self.backend = self.cpu.ggml_backend_cpu_init()
        params = self.lib.ggml_threadpool_params_default(threads)
        params.cpumask[:threads] = [True] * threads  # a core each
        params.strict_cpu = True
        self.cpu.ggml_backend_cpu_set_n_threads(self.backend, threads)
        self.cpu.ggml_backend_cpu_set_threadpool(self.backend, self.cpu.ggml_threadpool_new(ctypes.byref(params)))
        self.plain = self.lib.ggml_backend_get_default_buffer_type(self.backend)
        self.repacked = self.cpu._Z35ggml_backend_cpu_repack_buffer_typev()

    def quantize_rows(self, values: np.ndarray, type: GGMLType, importance: np.ndarray | None) -> np.ndarray:
        """f32 (N, D) -> uint8 (N, row bytes); importance f32 (D,), where the type must have it or one is given."""
        rows, columns = values.shape
        out = np.empty((rows, type.row_bytes(columns)), np.uint8)
        values = np.ascontiguousarray(values, np.float32)
        matrix = None if importance is None else np.ascontiguousarray(importance, np.float32)
        address = None if matrix is None else matrix.ctypes.data
        self.lib.ggml_quantize_chunk(int(type), values.ctypes.data, out.ctypes.data, 0, rows, columns, address)
        return out


class Product:
    """A weight matrix and rows of x in ggml's memory, and the graph of their product."""

    def __init__(self, ggml: GgmlProducts, type: GGMLType, data: np.ndarray, x: np.ndarray):
        self._ggml, lib = ggml, ggml.lib
        self._type, self._sizes = int(type), (data.shape[0], *x.shape)
        self.is_repacked = self._build(ggml.repacked)
        if not self.is_repacked:
            self.free()
            self._build(ggml.plain)
        data, x = np.ascontiguousarray(data), np.ascontiguousarray(x, np.float32)
        lib.ggml_backend_tensor_set(self._weight, data.ctypes.data, 0, data.nbytes)
        lib.ggml_backend_tensor_set(self._x, x.ctypes.data, 0, x.nbytes)
        self._graph = lib.ggml_new_graph(self._contexts[1])
        lib.ggml_build_forward_expand(self._graph, self._y)

    def _build(self, place: int) -> bool:
        """Make the tensors, the weight in this kind of buffer; whether the backend can then compute the product."""
        lib, (n_out, rows, width) = self._ggml.lib, self._sizes
        self._contexts = [lib.ggml_init(InitParams(1 << 20, None, True)) for _ in range(2)]
        self._weight = lib.ggml_new_tensor_2d(self._contexts[0], self._type, width, n_out)
        buffer = lib.ggml_backend_alloc_ctx_tensors_from_buft(self._contexts[0], place)
        self._x = lib.ggml_new_tensor_2d(self._contexts[1], int(GGMLType.F32), width, rows)
        self._y = lib.ggml_mul_mat(self._contexts[1], self._weight, self._x)
        self._buffers = [buffer, lib.ggml_backend_alloc_ctx_tensors_from_buft(self._contexts[1], self._ggml.plain)]
        return lib.ggml_backend_dev_supports_op(lib.ggml_backend_get_device(self._ggml.backend), self._y)

    def run(self) -> None:
        """Compute it."""
        status = self._ggml.lib.ggml_backend_graph_compute(self._ggml.backend, self._graph)
        if status != 0:
            raise RuntimeError(f"ggml_backend_graph_compute: status {status}")

    def result(self) -> np.ndarray:
        """f32 (rows, O)."""
        y = np.empty((self._sizes[1], self._sizes[0]), np.float32)
        self._ggml.lib.ggml_backend_tensor_get(self._y, y.ctypes.data, 0, y.nbytes)
        return y

    def free(self) -> None:
        """Give the memory back."""
        for buffer in self._buffers:
            self._ggml.lib.ggml_backend_buffer_free(buffer)
        for context in self._contexts:
            self._ggml.lib.ggml_free(context)
