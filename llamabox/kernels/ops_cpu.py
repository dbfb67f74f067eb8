"""CpuOps: the numba backend. Weights are read in their GGUF blocks, in place; kernels are in kernels/cpu/.

A row's result never depends on what else is in the batch: the same bits alone as among others. Block types multiply by
rows quantised to 8 bits, 32 values a scale; F32, F16 and BF16 by f32 rows. NumPy's BLAS is not used.

Threads are the backend's own (cpu/threads.py); ops may be called from any thread.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from llamabox.gguf import Tensor
from llamabox.kernels.attention_rules import check_attend
from llamabox.kernels.cpu import products
from llamabox.kernels.cpu.arithmetic_jobs import as_rows, combine_job
from llamabox.kernels.cpu.attending import How, Parts, Shape, attend_phases
from llamabox.kernels.cpu.elementwise_jobs import ACTIVATIONS, activate_job, layer_norm_job, rms_norm_job, rope_job
from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.kept import forget
from llamabox.kernels.cpu.plan import Plans
from llamabox.kernels.cpu.products import CpuWeight, prepare, product_job, product_phases, quantise_job
from llamabox.kernels.cpu.runner import Job, Program, Runner, address, slot
from llamabox.kernels.ops import DEFAULT_THREADS, Ops, _check_linear, _check_norm
from llamabox.kernels.placement import Threads
from llamabox.kernels.step import Step
from llamabox.kernels.weight import Weight

F32 = np.dtype(np.float32)
LONG = 50_000_000  # multiplications: about a millisecond; then Python's other threads run meanwhile
FEW_ROWS, PROGRAMS = 32, 8192  # programs of so few rows are kept for the next time, up to so many


def _f32(x: Any) -> np.ndarray:
    """x as a C-contiguous f32 array; itself where it is one."""
    if type(x) is np.ndarray and x.dtype is F32 and x.flags.c_contiguous:
        return x
    return np.ascontiguousarray(x, F32)


class CpuOps(Ops):
    """The numba backend."""

    name = "cpu"

    def __init__(self, threads: Threads = DEFAULT_THREADS, batch: Threads | None = None):
        super().__init__(threads, batch)
        self._runner = Runner(*self._threads)
        self._plans = Plans(self._runner)
        self._programs: OrderedDict[tuple, tuple] = OrderedDict()
        self._cuts: WeakKeyDictionary[Step, dict[tuple, Parts]] = WeakKeyDictionary()

    @property
    def threads(self) -> int:
        """The most threads that compute at once."""
        return self._runner.threads

    def begin(self, rows: int) -> Threads:
        threads = super().begin(rows)
        self._runner.use(threads)
        return threads

    def run(self, function: Callable, weights: Any, config: Any, tokens: Any, step: Step) -> Any:
        if self.listener is not None or len(step.pos) > FEW_ROWS or len(step.out_rows) == 0:
            return function(self, weights, config, tokens, step)
        return self._plans.run(self, function, weights, config, tokens, step)

    # ---- weights and products ---------------------------------------------------------------------------------------

    def weight(self, tensor: Tensor, scale: Tensor | None = None) -> Any:
        made = super().weight(tensor, scale)
        return prepare(made) if isinstance(made, Weight) else made.copy()  # addresses of writable arrays come faster

    def kernel_name(self, weight: Weight) -> str:
        form = f"int8 ({FEATURES.name})" if weight.type.block_size > 1 else "f32"
        return f"{weight.type.name} x {form}"

    def linear(self, x: Any, weight: Weight, bias: Any = None) -> Any:
        kept = self._programs.get((x.size // x.shape[-1], id(weight), id(bias)))
        if kept is None:
            return self.linear_many(x, [weight], [bias])[0]
        _check_linear(x, weight, 2)
        x = _f32(x)
        y = np.empty((*x.shape[:-1], weight.shape[0]), F32)
        self._runner.run(kept[0], [address(x), address(y)], x.size * weight.shape[0] > LONG)
        return y

    def linear_many(self, x: Any, weights: list, biases: list | None = None) -> list:
        biases = biases if biases is not None else [None] * len(weights)
        weights = [self._checked(x, w, 2) for w, _ in zip(weights, biases, strict=True)]
        if any(w.scale is not None for w in weights):
            return [self._linear_in_steps(x, w, b) for w, b in zip(weights, biases, strict=True)]
        x, shape, width = _f32(x), x.shape[:-1], x.shape[-1]
        rows = x.size // width
        outs = [np.empty((*shape, w.shape[0]), F32) for w in weights]
        if rows > 0:
            biases = [_checked_bias(b, w) for b, w in zip(biases, weights, strict=True)]
            key = (rows, *map(id, weights), *map(id, biases))
            program = self._programs.get(key)
            if program is None:
                slots = [slot(i + 1) for i in range(len(weights))]
                phases = product_phases(self._runner, weights, biases, slot(0), rows, slots)
                program = self._keep(key, rows, phases, [*weights, *biases])
            long = x.size * sum(y.shape[-1] for y in outs) > LONG
            self._runner.run(program[0], [address(x), *map(address, outs)], long)
        return outs

    def ffn_gated(self, x: Any, gate: Weight, up: Weight, kind: str = "silu") -> Any:
        weights = [self._checked(x, gate, 2), self._checked(x, up, 2)]
        if gate.shape != up.shape:
            raise ValueError(f"ffn_gated: gate {gate.name} {gate.shape} does not fit up {up.name} {up.shape}")
        x, rows = _f32(x), x.size // x.shape[-1]
        y = np.empty((*x.shape[:-1], gate.shape[0]), F32)
        fused = all(w.scale is None for w in weights)
        if kind not in ACTIVATIONS or not fused or y.size < 8:
            return super().ffn_gated(x, gate, up, kind)
        key = (kind, rows, *map(id, weights))
        program = self._programs.get(key)
        if program is None:
            g, u = self._runner.scratch("gate", 4 * y.size), self._runner.scratch("up", 4 * y.size)
            phases = product_phases(self._runner, weights, [None, None], slot(0), rows, [g, u])
            program = self._keep(key, rows, [*phases, [activate_job(kind, g, u, y.size, slot(1))]], weights)
        self._runner.run(program[0], [address(x), address(y)], x.size * 2 * gate.shape[0] > LONG)
        return y

    def _keep(self, key: tuple, rows: int, phases: list[list[Job]], named: Iterable = (), *made: Any) -> tuple:
        """A program, kept for the next time where rows are few: (Program, ...).

        named  whose ids are in the key: it goes with the first of them. Its jobs refer to nothing else but
        made   which is kept with it
        """
        program = (Program(*phases), *made, [ref(x, forget(self._programs, key)) for x in named if x is not None])
        if rows <= FEW_ROWS:
            if len(self._programs) >= PROGRAMS:
                self._programs.clear()
            self._programs[key] = program
        return program

    def _linear_in_steps(self, x: Any, weight: CpuWeight, bias: Any) -> np.ndarray:
        """linear of a weight that may have a factor: product, factor, bias."""
        rows = _f32(x).reshape(-1, x.shape[-1])
        y = np.empty((rows.shape[0], weight.shape[0]), F32)
        if rows.shape[0] > 0:
            phases = product_phases(self._runner, [weight], [None], address(rows), rows.shape[0], [address(y)])
            self._runner.run_once(*phases, long=rows.size * weight.shape[0] > LONG)
        if weight.scale is not None:
            y *= weight.scale
        if bias is not None:
            y += _checked_bias(bias, weight)
        return y.reshape(*x.shape[:-1], weight.shape[0])

    def linear_experts(self, x: Any, weight: Weight, ids: Any) -> Any:
        weight, used = self._checked(x, weight, 3), ids.shape[1]
        if ids.size == 0:
            return np.empty((*ids.shape, weight.shape[1]), F32)
        order = np.argsort(ids, axis=None, kind="stable")  # products in order of their experts
        rows = _f32(x).reshape(-1, x.shape[-1])[order // used if x.shape[1] == 1 else order]  # (T * U, D)
        chosen, starts = np.unique(ids.reshape(-1)[order], return_index=True)
        ends = np.append(starts[1:], order.size)
        out = np.empty((order.size, weight.shape[1]), F32)
        spans = zip(chosen.tolist(), starts.tolist(), ends.tolist(), strict=True)
        long = rows.size * weight.shape[1] > LONG
        self._runner.run_once(*self._expert_phases(rows, weight, out, spans), long=long)
        y = np.empty_like(out)
        y[order] = out
        y = y.reshape(*ids.shape, weight.shape[1])
        return y if weight.scale is None else y * weight.scale[ids][..., None]

    def _checked(self, x: Any, weight: Weight, axes: int) -> CpuWeight:
        _check_linear(x, weight, axes)
        return weight if isinstance(weight, CpuWeight) else prepare(weight)

    def _expert_phases(self, rows: np.ndarray, weight: CpuWeight, out: np.ndarray, spans: Any) -> list[list[Job]]:
        """The phases of rows[start:end] times each expert of (expert, start, end) in spans."""
        x, row_bytes, phases = address(rows), 4 * rows.shape[1], []
        if weight.quantised:
            job, x = quantise_job(self._runner, x, *rows.shape)
            row_bytes, phases = products.units(rows.shape[1]) * products.X_UNIT, [[job]]
        y, out_bytes = address(out), out.strides[0]
        jobs = [
            product_job(
                self._runner, weight, x + start * row_bytes, end - start, y + start * out_bytes, out_bytes, 0, expert
            )
            for expert, start, end in spans
        ]
        return [*phases, jobs]

    # ---- norms and element-wise -------------------------------------------------------------------------------------

    def rms_norm(self, x: Any, weight: Any, eps: float) -> Any:
        _check_norm("rms_norm", x, weight)
        if x.shape[-1] % 8 != 0 or x.size == 0:
            return super().rms_norm(x, weight, eps)
        x, weight = _f32(x), None if weight is None else _f32(weight)
        y = np.empty_like(x)
        key = ("rms_norm", x.shape, id(weight), eps)
        program = self._programs.get(key)
        if program is None:
            width, place = x.shape[-1], 0 if weight is None else address(weight)
            job = rms_norm_job(slot(0), width, x.size // width, slot(1), place, eps)
            program = self._keep(key, x.size // width, [[job]], [weight])
        self._runner.run(program[0], [address(x), address(y)])
        return y

    def layer_norm(self, x: Any, weight: Any, bias: Any, eps: float) -> Any:
        _check_norm("layer_norm", x, weight)
        _check_norm("layer_norm", x, bias)
        if x.shape[-1] % 8 != 0 or x.size == 0 or weight is None:
            return super().layer_norm(x, weight, bias, eps)
        x, weight = _f32(x), _f32(weight)
        bias = None if bias is None else _f32(bias)
        y = np.empty_like(x)
        width, rows = x.shape[-1], x.size // x.shape[-1]
        places = address(x), width, rows, address(y), address(weight), 0 if bias is None else address(bias)
        self._runner.run_once([layer_norm_job(*places, eps)])
        return y

    def silu(self, x: Any) -> Any:
        return self._activated("silu", x) if x.size >= 8 else super().silu(x)

    def gelu(self, x: Any) -> Any:
        return self._activated("gelu", x) if x.size >= 8 else super().gelu(x)

    def gelu_erf(self, x: Any) -> Any:
        return self._activated("gelu_erf", x) if x.size >= 8 else super().gelu_erf(x)

    def _activated(self, kind: str, x: Any) -> np.ndarray:
        x = _f32(x)
        y = np.empty_like(x)
        self._runner.run_once([activate_job(kind, address(x), 0, x.size, address(y))])
        return y

    def softcap(self, x: Any, cap: float) -> Any:
        x, y, limit = _f32(x), np.empty(x.shape, F32), np.array(cap, F32)
        rows = as_rows((x.size,), (4,), (0,))
        self._runner.run_once([combine_job("softcap", rows, address(x), address(limit), address(y))])
        return y

    # ---- positions and attention ------------------------------------------------------------------------------------

    def rope(self, x: Any, angles: tuple, neox: bool) -> Any:
        cos, sin = angles
        pairs = cos.shape[-1]
        if pairs % 8 != 0 or x.size == 0:
            return super().rope(x, angles, neox)
        x, cos, sin = _f32(x), _f32(cos), _f32(sin)
        if x.ndim != 3 or 2 * pairs > x.shape[2] or cos.shape != (x.shape[0], pairs) or sin.shape != cos.shape:
            raise ValueError(f"rope: angles {cos.shape}, {sin.shape} do not fit x {x.shape}")
        y = np.empty_like(x)
        key = ("rope", x.shape, pairs, neox)
        program = self._programs.get(key)
        if program is None:
            job = rope_job(slot(0), x.shape, slot(1), slot(2), slot(3), pairs, neox)
            program = self._keep(key, len(x), [[job]])
        self._runner.run(program[0], [address(x), address(y), address(cos), address(sin)])
        return y

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
        check_attend(q, k, v, len(step.pos))
        q, k, v = _f32(q), _f32(k), _f32(v)
        out = np.empty((q.shape[0], q.shape[1], v.shape[2]), F32)
        shape = Shape(q.shape[1], k.shape[1], q.shape[2], v.shape[2])
        how = How(scale, window, two_sided, softcap, alibi, step.causal)
        parts = self._parts_of(step, shape, how)
        if step.kv is None:
            pools, types = (k, v), None
        else:
            pools, types = (step.kv.k[layer], step.kv.v[layer]), (step.kv.type_k, step.kv.type_v)
        key = ("attend", q.shape[0], shape, types, how)
        program = self._programs.get(key)
        if program is None:
            phases, slopes = attend_phases(self._runner, q.shape[0], shape, step.kv, layer, how)
            program = self._keep(key, q.shape[0], phases, (), slopes)
        values = [address(a) for a in (q, k, v, out, *pools)]
        self._runner.run(program[0], values + parts.values, q.size * parts.longest > LONG)
        return out

    def _parts_of(self, step: Step, shape: Shape, how: How) -> Parts:
        """How a step is cut, which many of its layers have in common; kept for as long as the step lives."""
        cuts, key = self._cuts.setdefault(step, {}), (shape, how.window, how.ahead)
        parts = cuts.get(key)
        if parts is None:
            parts = cuts[key] = Parts(self._runner, step, shape, how)
        return parts


def _checked_bias(bias: Any, weight: Weight) -> np.ndarray | None:
    if bias is None:
        return None
    bias = _f32(bias)
    if bias.shape != (weight.shape[0],):
        raise ValueError(f"linear: bias {bias.shape} does not fit weight {weight.name} {weight.shape}")
    return bias
