"""Ops on rows as jobs: norms, activations, arithmetic, rope, attention. An addition, the norm of its result and the
quantisation of that are one job."""

from typing import Any

import numpy as np

from llamabox.kernels.cpu import elementwise_jobs, fused_jobs
from llamabox.kernels.cpu.arena import Buffer, View
from llamabox.kernels.cpu.arithmetic_jobs import as_rows, combine_job, take_rows_job
from llamabox.kernels.cpu.attending import How, Shape, attend_phases
from llamabox.kernels.cpu.lowering import F32, Lowering, rows_of
from llamabox.kernels.cpu.runner import Job, placed
from llamabox.kernels.graph import OPERATORS, Node, Value

# ---- arrays looked at in other ways ---------------------------------------------------------------------------------


def view(plan: Lowering, node: Node) -> bool:
    """reshape, transpose, slice: the same memory, or a copy where NumPy makes one."""
    x, how = node.args
    source = plan.views.get(x.id)
    if source is None:
        return False
    if node.op == "reshape" and not np.shares_memory(source.likeness.reshape(how), source.likeness):
        source = plan.f32(x)
        if source is None:
            return False
    plan.views[node.results[0].id] = source.derived(OPERATORS[node.op](source.likeness, how))
    return True


def take_rows(plan: Lowering, node: Node) -> bool:
    """Rows of x: all of them, as wanted rows ascend and differ, where as many are wanted as there are."""
    x, rows = node.args
    source = plan.f32(x)
    if source is None or rows is not plan.graph.inputs["step.out_rows"]:
        return False
    y = node.results[0]
    if y.shape == x.shape and y not in plan.graph.outputs:
        plan.views[y.id] = source
        return True
    out, count = plan.made(y), len(source.likeness)
    row_bytes, wanted = source.likeness.nbytes // count, plan.rows_slot
    plan.schedule.job(lambda at: take_rows_job(at(source), row_bytes, wanted, y.shape[0], at(out)), [source], [out])
    return True


# ---- arithmetic -----------------------------------------------------------------------------------------------------


def arithmetic(plan: Lowering, node: Node) -> bool:
    """add, sub, mul, div, softcap; with a norm that follows an addition."""
    a, b = (_operand(plan, x) for x in node.args)
    y = node.results[0]
    if a is None or b is None or y.dtype != F32:
        return False
    if node.op == "add" and a.likeness.shape == b.likeness.shape == y.shape and a.contiguous and b.contiguous:
        norm = plan.first_user(y, "rms_norm")
        if norm is not None and _fusable(norm):
            _norm(plan, norm, a, b, plan.made(y))
            plan.done(norm)
            return True
    return combine(plan, node.op, a, b, y)


def _operand(plan: Lowering, x: Any) -> View | None:
    """A value of the graph, an f32 array, or a number, which stands for an f32 as it does in NumPy."""
    if isinstance(x, Value):
        found = plan.views.get(x.id)
        return None if found is None or found.likeness.dtype != F32 else found
    if isinstance(x, np.ndarray | np.generic) and x.dtype != F32:
        return None
    array = np.ascontiguousarray(x, F32).reshape(np.shape(x))
    return View(Buffer(array.nbytes, fixed=plan.constant(array)), array)


def combine(plan: Lowering, name: str, a: Any, b: Any, out: Any) -> bool:
    """An operation of arithmetic.py; operands: views, arrays or numbers; out: a view, or a value to be made."""
    a, b = (x if isinstance(x, View) else _operand(plan, x) for x in (a, b))
    shape = out.likeness.shape if isinstance(out, View) else out.shape
    rows = as_rows(shape, *(np.broadcast_to(x.likeness, shape).strides for x in (a, b)))
    if rows is None:
        return False
    target = out if isinstance(out, View) else plan.made(out)
    plan.schedule.job(lambda at: combine_job(name, rows, at(a), at(b), at(target)), [a, b], [target])
    return True


# ---- norms and activations ------------------------------------------------------------------------------------------


def _fusable(norm: Node) -> bool:
    x, weight, _ = norm.args
    return weight is not None and x.shape[-1] % 32 == 0 and x.dtype == F32


def rms_norm(plan: Lowering, node: Node) -> bool:
    x, weight, eps = node.args
    source, y, width, rows = plan.f32(x), node.results[0], x.shape[-1], rows_of(x)
    if source is None or width % 8 != 0:
        return False
    if _fusable(node) and plan.wants(y)[1]:
        _norm(plan, node, source)
        return True
    scale = 0 if weight is None else plan.constant(np.ascontiguousarray(weight, F32))
    out = plan.made(y)

    def job(at: Any) -> Job:
        return elementwise_jobs.rms_norm_job(at(source), width, rows, at(out), scale, eps)

    plan.schedule.job(job, [source], [out])
    return True


