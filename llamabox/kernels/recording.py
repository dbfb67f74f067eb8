"""RecordingOps: ops that compute nothing. Each writes one node, with the shapes and dtypes that it would give.

Their signatures are those of Ops; a shape that does not fit raises the ValueError that Ops raises.
"""

from typing import Any

import numpy as np

from llamabox.kernels.nodes import Tape
from llamabox.kernels.ops import _check_largest, _check_linear, _check_norm
from llamabox.kernels.rope import Rope
from llamabox.kernels.traced import Traced, TracedStep, note, note_many, refuse
from llamabox.kernels.weight import Weight


class RecordingOps:
    """The op vocabulary, written onto a tape."""

    name = "recording"

    def __init__(self, tape: Tape):
        self._tape = tape

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise refuse(f"ops.{name}")

    def _like(self, op: str, x: Traced, *more: Any) -> Traced:
        """An op whose result has the shape and dtype of x."""
        return note(self._tape, op, (x, *more), x.shape, x.dtype)

    def tag(self, x: Traced, name: str, layer: int | None = None) -> Traced:
        self._tape.names[name if layer is None else f"{name}-{layer}"] = x.value
        return x

    # ---- rows and matrices ------------------------------------------------------------------------------------------

    def dense(self, weight: Weight) -> Traced:
        return note(self._tape, "dense", (weight,), weight.shape)

    def embed(self, weight: Weight, ids: Any) -> Traced:
        ids = ids if isinstance(ids, Traced) else np.asarray(ids, np.int32)
        return note(self._tape, "embed", (weight, ids), (*ids.shape, weight.shape[1]))

    def take_rows(self, x: Traced, rows: Any) -> Traced:
        return note(self._tape, "take_rows", (x, rows), (*rows.shape, *x.shape[1:]), x.dtype)

    def linear(self, x: Traced, weight: Weight, bias: Any = None) -> Traced:
        _check_product(x, weight, bias)
        return note(self._tape, "linear", (x, weight, bias), (*x.shape[:-1], weight.shape[0]))

    def linear_many(self, x: Traced, weights: list, biases: list | None = None) -> list:
        biases = biases if biases is not None else [None] * len(weights)
        for weight, bias in zip(weights, biases, strict=True):
            _check_product(x, weight, bias)
        results = [((*x.shape[:-1], weight.shape[0]), np.float32) for weight in weights]
        return note_many(self._tape, "linear_many", (x, weights, biases), results)

    def linear_experts(self, x: Traced, weight: Weight, ids: Any) -> Traced:
        _check_linear(x, weight, 3)
        if x.ndim != 3 or x.shape[0] != ids.shape[0] or x.shape[1] not in (1, ids.shape[1]):
            raise ValueError(f"linear_experts: x {x.shape} does not fit ids {ids.shape}")
        return note(self._tape, "linear_experts", (x, weight, ids), (*ids.shape, weight.shape[1]))

    # ---- norms and element-wise -------------------------------------------------------------------------------------

    def rms_norm(self, x: Traced, weight: Any, eps: float) -> Traced:
        _check_norm("rms_norm", x, weight)
        return self._like("rms_norm", x, weight, eps)

    def layer_norm(self, x: Traced, weight: Any, bias: Any, eps: float) -> Traced:
        _check_norm("layer_norm", x, weight)
        _check_norm("layer_norm", x, bias)
        return self._like("layer_norm", x, weight, bias, eps)

    def silu(self, x: Traced) -> Traced:
        return self._like("silu", x)

    def sigmoid(self, x: Traced) -> Traced:
        return self._like("sigmoid", x)

    def gelu(self, x: Traced) -> Traced:
        return self._like("gelu", x)

    def gelu_erf(self, x: Traced) -> Traced:
        return self._like("gelu_erf", x)

    def tanh(self, x: Traced) -> Traced:
        return self._like("tanh", x)

    def softcap(self, x: Traced, cap: float) -> Traced:
        return self._like("softcap", x, cap)

    def softmax(self, x: Traced) -> Traced:
        return self._like("softmax", x)

    def activation(self, kind: str, x: Traced) -> Traced:
        _check_kind(kind)
        return self._like(kind, x)

    def ffn_gated(self, x: Traced, gate: Weight, up: Weight, kind: str = "silu") -> Traced:
        _check_kind(kind)
        _check_linear(x, gate, 2)
        _check_linear(x, up, 2)
        if gate.shape != up.shape:
            raise ValueError(f"ffn_gated: gate {gate.name} {gate.shape} does not fit up {up.name} {up.shape}")
        return note(self._tape, "ffn_gated", (x, gate, up, kind), (*x.shape[:-1], gate.shape[0]))

    # ---- experts ----------------------------------------------------------------------------------------------------

    def top_k(self, x: Traced, k: int) -> Traced:
        return note(self._tape, "top_k", (x, k), (*x.shape[:-1], min(k, x.shape[-1])), np.int64)

    def largest(self, x: Traced, k: int) -> tuple:
        _check_largest(x, k)
        shape = (x.shape[0], min(k, x.shape[1]))
        return tuple(note_many(self._tape, "largest", (x, k), [(shape, np.float32), (shape, np.int32)]))

    def take_along(self, x: Traced, ids: Any) -> Traced:
        return note(self._tape, "take_along", (x, ids), ids.shape, x.dtype)

    def sum(self, x: Traced, axis: int) -> Traced:
        shape = list(x.shape)
        shape[axis] = 1
        return note(self._tape, "sum", (x, axis), tuple(shape), x.dtype)

    def clamp_min(self, x: Traced, low: float) -> Traced:
        return self._like("clamp_min", x, low)

    # ---- positions and attention ------------------------------------------------------------------------------------

    def rope_angles(self, pos: Any, rope: Rope, factors: Any = None) -> tuple:
        if factors is not None and tuple(factors.shape) != (rope.dim // 2,):
            raise ValueError(f"rope_angles: factors {tuple(factors.shape)} do not fit {rope.dim // 2} pairs")
        results = [((*pos.shape, rope.dim // 2), np.float32)] * 2
        return tuple(note_many(self._tape, "rope_angles", (pos, rope, factors), results))

    def attention_temperature(self, pos: Any, scale: float, period: int) -> Traced:
        return note(self._tape, "attention_temperature", (pos, scale, period), (*pos.shape, 1, 1))

    def rope(self, x: Traced, angles: tuple, neox: bool) -> Traced:
        pairs = angles[0].shape[-1]
        if x.ndim != 3 or 2 * pairs > x.shape[2] or any(a.shape != (x.shape[0], pairs) for a in angles):
            raise ValueError(f"rope: angles {angles[0].shape}, {angles[1].shape} do not fit x {x.shape}")
        return self._like("rope", x, tuple(angles), neox)

    def attend(
        self,
        q: Traced,
        k: Traced,
        v: Traced,
        step: TracedStep,
        layer: int,
        *,
        scale: float,
        window: int | None = None,
        two_sided: bool = False,
        softcap: float | None = None,
        alibi: float | None = None,
    ) -> Traced:
        rows = step.pos.shape[0]
        fits = q.ndim == k.ndim == v.ndim == 3 and q.shape[0] == k.shape[0] == v.shape[0] == rows
        if not fits or q.shape[2] != k.shape[2] or k.shape[1] != v.shape[1] or q.shape[1] % k.shape[1] != 0:
            raise ValueError(f"attend: q {q.shape}, k {k.shape}, v {v.shape} do not fit each other and {rows} rows")
        how = {"scale": scale, "window": window, "two_sided": two_sided, "softcap": softcap, "alibi": alibi}
        return note(self._tape, "attend", (q, k, v, step, layer), (*q.shape[:2], v.shape[2]), **how)


def _check_product(x: Traced, weight: Weight, bias: Any) -> None:
    _check_linear(x, weight, 2)
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ValueError(f"linear: bias {tuple(bias.shape)} does not fit weight {weight.name} {weight.shape}")


def _check_kind(kind: str) -> None:
    if kind not in ("silu", "gelu", "gelu_erf"):
        raise ValueError(f'activation: found {kind!r}, expected "silu", "gelu" or "gelu_erf"')
