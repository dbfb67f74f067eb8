"""PlacedOps: one model over several backends, by the Plan of kernels/assignment.py.

A weight lives on its device and is multiplied there; what an op takes besides is moved there first, through the host.
Ops without a weight compute where their first array is, or where the layer has a copy of it. With split mode row each
device has some rows of a matrix, and the products are joined on the device of the layer. Results are those of the same
ops on one device.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from llamabox.gguf import Tensor
from llamabox.kernels.assignment import Plan
from llamabox.kernels.kv import KVCache
from llamabox.kernels.ops import Ops
from llamabox.kernels.placed_arrays import Placed, Site
from llamabox.kernels.placed_kv import PlacedCache
from llamabox.kernels.placement import Threads
from llamabox.kernels.rope import Rope
from llamabox.kernels.step import Step
from llamabox.kernels.weight import Weight

EMBEDDINGS = "token_embd.weight"


@dataclass(frozen=True, eq=False)
class PlacedWeight(Weight):
    """A weight of which every device has its part, with its scale if it has one; data is the file's.

    build  the name that says where -> its parts there
    """

    build: Callable[[str], list["Part"]] = lambda name: []

    @cached_property
    def parts(self) -> list["Part"]:
        """What products are made with; of tied embeddings made when they are first used as the output."""
        return self.build("output.weight" if self.name == EMBEDDINGS else self.name)

    @cached_property
    def whole(self) -> "Part":
        """What rows are looked up in."""
        return self.build(self.name)[0]


@dataclass(frozen=True, eq=False)
class Part:
    """Rows start:end of a matrix, as the backend of a device holds them."""

    site: Site
    start: int
    end: int
    weight: Any


class PlacedOps(Ops):
    """See the file's head. One pass at a time runs on it."""

    name = "placed"

    def __init__(self, plan: Plan, backends: Mapping[str, Ops]):
        """backends: one for each of plan.devices"""
        super().__init__()
        self.plan = plan
        self.sites = {name: Site(name, backends[name]) for name in plan.devices}
        self.host = self.sites[plan.host]
        self.here = self.host  # the device of the layer that a pass has come to
        self._steps: WeakKeyDictionary[Step, dict[str, Step]] = WeakKeyDictionary()  # as each device sees them

    @property
    def picks(self) -> int:
        """Of the device that logits are on."""
        return self.sites[self.plan.place("output.weight")].ops.picks

    def begin(self, rows: int) -> Threads:
        self.here = self.host
        return [site.ops.begin(rows) for site in self.sites.values()][0]

    # ---- in and out -------------------------------------------------------------------------------------------------

    def weight(self, tensor: Tensor, scale: Tensor | None = None) -> Any:
        if len(tensor.shape) == 1:
            site = self.sites[self.plan.place(tensor.name)]
            return Placed(self, site, site.use().weight(tensor))

        def build(name: str) -> list[Part]:
            return [
                Part(self.sites[device], start, end, self.sites[device].use().weight(_rows(tensor, start, end), scale))
                for device, start, end in self.plan.parts(name, tensor.shape)
            ]

        made = PlacedWeight(tensor.name, tensor.type, tensor.shape, tensor.data, None, build)
        if tensor.name != EMBEDDINGS:
            made.parts  # noqa: B018  what does not fit a device's memory fails now, not in the first pass
        return made

    def dense(self, weight: Weight) -> Any:
        return self._call(weight.whole.site, "dense", weight.whole.weight)

    def array(self, x: np.ndarray) -> Any:
        return Placed(self, self.host, self.host.use().array(x))

    def to_numpy(self, x: Any) -> np.ndarray:
        return x.site.use().to_numpy(x.array) if isinstance(x, Placed) else np.asarray(x)

    def kv_cache(self, shapes: list, n_blocks: int, type_k: str = "f16", type_v: str = "f16") -> KVCache:
        return PlacedCache(self, [self.sites[name] for name in self.plan.kv], shapes, n_blocks, type_k, type_v)

    def store_rows(self, pool: Any, blocks: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> None:
        pool.site.use().store_rows(pool.array, blocks, offsets, rows)

    def kernel_name(self, weight: Weight) -> str:
        return ", ".join(f"{part.site.name}: {part.site.use().kernel_name(part.weight)}" for part in weight.parts)

    # ---- rows and matrices ------------------------------------------------------------------------------------------

    def embed(self, weight: Weight, ids: np.ndarray) -> Any:
        self._enter(weight)
        return self._call(weight.whole.site, "embed", weight.whole.weight, ids)

    def take_rows(self, x: Any, rows: np.ndarray) -> Any:
        return self._call(self._near(x), "take_rows", x, rows)

    def linear(self, x: Any, weight: Weight, bias: Any = None) -> Any:
        return self.linear_many(x, [weight], [bias])[0]

    def linear_many(self, x: Any, weights: list, biases: list | None = None) -> list:
        biases = biases if biases is not None else [None] * len(weights)
        self._enter(weights[0])
        sites = {part.site.name for weight in weights for part in weight.parts}
        if len(sites) == 1:
            site = weights[0].parts[0].site
            parts = [weight.parts[0].weight for weight in weights]
            given = x.on(site), parts, [None if b is None else b.on(site) for b in biases]
            return [Placed(self, site, y) for y in site.use().linear_many(*given)]
        return [self._split(x, weight, bias) for weight, bias in zip(weights, biases, strict=True)]

    def linear_experts(self, x: Any, weight: Weight, ids: Any) -> Any:
        self._enter(weight)
        part = weight.parts[0]
        return self._call(part.site, "linear_experts", x, part.weight, ids)

    def ffn_gated(self, x: Any, gate: Weight, up: Weight, kind: str = "silu") -> Any:
        self._enter(gate)
        places = [[(part.site.name, part.start, part.end) for part in weight.parts] for weight in (gate, up)]
        if places[0] != places[1]:
            return super().ffn_gated(x, gate, up, kind)
        pairs = zip(gate.parts, up.parts, strict=True)
        return self._join([(g.site, g.site.use().ffn_gated(x.on(g.site), g.weight, u.weight, kind)) for g, u in pairs])

    def _split(self, x: Any, weight: Weight, bias: Any) -> Placed:
        """A product whose rows are on several devices, joined."""
        y = self._join([(p.site, p.site.use().linear(x.on(p.site), p.weight)) for p in weight.parts])
        return y if bias is None else y + bias

    def _join(self, results: list[tuple[Site, Any]]) -> Placed:
        """Parts of the last axis side by side, on the device of the layer."""
        if len(results) == 1:
            return Placed(self, *results[0])
        whole = np.concatenate([site.use().to_numpy(y) for site, y in results], axis=-1)
        return Placed(self, self.here, self.here.use().array(whole))

    # ---- norms and element-wise -------------------------------------------------------------------------------------

    def rms_norm(self, x: Any, weight: Any, eps: float) -> Any:
        return self._call(self._norm_site(x, weight), "rms_norm", x, weight, eps)

    def layer_norm(self, x: Any, weight: Any, bias: Any, eps: float) -> Any:
        return self._call(self._norm_site(x, weight), "layer_norm", x, weight, bias, eps)

    def _norm_site(self, x: Placed, weight: Placed | None) -> Site:
        """Where a norm happens, which is where its layer is."""
        if weight is not None:
            self.here = weight.site
        return self._near(x) if weight is None else weight.site

    def silu(self, x: Any) -> Any:
        return self._call(self._near(x), "silu", x)

    def sigmoid(self, x: Any) -> Any:
        return self._call(self._near(x), "sigmoid", x)

    def gelu(self, x: Any) -> Any:
        return self._call(self._near(x), "gelu", x)

    def gelu_erf(self, x: Any) -> Any:
        return self._call(self._near(x), "gelu_erf", x)

    def tanh(self, x: Any) -> Any:
        return self._call(self._near(x), "tanh", x)

    def softcap(self, x: Any, cap: float) -> Any:
        return self._call(self._near(x), "softcap", x, cap)

    def softmax(self, x: Any) -> Any:
        return self._call(self._near(x), "softmax", x)

    # ---- experts ----------------------------------------------------------------------------------------------------

    def top_k(self, x: Any, k: int) -> Any:
        return self._call(self._near(x), "top_k", x, k)

    def largest(self, x: Any, k: int) -> tuple:
        site = x.site
        return tuple(Placed(self, site, y) for y in site.use().largest(x.array, k))

    def take_along(self, x: Any, ids: Any) -> Any:
        return self._call(self._near(x), "take_along", x, ids)

    def sum(self, x: Any, axis: int) -> Any:
        return self._call(self._near(x), "sum", x, axis)

    def clamp_min(self, x: Any, low: float) -> Any:
        return self._call(self._near(x), "clamp_min", x, low)

    # ---- positions and attention ------------------------------------------------------------------------------------

    def rope_angles(self, pos: np.ndarray, rope: Rope, factors: Any = None) -> tuple:
        divisors = None if factors is None else factors.on(self.host)
        return tuple(Placed(self, self.host, a) for a in self.host.use().rope_angles(pos, rope, divisors))

    def attention_temperature(self, pos: np.ndarray, scale: float, period: int) -> Any:
        return Placed(self, self.host, self.host.use().attention_temperature(pos, scale, period))

    def rope(self, x: Any, angles: tuple, neox: bool) -> Any:
        site = self._near(x)
        return Placed(self, site, site.use().rope(x.on(site), tuple(a.on(site) for a in angles), neox))

    def move_cells(self, kv: Any, sources: Any, targets: Any, deltas: Any, ropes: list) -> None:
        for site, cache, layers in kv.shares:
            turns = [ropes[i] if ropes[i] is None else (ropes[i][0], _factors(ropes[i][1], site)) for i in layers]
            site.use().move_cells(cache, sources, targets, deltas, turns)

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
        self.here = self.sites[self.plan.layers[layer]]
        how = {"scale": scale, "window": window, "two_sided": two_sided, "softcap": softcap, "alibi": alibi}
        if step.kv is None:
            return self._call(self.here, "attend", q, k, v, step, layer, **how)
        site, index = step.kv.places[layer]
        return self._call(site, "attend", q, k, v, self._step_of(step, site), index, **how)

    def _step_of(self, step: Step, site: Site) -> Step:
        """The step with the cache of one device; backends keep what they derive from a step with that step."""
        steps = self._steps.setdefault(step, {})
        if site.name not in steps:
            steps[site.name] = replace(step, kv=step.kv.caches[site.name])
        return steps[site.name]

    # ---- where ------------------------------------------------------------------------------------------------------

    def _enter(self, weight: Weight) -> None:
        """The pass comes to the layer of a weight, wherever the weight itself is."""
        self.here = self.sites[self.plan.home(weight.name)]

    def _near(self, x: Placed) -> Site:
        """Where an op without a weight happens: where x is, or its copy for the layer that the pass has come to."""
        return self.here if x.is_on(self.here) else x.site

    def _call(self, site: Site, op: str, *args: Any, **kwargs: Any) -> Placed:
        """An op with one result on a device, where its placed arguments are moved."""
        given = [x.on(site) if isinstance(x, Placed) else x for x in args]
        return Placed(self, site, getattr(site.use(), op)(*given, **kwargs))


def _factors(factors: Any, site: Site) -> Any:
    return factors.on(site) if isinstance(factors, Placed) else factors


def _rows(tensor: Tensor, start: int, end: int) -> Tensor:
    """Some rows of a tensor; itself, where these are all."""
    if (start, end) == (0, tensor.shape[0]):
        return tensor
    return Tensor(tensor.name, tensor.type, (end - start, *tensor.shape[1:]), tensor.data[start:end])
