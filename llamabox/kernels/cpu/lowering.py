"""Lowering: a graph on its way to jobs. What each op becomes, and which become one job, is in lowered_products.py and
lowered_rows.py.

An op that has no kernel for its shapes is left to the host: it runs between two programs, as the backend's op.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from llamabox.kernels.cpu.arena import Buffer, View
from llamabox.kernels.cpu.arithmetic_jobs import as_rows, combine_job
from llamabox.kernels.cpu.attending import How, Shape
from llamabox.kernels.cpu.layout import X_UNIT
from llamabox.kernels.cpu.products import CpuWeight, quantise_rows, units
from llamabox.kernels.cpu.runner import Runner, address, slot
from llamabox.kernels.cpu.schedule import Call, Schedule
from llamabox.kernels.graph import OPERATORS, SEVERAL, STEP, Graph, Node, Value, values_in
from llamabox.kernels.step import Step

F32 = np.dtype(np.float32)
PRODUCTS = {"linear": 1, "linear_many": 1, "ffn_gated": 2}  # op -> arguments that are weights, or a tuple of them
PARTS = 7  # values of Parts
VIEWS = ("reshape", "transpose", "slice")


class Lowering:
    """One graph on its way to a schedule, for steps that are like one of them in all but numbers.

    kinds            of attention: each is a way to cut a step into tasks
    kept             what jobs have the addresses of
    multiplications  in all products

    Slots: the outputs; which rows are wanted; Parts.values of each kind; the pools of keys and values of each layer.
    No job refers to the Lowering, so that it goes, and its step with a cache, as soon as the jobs are packed.
    """

    def __init__(self, graph: Graph, ops: Any, runner: Runner, step: Step):
        self.graph, self.ops, self.runner, self.step = graph, ops, runner, step
        attends = [node for node in graph.nodes if node.op == "attend"]
        self.kinds = list(dict.fromkeys(attention_kind(node, step.causal) for node in attends))
        self.schedule, self.views, self.multiplications = Schedule(), dict[int, View](), 0
        self.kept: list[Any] = []
        self._input_ids = {value.id for value in graph.inputs.values()}
        self._quantised: dict[int, View] = {}
        self._packed: dict[int, View] = {}
        self._done: set[Node] = set()
        self._users: dict[int, list[Node]] = {}
        for node in graph.nodes:
            for value in values_in(node.args):
                self._users.setdefault(value.id, []).append(node)

    def lower(self, table: Mapping[str, Callable[["Lowering", Node], bool]]) -> None:
        """All nodes, each by the function of its op; one that returns False has added no job."""
        for node in self.graph.nodes:
            if node not in self._done and not self._constant(node):
                lower = table.get(node.op)
                if lower is None or not lower(self, node):
                    self._host(node)

    # ---- values -----------------------------------------------------------------------------------------------------

    def made(self, value: Value) -> View:
        """The buffer for a new value: of an output that nobody looks into, the run's own array."""
        fixed, outputs = None, [output.id for output in self.graph.outputs]
        if value.id in outputs and not any(user.op in VIEWS for user in self._users.get(value.id, ())):
            fixed = slot(outputs.index(value.id))
        view = self.views[value.id] = self.schedule.new(value.shape, value.dtype, fixed)
        return view

    def f32(self, x: Any) -> View | None:
        """A value as contiguous f32, copied if need be; None: it has no such form."""
        view = self.views.get(x.id) if isinstance(x, Value) else None
        if view is None or view.likeness.dtype != F32:
            return None
        if view.contiguous:
            return view
        if x.id not in self._packed:
            rows = as_rows(view.likeness.shape, view.likeness.strides, view.likeness.strides)
            if rows is None:
                return None
            packed = self._packed[x.id] = self.schedule.new(x.shape, F32)
            self.schedule.job(lambda at: combine_job("copy", rows, at(view), at(view), at(packed)), [view], [packed])
        return self._packed[x.id]

    def constant(self, array: np.ndarray) -> int:
        """The address of an array, which is kept."""
        self.kept.append(array)
        return address(array)

    def wants(self, value: Value) -> tuple[bool, bool]:
        """Whether somebody wants a value as f32, and whether as quantised rows."""
        users = self._users.get(value.id, [])
        quantised = [takes_quantised(user, value) for user in users]
        plain = not all(quantised) or not users or value in self.graph.outputs
        return plain, any(quantised) and value.shape[-1] % 32 == 0

    def quantised(self, x: Value) -> View | None:
        """The quantised rows of a value: those its op made beside it, or a job's."""
        if x.id not in self._quantised:
            source = self.f32(x)
            if source is None:
                return None
            target, width, rows = self.new_quantised(x), x.shape[-1], rows_of(x)
            self.schedule.job(lambda at: quantise_rows(at(source), rows, width, at(target)), [source], [target])
        return self._quantised[x.id]

    def new_quantised(self, x: Value) -> View:
        """A buffer for the quantised rows of a value, which somebody has to fill."""
        view = self.schedule.new((rows_of(x) * units(x.shape[-1]) * X_UNIT,), np.dtype(np.uint8))
        self._quantised[x.id] = view
        return view

    def sole_user(self, value: Value, op: str) -> Node | None:
        """The one node that uses a value, if it is of this op."""
        users = self._users.get(value.id, [])
        return users[0] if len(users) == 1 and users[0].op == op and value not in self.graph.outputs else None

    def first_user(self, value: Value, op: str) -> Node | None:
        """The first node of this op that uses a value."""
        return next((user for user in self._users.get(value.id, []) if user.op == op), None)

    @property
    def rows_slot(self) -> int:
        """The slot of the address of step.out_rows."""
        return slot(len(self.graph.outputs))

    def attend_slots(self, node: Node) -> list[int]:
        """The slots of an attention: two pools, if there are any, then Parts.values."""
        first = len(self.graph.outputs) + 1
        pools = first + PARTS * len(self.kinds) + 2 * node.args[4]
        parts = first + PARTS * self.kinds.index(attention_kind(node, self.step.causal))
        found = [] if self.step.kv is None else [slot(pools), slot(pools + 1)]
        return [*found, *map(slot, range(parts, parts + PARTS))]

    def done(self, node: Node) -> None:
        """A node needs no job of its own."""
        self._done.add(node)

    # ---- what has no job --------------------------------------------------------------------------------------------

    def _constant(self, node: Node) -> bool:
        """Compute a node that depends on no input, once and for all."""
        if values_in(node.args) or STEP in node.args:
            return False
        call = OPERATORS.get(node.op) or getattr(self.ops, node.op)
        made = call(*node.args, **node.kwargs)
        for value, x in zip(node.results, made if node.op in SEVERAL else (made,), strict=True):
            x = np.ascontiguousarray(x)
            self.views[value.id] = View(Buffer(x.nbytes, fixed=self.constant(x)), x)
        return True

    def _host(self, node: Node) -> None:
        reads = [self.views[value.id] for value in values_in(node.args) if value.id not in self._input_ids]
        results = tuple(self.schedule.new(value.shape, value.dtype) for value in node.results)
        self.views.update(zip((value.id for value in node.results), results, strict=True))
        self.schedule.call(Call(node, results), reads)


def attention_kind(node: Node, causal: bool) -> tuple[Shape, How]:
    """What decides how an attention's step is cut into tasks."""
    q, k, v = node.args[:3]
    how = How(1.0, node.kwargs["window"], node.kwargs["two_sided"], causal=causal)
    return Shape(q.shape[1], k.shape[1], q.shape[2], v.shape[2]), how


def rows_of(x: Value) -> int:
    """How many rows an array of rows has."""
    return int(np.prod(x.shape[:-1]))


def weights_of(node: Node) -> list[Any]:
    """What a product multiplies by."""
    if node.op == "linear_many":
        return list(node.args[1])
    return list(node.args[1 : 1 + PRODUCTS[node.op]])


def takes_quantised(node: Node, x: Value) -> bool:
    """Whether a node needs nothing of x but its quantised rows."""
    if node.op not in PRODUCTS or node.args[0] is not x:
        return False
    return all(isinstance(w, CpuWeight) and w.quantised for w in weights_of(node))
