"""Ops: the op vocabulary, complete and plain on NumPy. It defines what each op means; backends do some of them better.

Axis letters: T tokens this step, S tokens in cache, D n_embd, H n_head, K n_head_kv, E head_dim, F n_ff, V n_vocab,
X experts, U experts used. Arrays are f32 unless said otherwise. Models call these ops, `+ - * /`, reshape, transpose
and basic slices, and nothing else.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from llamabox.gguf import GGMLType, Tensor, dequantize
from llamabox.kernels import kv as kv_cache
from llamabox.kernels.attention_rules import alibi_bias, visible
from llamabox.kernels.placement import Threads, bound_blas
from llamabox.kernels.rope import Rope, rope_angles
from llamabox.kernels.step import Step
from llamabox.kernels.weight import Weight

TILE_BYTES = 4 << 20  # the largest piece of a quantised weight that is ever unpacked at once
DEFAULT_THREADS = Threads()
PLAIN = (GGMLType.F32, GGMLType.F16)  # types whose data is an array of their own dtype


class Ops:
    """The reference backend. `listener(name, x)` sees every tagged value and may replace it by returning another.

    threads, batch  that compute steps of one row, and of several
    picks           up to so many of a row's logits are better picked by `largest` than copied to the host with all
                    others; 0: none, since arrays are the host's
    """

    name = "numpy"
    xp: Any = np
    picks: int = 0

    def __init__(self, threads: Threads = DEFAULT_THREADS, batch: Threads | None = None) -> None:
        self.listener: Callable[[str, Any], Any] | None = None
        self._threads = (threads, threads if batch is None else batch)
        self._settled: tuple[int, Threads] | None = None  # the thread that called `begin` last, and how it runs

    def enter(self) -> None:
        """Make this backend's device the calling thread's current one; for those whose libraries have such a state."""

    def begin(self, rows: int) -> Threads:
        """A step of so many rows begins, on the calling thread: choose its threads. Returns them."""
        threads = self._threads[rows > 1]
        if self._settled != (caller := (threading.get_ident(), threads)):
            self._settled = caller
            threads.settle(0)
            if threads.count is not None:
                bound_blas(threads.count)
        return threads

    def run(self, function: Callable, weights: Any, config: Any, tokens: Any, step: Step) -> Any:
        """function(self, weights, config, tokens, step), a model's `forward` or `hidden`. A backend may compile it for
        steps of one shape, with the same results, as long as there is no listener."""
        return function(self, weights, config, tokens, step)

    # ---- in and out -------------------------------------------------------------------------------------------------

    def weight(self, tensor: Tensor, scale: Tensor | None = None) -> Any:
        """A GGUF tensor as this backend holds it: 1-D as an f32 array, others as a Weight in its own blocks.

        scale  a factor of every product with it: one value, or one an expert
        """
        if len(tensor.shape) == 1:
            return self.array(_as_f32(tensor.data, tensor.type))
        factor = None if scale is None else self.array(_as_f32(scale.data, scale.type).reshape(-1))
        return Weight(tensor.name, tensor.type, tensor.shape, tensor.data, factor)

    def dense(self, weight: Weight) -> Any:
        """All values of a small matrix as an f32 array, for element-wise use.  (O, D) -> (O, D).  ggml CPY"""
        return _as_f32(weight.data, weight.type)

    def array(self, x: np.ndarray) -> Any:
        """A host array moved to the backend."""
        return np.ascontiguousarray(x)

    def to_numpy(self, x: Any) -> np.ndarray:
        """A backend array moved to the host."""
        return np.asarray(x)

    def kv_cache(self, shapes: list, n_blocks: int, type_k: str = "f16", type_v: str = "f16") -> kv_cache.KVCache:
        """A pool of KV blocks in this backend's memory."""
        return kv_cache.KVCache(shapes, n_blocks, type_k, type_v, self.xp)

    def store_rows(self, pool: Any, blocks: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> None:
        """Write bytes of cells, uint8 (N, row bytes) on the host, into one layer's keys or values of a cache."""
        shape = (-1, pool.shape[1], pool.shape[3])
        pool[blocks, :, offsets] = self.array(rows).view(pool.dtype).reshape(shape)

    def kernel_name(self, weight: Weight) -> str:
        """What multiplies by this weight, for `llamabox inspect --kernels`."""
        return "sgemm" if weight.type in PLAIN else "dequantised tiles + sgemm"

    def tag(self, x: Any, name: str, layer: int | None = None) -> Any:
        """Name a value as llama.cpp does (`attn_out-3`) and return it, or what the listener returns instead."""
        if self.listener is None:
            return x
        replaced = self.listener(name if layer is None else f"{name}-{layer}", x)
        return x if replaced is None else replaced

    # ---- rows and matrices ------------------------------------------------------------------------------------------

    def embed(self, weight: Weight, ids: np.ndarray) -> Any:
        """Rows of a matrix.  weight (V, D), ids int (T,) -> (T, D).  ggml GET_ROWS"""
        return _as_f32(weight.data[ids], weight.type)

    def take_rows(self, x: Any, rows: np.ndarray) -> Any:
        """x (T, D), rows int (R,) -> (R, D).  ggml GET_ROWS"""
        return x[rows]

    def linear(self, x: Any, weight: Weight, bias: Any = None) -> Any:
        """x times the transpose of weight, times weight.scale if it has one, plus bias.

        Shapes:  x (..., D), weight (O, D), bias (O,) -> (..., O)
        Dtypes:  x f32; weight any GGUF type, unpacked by tiles of at most 4 MB; the result is f32
        Errors:  ValueError when the last axes differ
        Source:  ggml MUL_MAT, ADD
        Bound:   against f64: NMSE 1e-12 for F32; 1e-4 where a backend quantises x to 8 bits, as ggml does
        """
        _check_linear(x, weight, 2)
        y = self._matmul(x.reshape(-1, x.shape[-1]), weight.data, weight.type).reshape(*x.shape[:-1], weight.shape[0])
        y = y if weight.scale is None else y * weight.scale
        return y if bias is None else y + bias

    def linear_many(self, x: Any, weights: list, biases: list | None = None) -> list:
        """`linear` of one x with several weights, which a backend may share work between (q, k, v; gate, up)."""
        biases = biases if biases is not None else [None] * len(weights)
        return [self.linear(x, w, b) for w, b in zip(weights, biases, strict=True)]

    def linear_experts(self, x: Any, weight: Weight, ids: Any) -> Any:
        """Each row times the matrices of the experts chosen for it, times weight.scale of the expert if it has one.

        Shapes:  x (T, 1, D) or (T, U, D), weight (X, O, D), ids int (T, U) -> (T, U, O)
        Source:  ggml MUL_MAT_ID
        """
        _check_linear(x, weight, 3)
        x = np.broadcast_to(x, (*ids.shape, x.shape[-1]))  # (T, U, D)
        y = np.empty((*ids.shape, weight.shape[1]), np.float32)
        for expert in np.unique(ids):
            rows = ids == expert  # (T, U)
            y[rows] = self._matmul(x[rows], weight.data[expert], weight.type)
        return y if weight.scale is None else y * weight.scale[ids][..., None]

    def _matmul(self, x: np.ndarray, data: np.ndarray, type: GGMLType) -> np.ndarray:
        """x (T, D) @ data (O, row) of a GGUF type, transposed -> (T, O); unpacks at most TILE_BYTES at a time."""
        if type == GGMLType.F32:
            return x @ data.T
        y = np.empty((x.shape[0], data.shape[0]), np.float32)
        tile = max(1, TILE_BYTES // (4 * x.shape[1]))
        for start in range(0, data.shape[0], tile):
            y[:, start : start + tile] = x @ _as_f32(data[start : start + tile], type).T
        return y

    # ---- norms and element-wise -------------------------------------------------------------------------------------

    def rms_norm(self, x: Any, weight: Any, eps: float) -> Any:
        """Scale x by the inverse root mean square of its last axis: x / sqrt(mean(x^2) + eps) * weight.

        Shapes:  x (..., D), weight (D,) or None -> (..., D)
        Units:   eps is added to the mean square, before the root
        Errors:  ValueError when weight does not fit the last axis of x
        Source:  arXiv:1910.07467; ggml RMS_NORM, MUL
        Bound:   NMSE 1e-12 against f64
        """
        _check_norm("rms_norm", x, weight)
        y = x / self.xp.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(eps))
        return y if weight is None else y * weight

    def layer_norm(self, x: Any, weight: Any, bias: Any, eps: float) -> Any:
        """(x - mean) / sqrt(variance + eps) * weight + bias, over the last axis.

        Shapes:  x (..., D), weight (D,) or None, bias (D,) or None -> (..., D)
        Source:  arXiv:1607.06450; ggml NORM, MUL, ADD
        Bound:   NMSE 1e-12 against f64
        """
        _check_norm("layer_norm", x, weight)
        x = x - x.mean(axis=-1, keepdims=True)
        y = x / self.xp.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(eps))
        y = y if weight is None else y * weight
        return y if bias is None else y + bias

    def silu(self, x: Any) -> Any:
        """x * sigmoid(x).  ggml SILU"""
        return x * self.sigmoid(x)

    def sigmoid(self, x: Any) -> Any:
        """1 / (1 + exp(-x)), through tanh, which cannot overflow.  ggml SIGMOID"""
        return np.float32(0.5) * self.xp.tanh(np.float32(0.5) * x) + np.float32(0.5)

    def gelu(self, x: Any) -> Any:
        """tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).  ggml GELU (which looks it up in f16)"""
        inner = np.float32(0.7978845608028654) * x * (1 + np.float32(0.044715) * x * x)
        return np.float32(0.5) * x * (1 + self.xp.tanh(inner))

    def gelu_erf(self, x: Any) -> Any:
        """exact form: x times the normal distribution's cumulative function, 0.5 x (1 + erf(x / sqrt 2)).

        Source:  arXiv:1606.08415; ggml GELU_ERF; erf by Abramowitz and Stegun 7.1.26, off by at most 1.5e-7
        """
        z = self.xp.abs(x) * np.float32(0.7071067811865476)
        t = 1 / (1 + np.float32(0.3275911) * z)
        tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
        below = np.float32(0.5) * tail * self.xp.exp(-z * z)  # share of the distribution beyond |x|
        return x * self.xp.where(x < 0, below, 1 - below)

    def tanh(self, x: Any) -> Any:
        """ggml TANH"""
        return self.xp.tanh(x)

    def softcap(self, x: Any, cap: float) -> Any:
        """cap * tanh(x / cap): values stay within (-cap, cap).  Gemma 2, arXiv:2408.00118"""
        return np.float32(cap) * self.xp.tanh(x / np.float32(cap))

    def softmax(self, x: Any) -> Any:
        """Over the last axis.  ggml SOFT_MAX"""
        e = self.xp.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def activation(self, kind: str, x: Any) -> Any:
        """The activation of that name, silu, gelu or gelu_erf; ValueError for another."""
        if kind not in ("silu", "gelu", "gelu_erf"):
            raise ValueError(f'activation: found {kind!r}, expected "silu", "gelu" or "gelu_erf"')
        return getattr(self, kind)(x)

    def ffn_gated(self, x: Any, gate: Weight, up: Weight, kind: str = "silu") -> Any:
        """activation(x gate') * (x up').  x (T, D), gate and up (F, D) -> (T, F).  arXiv:2002.05202; SWIGLU, GEGLU"""
        g, u = self.linear_many(x, [gate, up])
        return self.activation(kind, g) * u

    # ---- experts ----------------------------------------------------------------------------------------------------

    def top_k(self, x: Any, k: int) -> Any:
        """Indices of the k largest of the last axis, largest first; ties: the lower index.  (T, X) -> int (T, k)"""
        return self.xp.argsort(-x, axis=-1, kind="stable")[..., :k]

    def largest(self, x: Any, k: int) -> tuple:
        """The k largest values of each row and where they are, largest first; ties: the lower index.

        Shapes:  x (R, V) -> values (R, k), ids (R, k); where k > V, V of them
        Order:   NaN comes before all others; -0 and 0 are equal
        Dtypes:  values f32, with the bits that x has; ids int32
        Errors:  ValueError for k < 1; cupy also for k > `picks`
        """
        _check_largest(x, k)
        bits = x.view(np.int32)
        keys = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)  # these order as the values do
        ids = np.argsort(np.where(np.isnan(x), np.iinfo(np.int32).min, -keys), axis=-1, kind="stable")[:, :k]
        return np.take_along_axis(x, ids, axis=-1), ids.astype(np.int32)

    def take_along(self, x: Any, ids: Any) -> Any:
        """x (T, X), ids int (T, U) -> (T, U): each row's values at its own indices"""
        return self.xp.take_along_axis(x, ids, axis=-1)

    def sum(self, x: Any, axis: int) -> Any:
        """Sum over one axis, kept with length 1.  ggml SUM_ROWS"""
        return x.sum(axis=axis, keepdims=True)

    def clamp_min(self, x: Any, low: float) -> Any:
        """The larger of x and low.  ggml CLAMP"""
        return self.xp.maximum(x, np.float32(low))

    # ---- positions and attention ------------------------------------------------------------------------------------

    def rope_angles(self, pos: np.ndarray, rope: Rope, factors: Any = None) -> tuple:
        """cos and sin for these positions, once a step; see kernels/rope.py.  pos (T,) -> 2 x (T, dim/2)"""
        cos, sin = rope_angles(pos, rope, None if factors is None else self.to_numpy(factors))
        return self.array(cos), self.array(sin)

    def attention_temperature(self, pos: np.ndarray, scale: float, period: int) -> Any:
        """1 + scale * log(1 + floor(pos / period)), which queries are multiplied by.  pos (T,) -> (T, 1, 1)

        Source:  arXiv:2501.19399 as in Llama 4; llama.cpp's attn_temperature
        """
        return self.array((1 + scale * np.log1p(pos // period)).astype(np.float32)[:, None, None])

    def rope(self, x: Any, angles: tuple, neox: bool) -> Any:
        """Turn the first 2 * angles values of each head by the angles of its row.

        Shapes:  x (T, H, E), angles (cos, sin) each (T, dim/2), dim <= E -> (T, H, E)
        Source:  arXiv:2104.09864; ggml ROPE: pairs (2i, 2i+1), or (i, i + dim/2) when neox
        """
        cos, sin = angles[0][:, None, :], angles[1][:, None, :]  # (T, 1, dim/2)
        half = cos.shape[-1]
        if neox:
            a, b = x[..., :half], x[..., half : 2 * half]
            turned = [a * cos - b * sin, a * sin + b * cos]
        else:
            a, b = x[..., 0 : 2 * half : 2], x[..., 1 : 2 * half : 2]
            pairs = self.xp.stack([a * cos - b * sin, a * sin + b * cos], axis=-1)  # (T, H, dim/2, 2)
            turned = [pairs.reshape(*x.shape[:-1], 2 * half)]
        return self.xp.concatenate([*turned, x[..., 2 * half :]], axis=-1)

    def move_cells(self, kv: Any, sources: Any, targets: Any, deltas: Any, ropes: list) -> None:
        """Copy cells of the pool, in every layer, the keys turned by so many positions.

        Shapes:  sources, targets, deltas int (N,); a cell is block * BLOCK + offset; sources and targets may overlap
        Ropes:   one a layer: (Rope, factors), or None where keys know no position
        Dtypes:  keys are turned in f32 and rounded to the cache's type; those of delta 0 and values keep their bits
        Source:  arXiv:2104.09864; llama.cpp's K-shift, but without YaRN's magnitude, which the keys have already
        """
        places, wanted = np.divmod(np.asarray(sources), kv_cache.BLOCK), np.divmod(np.asarray(targets), kv_cache.BLOCK)
        deltas = np.asarray(deltas, np.int32)
        turned = np.flatnonzero(deltas)
        for i, rope in enumerate(ropes):
            k, v = kv.k[i][places[0], :, places[1]], kv.v[i][places[0], :, places[1]]  # (N, K, E): copies
            if rope is not None and len(turned) > 0:
                cos, sin = self.rope_angles(deltas[turned], *rope)
                size = self.xp.sqrt(cos * cos + sin * sin)
                keys = self.rope(kv_cache.decode(k[turned], kv.type_k), (cos / size, sin / size), rope[0].neox)
                k[turned] = kv_cache.encode(keys, kv.type_k)
            kv.k[i][wanted[0], :, wanted[1]], kv.v[i][wanted[0], :, wanted[1]] = k, v

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
        """Store k and v in the step's KV blocks, then attend: softmax(scale * q k' + bias + mask) v, grouped heads.

        Shapes:  q (T, H, E), k (T, K, E), v (T, K, Ev), H a multiple of K -> (T, H, Ev)
        Mask:    row at position p sees cells j of its own sequence with j <= p (all, if not step.causal),
                 and p - j < window when given (|p - j| < window, if two_sided)
        Softcap: scores become softcap * tanh(score / softcap) before the bias and the mask
        ALiBi:   the bias is -slope * |p - j|, slope by head as alibi_slopes(H, alibi) says; alibi is its largest bias
        Dtypes:  k and v are rounded to the cache's types; scores and sums are f32
        Source:  arXiv:1706.03762, 2305.13245; ggml SET_ROWS, MUL_MAT, SOFT_MAX_EXT (or FLASH_ATTN_EXT)
        Bound:   NMSE 1e-10 against f64 on the rounded k and v
        """
        if step.kv is not None:
            self._store(step, layer, k, v)
        out = np.empty((q.shape[0], q.shape[1], v.shape[2]), np.float32)
        for n in range(len(step.kv_len)):
            rows = slice(step.row_start[n], step.row_start[n + 1])
            keys, values = (k[rows], v[rows]) if step.kv is None else self._cached(step, layer, n)  # (S, K, E)
            mask = visible(step.pos[rows], keys.shape[0], step.causal, window, two_sided)  # (t, S)
            bias = None if alibi is None else alibi_bias(step.pos[rows], keys.shape[0], q.shape[1], alibi)  # (H, t, S)
            out[rows] = self._attend_one(q[rows], keys, values, mask, scale, softcap, bias)
        return out

    def _store(self, step: Step, layer: int, k: np.ndarray, v: np.ndarray) -> None:
        block, offset = np.divmod(step.cells, kv_cache.BLOCK)
        step.kv.k[layer][block, :, offset] = kv_cache.encode(k, step.kv.type_k)
        step.kv.v[layer][block, :, offset] = kv_cache.encode(v, step.kv.type_v)

    def _cached(self, step: Step, layer: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and values of sequence n, f32 (S, K, E)."""
        length = int(step.kv_len[n])
        blocks = step.tables[n, : -(-length // kv_cache.BLOCK)]
        pools = ((step.kv.k[layer], step.kv.type_k), (step.kv.v[layer], step.kv.type_v))
        k, v = (kv_cache.decode(pool[blocks], type).transpose(0, 2, 1, 3) for pool, type in pools)
        return tuple(a.reshape(-1, *a.shape[2:])[:length] for a in (k, v))

    def _attend_one(self, q, k, v, mask, scale, softcap, bias):
        """q (t, H, E), k (S, K, E), v (S, K, Ev), mask bool (t, S), bias None or (H, t, S) -> (t, H, Ev)"""
        group = q.shape[1] // k.shape[1]
        q = q.reshape(q.shape[0], k.shape[1], group, q.shape[2]).transpose(1, 2, 0, 3)  # (K, G, t, E)
        scores = q @ k.transpose(1, 2, 0)[:, None] * np.float32(scale)  # (K, G, t, S)
        if softcap is not None:
            scores = self.softcap(scores, softcap)
        if bias is not None:
            scores = scores + bias.reshape(scores.shape)
        scores = np.where(mask, scores, np.float32(-np.inf))
        y = self.softmax(scores) @ v.transpose(1, 0, 2)[:, None]  # (K, G, t, Ev)
        return y.transpose(2, 0, 1, 3).reshape(mask.shape[0], -1, v.shape[2])


def _as_f32(data: np.ndarray, type: GGMLType) -> np.ndarray:
    return data.astype(np.float32, copy=False) if type in PLAIN else dequantize(data, type)


def _check_largest(x: Any, k: int) -> None:
    if len(x.shape) != 2 or k < 1:
        raise ValueError(f"largest: found x {tuple(x.shape)} and k {k}, expected two axes and a k of at least 1")


def _check_linear(x: Any, weight: Weight, axes: int) -> None:
    if len(weight.shape) != axes or x.shape[-1] != weight.shape[-1]:
        raise ValueError(f"linear: weight {weight.name} {weight.shape} does not fit x {tuple(x.shape)}")


def _check_norm(name: str, x: Any, weight: Any) -> None:
    if weight is not None and tuple(weight.shape) != tuple(x.shape[-1:]):
        raise ValueError(f"{name}: weight {tuple(weight.shape)} does not fit x {tuple(x.shape)}")
