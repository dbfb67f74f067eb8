"""AdaptedOps: a backend's ops for one step in which some rows have LoRA adapters, or layers have control vectors.

A model's forward runs on them as on any ops; weights, scheduler and sampler know nothing of adapters. Each row gets
the low-rank products of its own adapters at its own scales, so one batch may mix them. Without adapters these ops are
not made, and cost nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llamabox.kernels import Ops, Step, Weight
from llamabox.models.lora import EMBEDDING, Lora, Pair

AdapterSet = tuple[tuple[int, float], ...]  # (adapter, scale), ascending, no scale of 0; (): the bare model


def adapter_set(scales: Mapping[int, float]) -> AdapterSet:
    """The adapters that have an effect, in one order, so that equal sets compare equal."""
    return tuple((id, float(scale)) for id, scale in sorted(scales.items()) if scale != 0)


@dataclass(frozen=True, eq=False)
class Part:
    """One adapter and the rows that have it. rows: None when all have it; scale: f32 (rows, 1), of the backend"""

    lora: Lora
    rows: np.ndarray | None
    scale: Any

    def take(self, x: Any) -> Any:
        return x if self.rows is None else x[self.rows]

    def add(self, y: Any, delta: Any, factor: float) -> None:
        """y[rows] += delta * factor * scale, in place."""
        scale = (self.scale * factor).reshape(-1, *[1] * (y.ndim - 1))
        if self.rows is None:
            y += delta * scale
        else:
            y[self.rows] += delta * scale


class AdaptedOps:
    """See the file's head. sets: the adapters of each sequence of the step; control: layer -> what l_out gets added."""

    def __init__(
        self, ops: Ops, step: Step, loras: Sequence[Lora], sets: Sequence[AdapterSet], control: Mapping[int, Any]
    ):
        self._ops, self._control = ops, control
        used = sorted({id for chosen in sets for id, _ in chosen})
        every = {id: np.array([dict(s).get(id, 0.0) for s in sets], np.float32)[step.seq] for id in used}  # (T,) each
        wanted = {id: scales[step.out_rows] for id, scales in every.items()}  # (R,)
        # the rows of a product are all T, or the R that are wanted: equally many only when all are wanted
        self._parts = {len(step.out_rows): _parts(ops, loras, wanted), len(step.pos): _parts(ops, loras, every)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ops, name)

    def run(self, function: Callable, weights: Any, config: Any, tokens: Any, step: Step) -> Any:
        return function(self, weights, config, tokens, step)

    def tag(self, x: Any, name: str, layer: int | None = None) -> Any:
        if name == "l_out" and layer in self._control:
            x = x + self._control[layer]
        return self._ops.tag(x, name, layer)

    def embed(self, weight: Weight, ids: Any) -> Any:
        y = self._ops.embed(weight, ids)
        if weight.name != EMBEDDING:
            return y
        for part, pair in self._of(y, weight):
            part.add(y, self._ops.linear(self._ops.embed(pair.a, part.take(ids)), pair.b), pair.factor)
        return y

    def linear(self, x: Any, weight: Weight, bias: Any = None) -> Any:
        return self.linear_many(x, [weight], [bias])[0]

    def linear_many(self, x: Any, weights: list, biases: list | None = None) -> list:
        outs = self._ops.linear_many(x, weights, biases)
        for part in self._parts[len(x)]:
            known = part.lora.pairs
            named = [(y, w.name) for y, w in zip(outs, weights, strict=True) if w.name in known and w.name != EMBEDDING]
            found = [(y, known[name]) for y, name in named]
            if found:
                lows = self._ops.linear_many(part.take(x), [pair.a for _, pair in found])
                for (y, pair), low in zip(found, lows, strict=True):
                    part.add(y, self._ops.linear(low, pair.b), pair.factor)
        return outs

    def linear_experts(self, x: Any, weight: Weight, ids: Any) -> Any:
        y = self._ops.linear_experts(x, weight, ids)
        for part, pair in self._of(x, weight):
            chosen = part.take(ids)
            low = self._ops.linear_experts(part.take(x), pair.a, chosen)
            part.add(y, self._ops.linear_experts(low, pair.b, chosen), pair.factor)
        return y

    def ffn_gated(self, x: Any, gate: Weight, up: Weight, kind: str = "silu") -> Any:
        if not self._of(x, gate) and not self._of(x, up):
            return self._ops.ffn_gated(x, gate, up, kind)
        g, u = self.linear_many(x, [gate, up])
        return self._ops.activation(kind, g) * u

    def _of(self, x: Any, weight: Weight) -> list[tuple[Part, Pair]]:
        """The adapters of x's rows that change products with this weight."""
        return [(part, part.lora.pairs[weight.name]) for part in self._parts[len(x)] if weight.name in part.lora.pairs]


def _parts(ops: Ops, loras: Sequence[Lora], scales: Mapping[int, np.ndarray]) -> list[Part]:
    parts = []
    for id, of_row in scales.items():
        rows = np.flatnonzero(of_row)
        if len(rows) > 0:
            every = len(rows) == len(of_row)
            parts.append(Part(loras[id], None if every else rows, ops.array(of_row[rows][:, None])))
    return parts
