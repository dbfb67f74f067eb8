"""CupyOps: NVIDIA and AMD GPUs through CuPy. Weights stay in their GGUF blocks; kernels are in kernels/cuda/.

Ops take arrays of the host too and move them; what they return is on the device. Rows are multiplied as 8-bit integers,
or as f16 where there are many, by block types, and as f32, or f16 where there are many, by F16 and BF16
(cuda/products.py). Up to 32 rows, a row's result does not depend on what else is in the batch.

A step of few rows is captured as a CUDA graph and replayed (`run`, cuda/graphs.py).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from llamabox.gguf import Tensor
from llamabox.kernels.attention_rules import check_attend
from llamabox.kernels.cuda.attention import NONE, Attention
from llamabox.kernels.cuda.graphs import Graphs
from llamabox.kernels.cuda.products import Products
from llamabox.kernels.cuda.sources import THREADS, Kernels, blocks_of
from llamabox.kernels.cuda.steps import DeviceStep, on_device
from llamabox.kernels.cuda.weights import CudaWeight, upload
from llamabox.kernels.devices import BackendError, Device, find_device
from llamabox.kernels.kv import BLOCK, KVCache
from llamabox.kernels.ops import DEFAULT_THREADS, Ops, _check_largest, _check_linear, _check_norm
from llamabox.kernels.placement import Threads
from llamabox.kernels.rope import Rope, rope_frequencies
from llamabox.kernels.step import Step
from llamabox.kernels.weight import Weight

ACTIVATIONS = {"silu", "gelu", "gelu_erf"}
MOST_BLOCKS = 4096  # of threads, in kernels that stride over their values
MOST_LARGEST, MOST_WIDTH, ROW_THREADS = 1024, 1 << 23, 512  # see largest.cu


def _cupy() -> Any:
    """The module, imported when a backend is opened."""
    try:
        import cupy
    except ImportError as error:
        raise BackendError(
            "backend cupy: the package cupy does not load, expected it: pip install 'llamabox[cuda]' (NVIDIA) or "
            f"'llamabox[rocm]' (AMD); found: {str(error).strip().splitlines()[-1]}"
        ) from error
    return cupy


class CupyOps(Ops):
    """The GPU backend. device: where it computes; None: the first GPU"""

    name = "cupy"
    picks = MOST_LARGEST

    def __init__(self, threads: Threads = DEFAULT_THREADS, batch: Threads | None = None, device: Device | None = None):
        super().__init__(threads, batch)
        self.xp = _cupy()
        self.device = find_device(None, "cupy") if device is None else device
        self._device = self.xp.cuda.Device(int(self.device.address))
        self._device.use()
        self._kernels = Kernels(self.xp)
        self._products = Products(self.xp, self._kernels)
        processors = self._device.attributes["MultiProcessorCount"]
        self._attention = Attention(self.xp, self._kernels, processors)
        self._graphs = Graphs(self.xp)
        self._step: tuple[Step, DeviceStep] | None = None
        self._frequencies: dict[tuple, tuple] = {}

    def enter(self) -> None:
        self._device.use()
        self._graphs.stream.use()

    def begin(self, rows: int) -> Threads:
        self.enter()
        return super().begin(rows)

    def run(self, function: Callable, weights: Any, config: Any, tokens: Any, step: Step) -> Any:
        if self.listener is None and self._graphs.fits(step):
            return self._graphs.run(self, function, weights, config, tokens, step)
        return super().run(function, weights, config, tokens, step)

    # ---- in and out -------------------------------------------------------------------------------------------------

    def weight(self, tensor: Tensor, scale: Tensor | None = None) -> Any:
        made = self._placed(tensor.name, lambda: super(CupyOps, self).weight(tensor, scale))
        return self._placed(tensor.name, lambda: upload(made, self.xp)) if isinstance(made, Weight) else made

    def _placed(self, what: str, make: Any) -> Any:
        """make(), on the device.

        Errors:  BackendError where the device has no room for it
        """
        try:
            with self._device:
                return make()
        except self.xp.cuda.memory.OutOfMemoryError as error:
            raise BackendError(
                f"{what}: {self.device.name} ({self.device.description}) has no room: {error}"
            ) from error

    def dense(self, weight: Weight) -> Any:
        held = self._checked(weight)
        return self._products.take_rows(held, self.xp.arange(weight.shape[0], dtype=np.int32))

    def array(self, x: np.ndarray) -> Any:
        return self.xp.ascontiguousarray(self.xp.asarray(x))

    def to_numpy(self, x: Any) -> np.ndarray:
        return x.get() if isinstance(x, self.xp.ndarray) else np.asarray(x)

    def kv_cache(self, shapes: list, n_blocks: int, type_k: str = "f16", type_v: str = "f16") -> KVCache:
        make = super().kv_cache
        return self._placed(f"KV cache of {n_blocks * BLOCK} cells", lambda: make(shapes, n_blocks, type_k, type_v))

    def kernel_name(self, weight: Weight) -> str:
        many = "cuBLAS f32" if weight.type.name == "F32" else "f16 tiles + cuBLAS"
        return f"{weight.type.name} x {'int8' if weight.type.block_size > 1 else 'f32'}; many rows: {many}"

    def _f32(self, x: Any) -> Any:
        """x on the device, f32, contiguous; itself where it is."""
        return self.xp.ascontiguousarray(self.xp.asarray(x), dtype=np.float32)

    def _ints(self, x: Any) -> Any:
        return self.xp.ascontiguousarray(self.xp.asarray(x), dtype=np.int32)

    def _checked(self, weight: Weight) -> CudaWeight:
        return weight if isinstance(weight, CudaWeight) else upload(weight, self.xp)

    def _each(self, file: str, name: str, *args: Any, values: int) -> None:
        """Launch a kernel with a thread a value, which strides over what is beyond MOST_BLOCKS blocks."""
        grid = (min(MOST_BLOCKS, blocks_of(values)[0]),)
        self._kernels.plain(file, name)(grid, (THREADS,), args)

    # ---- rows and matrices ------------------------------------------------------------------------------------------

    def embed(self, weight: Weight, ids: Any) -> Any:
        return self._products.take_rows(self._checked(weight), self._ints(ids))

    def take_rows(self, x: Any, rows: Any) -> Any:
        x, rows = self._f32(x), self._ints(rows)
        width = int(np.prod(x.shape[1:]))
        y = self.xp.empty((rows.size, *x.shape[1:]), np.float32)
        if y.size > 0:
            self._each("elementwise.cu", "take_rows", x, np.int32(width), rows, np.int64(y.size), y, values=y.size)
        return y

    def linear(self, x: Any, weight: Weight, bias: Any = None) -> Any:
        return self.linear_many(x, [weight], [bias])[0]

    def linear_many(self, x: Any, weights: list, biases: list | None = None) -> list:
        biases = biases if biases is not None else [None] * len(weights)
        for weight in weights:
            _check_linear(x, weight, 2)
        x, shape = self._f32(x), x.shape[:-1]
        x = x.reshape(-1, x.shape[-1])
        held, quantised = [self._checked(w) for w in weights], None
        if len(x) > 0 and any(self._products.rows_are_quantised(len(x), w) for w in held):
            quantised = self._products.quantise(x)
        outs = []
        for weight, bias in zip(held, biases, strict=True):
            bias = None if bias is None else self._checked_bias(bias, weight)
            outs.append(self._products.multiply(x, weight, bias, quantised).reshape(*shape, weight.shape[0]))
        return outs

    def linear_experts(self, x: Any, weight: Weight, ids: Any) -> Any:
        _check_linear(x, weight, 3)
        return self._products.multiply_experts(self._f32(x), self._checked(weight), self._ints(ids))

    def _checked_bias(self, bias: Any, weight: Weight) -> Any:
        bias = self._f32(bias)
        if bias.shape != (weight.shape[0],):
            raise ValueError(f"linear: bias {bias.shape} does not fit weight {weight.name} {weight.shape}")
        return bias

    def ffn_gated(self, x: Any, gate: Weight, up: Weight, kind: str = "silu") -> Any:
        g, u = self.linear_many(x, [gate, up])
        if kind not in ACTIVATIONS:
            return super().activation(kind, g)  # which refuses it
        if g.shape != u.shape:
            raise ValueError(f"ffn_gated: gate {gate.name} {gate.shape} does not fit up {up.name} {up.shape}")
        return self._activated(kind, g, u)

    # ---- norms and element-wise -------------------------------------------------------------------------------------

    def rms_norm(self, x: Any, weight: Any, eps: float) -> Any:
        _check_norm("rms_norm", x, weight)
        return self._normed("rms_norm", x, [weight], eps)

    def layer_norm(self, x: Any, weight: Any, bias: Any, eps: float) -> Any:
        _check_norm("layer_norm", x, weight)
        _check_norm("layer_norm", x, bias)
        return self._normed("layer_norm", x, [weight, bias], eps)

    def _normed(self, name: str, x: Any, weights: list, eps: float) -> Any:
        x = self._f32(x)
        y = self.xp.empty(x.shape, np.float32)
        if x.size > 0:
            width = x.shape[-1]
            given = [NONE if w is None else self._f32(w) for w in weights]
            kernel = self._kernels.plain("elementwise.cu", name)
            kernel((x.size // width,), (THREADS,), (x, *given, np.int32(width), np.float32(eps), y))
        return y

    def _activated(self, kind: str, x: Any, other: Any = NONE) -> Any:
        x = self._f32(x)
        y = self.xp.empty(x.shape, np.float32)
        if x.size > 0:
            self._each("elementwise.cu", kind, x, other, np.int64(x.size), y, values=x.size)
        return y

    def silu(self, x: Any) -> Any:
        return self._activated("silu", x)

    def sigmoid(self, x: Any) -> Any:
        return self._activated("sigmoid", x)

    def gelu(self, x: Any) -> Any:
        return self._activated("gelu", x)

    def gelu_erf(self, x: Any) -> Any:
        return self._activated("gelu_erf", x)

    def tanh(self, x: Any) -> Any:
        return self._activated("tanh_of", x)

    def softcap(self, x: Any, cap: float) -> Any:
        x = self._f32(x)
        y = self.xp.empty(x.shape, np.float32)
        if x.size > 0:
            self._each("elementwise.cu", "softcap", x, np.float32(cap), np.int64(x.size), y, values=x.size)
        return y

    def softmax(self, x: Any) -> Any:
        x = self._f32(x)
        y, rows = self.xp.empty(x.shape, np.float32), x.size // x.shape[-1]
        if rows > 0:
            kernel = self._kernels.plain("elementwise.cu", "softmax")
            kernel(blocks_of(rows * 32), (THREADS,), (x, np.int32(x.shape[-1]), np.int64(rows), y))
        return y

    # ---- experts ----------------------------------------------------------------------------------------------------

    def top_k(self, x: Any, k: int) -> Any:
        x = self._f32(x)
        width = x.shape[-1]
        y, rows = self.xp.empty((*x.shape[:-1], min(k, width)), np.int32), x.size // width
        if rows > 0:
            kernel = self._kernels.plain("experts.cu", "top_k")
            kernel((rows,), (THREADS,), (x, np.int32(width), np.int32(y.shape[-1]), y))
        return y

    def largest(self, x: Any, k: int) -> tuple:
        _check_largest(x, k)
        x = self._f32(x)
        rows, width = x.shape
        k = min(k, width)
        if k > MOST_LARGEST or width > MOST_WIDTH:
            most = f"{MOST_LARGEST} of {MOST_WIDTH} at most"
            raise ValueError(f"largest: found {k} of {width} values, expected {most}")
        values, ids = self.xp.empty((rows, k), np.float32), self.xp.empty((rows, k), np.int32)
        if values.size > 0:
            kernel = self._kernels.plain("largest.cu", "largest")
            kernel((rows,), (ROW_THREADS,), (x, np.int32(width), np.int32(k), values, ids))
        return values, ids

    def take_along(self, x: Any, ids: Any) -> Any:
        x, ids = self._f32(x), self._ints(ids)
        y = self.xp.empty(ids.shape, np.float32)
        if y.size > 0:
            kernel = self._kernels.plain("experts.cu", "take_along")
            args = (x, np.int32(x.shape[-1]), ids, np.int32(ids.shape[-1]), np.int64(y.size), y)
            kernel(blocks_of(y.size), (THREADS,), args)
        return y

    def sum(self, x: Any, axis: int) -> Any:
        return super().sum(self._f32(x), axis)

    def clamp_min(self, x: Any, low: float) -> Any:
        return super().clamp_min(self._f32(x), low)

    # ---- positions and attention ------------------------------------------------------------------------------------

    def rope_angles(self, pos: Any, rope: Rope, factors: Any = None) -> tuple:
        pos, (frequency, magnitude, _) = self._ints(pos), self._frequency(rope, factors)
        cosines, sines = (self.xp.empty((pos.size, rope.dim // 2), np.float32) for _ in range(2))
        if cosines.size > 0:
            kernel = self._kernels.plain("elementwise.cu", "rope_angles")
            args = (pos, frequency, magnitude, np.int32(rope.dim // 2), np.int64(cosines.size), cosines, sines)
            kernel(blocks_of(cosines.size), (THREADS,), args)
        return cosines, sines

    def _frequency(self, rope: Rope, factors: Any) -> tuple:
        """Frequencies on the device and the magnitude, kept with the factors that made them: a model has few."""
        key = (rope, id(factors))
        if key not in self._frequencies:
            frequency, magnitude = rope_frequencies(rope, None if factors is None else self.to_numpy(factors))
            self._frequencies[key] = self.xp.asarray(frequency), np.float32(magnitude), factors
        return self._frequencies[key]

    def attention_temperature(self, pos: Any, scale: float, period: int) -> Any:
        pos = self._ints(pos)
        y = self.xp.empty((pos.size, 1, 1), np.float32)
        if y.size > 0:
            kernel = self._kernels.plain("elementwise.cu", "attention_temperature")
            kernel(blocks_of(y.size), (THREADS,), (pos, np.float32(scale), np.int32(period), np.int64(y.size), y))
        return y

    def rope(self, x: Any, angles: tuple, neox: bool) -> Any:
        x, (cos, sin) = self._f32(x), (self._f32(a) for a in angles)
        pairs = cos.shape[-1]
        if x.ndim != 3 or 2 * pairs > x.shape[2] or cos.shape != (x.shape[0], pairs) or sin.shape != cos.shape:
            raise ValueError(f"rope: angles {cos.shape}, {sin.shape} do not fit x {x.shape}")
        y, (rows, heads, size) = self.xp.empty(x.shape, np.float32), x.shape
        total = rows * heads * (size - pairs)
        if total > 0:
            numbers = (np.int32(heads), np.int32(size), np.int32(pairs), np.int32(neox), np.int64(total))
            self._kernels.plain("elementwise.cu", "rope")(blocks_of(total), (THREADS,), (x, cos, sin, *numbers, y))
        return y

    def move_cells(self, kv: Any, sources: Any, targets: Any, deltas: Any, ropes: list) -> None:
        sources, targets = np.asarray(sources), np.asarray(targets)
        blocks, place = np.unique(np.concatenate([sources, targets]) // BLOCK, return_inverse=True)
        cells = place * BLOCK + np.concatenate([sources, targets]) % BLOCK
        reference, index = Ops(), self.xp.asarray(blocks)
        for i, rope in enumerate(ropes):  # on the host, a layer at a time: contexts shift rarely
            if rope is not None and rope[1] is not None:
                rope = rope[0], self.to_numpy(rope[1])
            part = KVCache([], len(blocks), kv.type_k, kv.type_v)
            part.k, part.v = [self.to_numpy(kv.k[i][index])], [self.to_numpy(kv.v[i][index])]
            reference.move_cells(part, cells[: len(sources)], cells[len(sources) :], deltas, [rope])
            kv.k[i][index], kv.v[i][index] = self.xp.asarray(part.k[0]), self.xp.asarray(part.v[0])

    def attend(
        self,
        q: Any,
        k: Any,
        v: Any,
        step: Step,
        layer: int,
        *,
        scale: float,
        window: int | None = None,
        two_sided: bool = False,
        softcap: float | None = None,
        alibi: float | None = None,
    ) -> Any:
        here = self._device_step(step)
        check_attend(q, k, v, len(here.pos))
        q, k, v = self._f32(q), self._f32(k), self._f32(v)
        pools, types = (k, v), ("f32", "f32")
        if step.kv is not None:
            pools, types = (step.kv.k[layer], step.kv.v[layer]), (step.kv.type_k, step.kv.type_v)
            for x, pool, type_name in zip((k, v), pools, types, strict=True):
                self._attention.store(x, here, pool, type_name)
        return self._attention.attend(q, pools, types, v.shape[2], here, (scale, window, two_sided, softcap, alibi))

    def _device_step(self, step: Step) -> DeviceStep:
        """The step on the device, copied once for all layers."""
        if isinstance(step, DeviceStep):
            return step
        if self._step is None or self._step[0] is not step:
            self._step = step, on_device(self.xp, step)
        return self._step[1]
