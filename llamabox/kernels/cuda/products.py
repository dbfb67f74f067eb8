"""Rows times weights on a GPU: kernels that read the blocks for few rows, f16 tiles and cuBLAS for many.

rows     block types                                   F16, BF16                       F32
1 to 32  rows of 8-bit integers (products.cu)          f32 (floats.cu)                 f32 (floats.cu)
more     weights unpacked to f16 by tiles, cuBLAS      cuBLAS on f16                   cuBLAS on f32
In f16, each row is first divided by a power of two that brings its largest value below 1, so nothing overflows;
products are summed in f32. Rows of up to 8 share one reading of the weights.
"""

from typing import Any

import numpy as np

from llamabox.gguf import GGMLType
from llamabox.kernels.cuda.sources import THREADS, Kernels, blocks_of
from llamabox.kernels.cuda.weights import CudaWeight

FEW_ROWS = 32
TILE_VALUES = 32 << 20  # of a weight that is unpacked: 64 MB of f16
WARPS = 4  # of a block of products.cu and floats.cu, which make an output each
NONE = np.uint64(0)
ROWS_AT_ONCE = (1, 2, 4, 8)
ONE_BY_ONE = 16  # pairs of a row and an expert that are multiplied without being sorted by expert


class Products:
    """The products of one device."""

    def __init__(self, cupy: Any, kernels: Kernels):
        self._cupy, self._kernels = cupy, kernels

    def quantise(self, x: Any) -> tuple:
        """f32 (T, D) -> 8-bit integers, and a scale with sums for each 32 of them; see products.cu."""
        groups = x.size // 32
        q, meta = self._empty(x.shape, np.int8), self._empty((groups, 8), np.uint8)
        kernel = self._kernels.block(GGMLType.Q8_0, "products.cu", "quantise_rows")
        kernel(blocks_of(groups * 32), (THREADS,), (x, q, meta, np.int64(groups)))
        return q, meta

    def rows_are_quantised(self, rows: int, weight: CudaWeight) -> bool:
        """Whether `multiply` of so many rows takes them as `quantise` makes them."""
        return weight.is_blocks and rows <= FEW_ROWS

    def multiply(self, x: Any, weight: CudaWeight, bias: Any, quantised: tuple | None = None) -> Any:
        """x f32 (T, D), weight (O, D), bias (O,) or None -> (T, O). quantised: of x, where rows_are_quantised"""
        rows, outs = x.shape[0], weight.shape[0]
        y = self._empty((rows, outs), np.float32)
        if y.size == 0:
            return y
        if rows > FEW_ROWS:
            self._multiply_many(x, weight, bias, y)
            return y
        at_once = next((n for n in ROWS_AT_ONCE if n >= rows), ROWS_AT_ONCE[-1])
        kernel = self._kernel(weight, f"multiply_{at_once}")
        tail = (np.int32(rows), _or_none(weight.scale), _or_none(bias), y)
        grid = (-(-outs // WARPS), -(-rows // at_once))
        kernel(grid, (32 * WARPS,), (*self._operands(x, weight, quantised, outs), *tail))
        return y

    def multiply_experts(self, x: Any, weight: CudaWeight, ids: Any) -> Any:
        """x (T, 1, D) or (T, U, D), weight (X, O, D), ids int32 (T, U) -> (T, U, O); nothing waits for the host."""
        n_experts, outs, width = weight.shape
        pairs, per_row = ids.size, ids.shape[1] if x.shape[1] == 1 else 1
        y = self._empty((*ids.shape, outs), np.float32)
        if y.size == 0:
            return y
        rows = x.reshape(-1, width)
        operands = self._operands(rows, weight, self.quantise(rows) if weight.is_blocks else None, outs)
        args = (*operands, np.int32(per_row), _or_none(weight.scale), y)
        across = -(-outs // WARPS)
        if pairs <= ONE_BY_ONE:
            self._kernel(weight, "multiply_experts")((across, pairs), (32 * WARPS,), (*args, ids))
            return y
        tiles, order, n_tiles = self._plan(ids, n_experts)
        self._kernel(weight, "multiply_expert_tiles")((across, n_tiles), (32 * WARPS,), (*args, tiles, order))
        return y

    def take_rows(self, weight: CudaWeight, ids: Any) -> Any:
        """Rows of a matrix as f32.  weight (V, D), ids int32 (T,) -> (T, D)"""
        width = weight.shape[-1]
        y = self._empty((ids.size, width), np.float32)
        if y.size == 0:
            return y
        count = np.int64(ids.size)
        if weight.is_blocks:
            kernel = self._kernels.block(weight.type, "unpack.cu", "take_rows")
            args = (weight.data, np.int64(weight.row_bytes), np.int32(width // 32), ids, count, y)
            kernel(blocks_of(y.size // 32), (THREADS,), args)
        else:
            kernel = self._kernels.element(weight.type, "take_rows")
            kernel(blocks_of(y.size), (THREADS,), (weight.data, np.int32(width), ids, count, y))
        return y

    def _plan(self, ids: Any, n_experts: int) -> tuple:
        """Pairs sorted by expert in tiles of 8, made on the device: (tiles, order, number of tiles)."""
        n_tiles = ids.size // 8 + min(n_experts, ids.size)
        counts, order = self._empty(n_experts, np.int32), self._empty(ids.size, np.int32)
        tiles = self._empty((n_tiles, 3), np.int32)
        kernel = self._kernels.plain("experts.cu", "plan_experts")
        args = (ids, np.int32(ids.size), np.int32(n_experts), np.int32(n_tiles), counts, tiles, order)
        kernel((1,), (THREADS,), args)
        return tiles, order, n_tiles

    def _kernel(self, weight: CudaWeight, name: str) -> Any:
        if weight.is_blocks:
            return self._kernels.block(weight.type, "products.cu", name)
        return self._kernels.element(weight.type, name)

    def _operands(self, x: Any, weight: CudaWeight, quantised: tuple | None, outs: int) -> tuple:
        """The first arguments of kernels of either file: weights, sizes, rows."""
        width = weight.shape[-1]
        if not weight.is_blocks:
            return weight.data, np.int32(outs), np.int32(width), x
        q, meta = self.quantise(x) if quantised is None else quantised
        return weight.data, np.int64(weight.row_bytes), np.int32(outs), np.int32(width // 32), q, meta

    def _multiply_many(self, x: Any, weight: CudaWeight, bias: Any, y: Any) -> None:
        rows, (outs, width) = x.shape[0], weight.shape
        scale = self._cupy.ones(rows, np.float32)
        if weight.type == GGMLType.F32:
            self._gemm(weight.data, 0, outs, x, y, "CUDA_R_32F")
        else:
            halves = self._empty(x.shape, np.uint16)
            kernel = self._kernels.plain("elementwise.cu", "halves_of_rows")
            kernel((rows,), (THREADS,), (x, np.int32(width), halves, scale))
            if weight.type == GGMLType.F16:
                self._gemm(weight.data, 0, outs, halves, y, "CUDA_R_16F")
            else:
                self._multiply_tiles(weight, halves, y)
        args = (y, scale, _or_none(weight.scale), _or_none(bias), np.int32(outs), np.int64(y.size))
        self._kernels.plain("elementwise.cu", "finish_rows")(blocks_of(y.size), (THREADS,), args)

    def _multiply_tiles(self, weight: CudaWeight, halves: Any, y: Any) -> None:
        outs, width = weight.shape
        per_tile = min(outs, max(1, TILE_VALUES // width))
        tile = self._empty((per_tile, width), np.uint16)
        bytes_of_rows = weight.data.reshape(outs, -1)
        for start in range(0, outs, per_tile):
            end = min(start + per_tile, outs)
            source = bytes_of_rows[start:end]
            if weight.is_blocks:
                kernel, total = self._kernels.block(weight.type, "unpack.cu", "to_halves"), (end - start) * width // 32
            else:
                kernel, total = self._kernels.element(weight.type, "to_halves"), (end - start) * width
            kernel(blocks_of(total), (THREADS,), (source, np.int64(total), tile))
            self._gemm(tile, start, end, halves, y, "CUDA_R_16F")

    def _gemm(self, w: Any, start: int, end: int, x: Any, y: Any, type_name: str) -> None:
        """y[:, start:end] = x w', where w has rows start to end; summed in f32. cuBLAS counts columns first."""
        cuda = self._cupy.cuda
        blas, runtime = cuda.cublas, cuda.runtime
        type, f32 = getattr(runtime, type_name), runtime.CUDA_R_32F
        compute = f32 if runtime.is_hip else blas.CUBLAS_COMPUTE_32F
        one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
        rows, width = x.shape
        blas.gemmEx(
            cuda.device.get_cublas_handle(),
            *(blas.CUBLAS_OP_T, blas.CUBLAS_OP_N),
            *(end - start, rows, width),
            *(one.ctypes.data, w.data.ptr, type, width),
            *(x.data.ptr, type, width),
            *(zero.ctypes.data, y.data.ptr + 4 * start, f32, y.shape[1]),
            *(compute, blas.CUBLAS_GEMM_DEFAULT),
        )

    def _empty(self, shape: Any, dtype: Any) -> Any:
        return self._cupy.empty(shape, dtype)


def _or_none(array: Any) -> Any:
    return NONE if array is None else array