def _norm(plan: Lowering, norm: Node, x: View, other: View | None = None, total: View | None = None) -> None:
    """rms_norm of x, or of x + other, which becomes total; its result as f32, quantised or both, as it is wanted."""
    y, weight, eps = norm.results[0], plan.constant(np.ascontiguousarray(norm.args[1], F32)), norm.args[2]
    plain, quantised = plan.wants(y)
    out = plan.made(y) if plain else None
    units = plan.new_quantised(y) if quantised else None

    def job(at: Any) -> Job:
        places = {"out": out, "quantised": units, "other": other, "sum": total}
        given = {name: at(view) for name, view in places.items() if view is not None}
        return fused_jobs.norm_job(at(x), y.shape[-1], rows_of(y), weight, eps, **given)

    plan.schedule.job(job, *([v for v in group if v is not None] for group in ((x, other), (total, out, units))))


def layer_norm(plan: Lowering, node: Node) -> bool:
    x, weight, bias, eps = node.args
    source, width, rows = plan.f32(x), x.shape[-1], rows_of(x)
    if source is None or width % 8 != 0 or weight is None:
        return False
    places = [0 if w is None else plan.constant(np.ascontiguousarray(w, F32)) for w in (weight, bias)]
    out = plan.made(node.results[0])

    def job(at: Any) -> Job:
        return elementwise_jobs.layer_norm_job(at(source), width, rows, at(out), *places, eps)

    plan.schedule.job(job, [source], [out])
    return True


def activation(plan: Lowering, node: Node) -> bool:
    """silu, gelu, gelu_erf, with the product of the result and other rows if there is nothing else it is for."""
    kind, x = node.args if node.op == "activation" else (node.op, node.args[0])
    source, y = plan.f32(x), node.results[0]
    if source is None or source.likeness.size < 8:
        return False
    product = plan.sole_user(y, "mul")
    if product is not None:
        other = plan.f32(next((v for v in product.args if v is not y), None))
        if other is not None and other.likeness.shape == product.results[0].shape == y.shape:
            plan.done(product)
            return activate(plan, kind, source, other, product.results[0])
    return activate(plan, kind, source, None, y)


def activate(plan: Lowering, kind: str, x: View, other: View | None, y: Value) -> bool:
    """y = activation(x), times other; as f32, quantised or both, as it is wanted."""
    plain, quantised = plan.wants(y)
    out = plan.made(y) if plain or not quantised else None
    reads = [view for view in (x, other) if view is not None]
    if quantised:
        units = plan.new_quantised(y)

        def job(at: Any) -> Job:
            places = {"other": other, "out": out, "quantised": units}
            given = {name: at(view) for name, view in places.items() if view is not None}
            return fused_jobs.activate_job(kind, at(x), y.shape[-1], rows_of(y), **given)

        plan.schedule.job(job, reads, [view for view in (out, units) if view is not None])
    else:
        size = x.likeness.size

        def job(at: Any) -> Job:
            return elementwise_jobs.activate_job(kind, at(x), 0 if other is None else at(other), size, at(out))

        plan.schedule.job(job, reads, [out])
    return True


# ---- positions and attention ----------------------------------------------------------------------------------------


def rope(plan: Lowering, node: Node) -> bool:
    x, angles, neox = node.args
    source, turns = plan.f32(x), [plan.f32(angle) for angle in angles]
    pairs = angles[0].shape[-1]
    if source is None or None in turns or pairs % 8 != 0:
        return False
    out = plan.made(node.results[0])

    def job(at: Any) -> Job:
        return elementwise_jobs.rope_job(at(source), x.shape, at(out), *map(at, turns), pairs, neox)

    plan.schedule.job(job, [source, *turns], [out])
    return True


def attend(plan: Lowering, node: Node) -> bool:
    """Keys and values stored side by side, then attention."""
    q, k, v, step, layer = node.args
    kv, sources = plan.step.kv, [plan.f32(x) for x in (q, k, v)]
    if None in sources:
        return False
    shape = Shape(q.shape[1], k.shape[1], q.shape[2], v.shape[2])
    how = How(**node.kwargs, causal=plan.step.causal)
    phases, slopes = attend_phases(plan.runner, q.shape[0], shape, kv, layer, how)
    plan.kept.append(slopes)
    out = plan.made(node.results[0])
    slots = plan.attend_slots(node)

    def filled(job: Job):
        def make(at: Any) -> Job:
            values = [at(view) for view in (*sources, out)]
            return placed(job, [*values, *(values[1:3] if kv is None else ()), *slots])

        return make

    after = 0
    for job in (job for phase in phases[:-1] for job in phase):
        after = max(after, plan.schedule.job(filled(job), sources[1:], []))
    for job in phases[-1]:
        plan.schedule.job(filled(job), sources, [out], after)
    return True


LOWERED_ROWS = {
    **{op: view for op in ("reshape", "transpose", "slice")},
    "take_rows": take_rows,
    **{op: arithmetic for op in ("add", "sub", "mul", "div", "softcap")},
    "rms_norm": rms_norm,
    "layer_norm": layer_norm,
    **{op: activation for op in ("silu", "gelu", "gelu_erf", "activation")},
    "rope": rope,
    "attend": attend,
}
