"""Plan: a forward pass compiled for steps of one shape. Few calls into compiled code in place of one for each op.

plan = Plan(ops, runner, record(ops, forward, weights, config, tokens, step), step)
logits = plan.run(ops, other_tokens, other_step)      # the bits that forward(ops, ...) gives
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import ReferenceType, ref

import numpy as np

from llamabox.kernels.cpu.attending import Parts
from llamabox.kernels.cpu.kept import forget
from llamabox.kernels.cpu.lowered_products import LOWERED_PRODUCTS
from llamabox.kernels.cpu.lowered_rows import LOWERED_ROWS
from llamabox.kernels.cpu.lowering import Lowering
from llamabox.kernels.cpu.runner import Program, Runner, address, is_slot
from llamabox.kernels.graph import OPERATORS, SEVERAL, STEP, Graph, Node, RecordError, Value, record
from llamabox.kernels.step import Step

LONG = 50_000_000  # multiplications: about a millisecond; then Python's other threads run meanwhile
PLANS = 128  # kept at once, with the shapes that were met once

log = logging.getLogger(__name__)


class Plan:
    """See the file's head. It works in memory of its own, so it runs one step at a time.

    graph  what it was made of, which holds the weights
    """

    def __init__(self, ops: Any, runner: Runner, graph: Graph, step: Step):
        made = Lowering(graph, ops, runner, step)
        made.lower({**LOWERED_PRODUCTS, **LOWERED_ROWS})
        stages, arena = made.schedule.stages()
        self.graph, self._runner, self._lock = graph, runner, threading.Lock()
        self._stages = [(Program(*stage.phases) if stage.phases else None, stage.calls) for stage in stages]
        self._kept, self._kinds, self._long = made.kept, made.kinds, made.multiplications > LONG
        self._outputs = [made.views[value.id] for value in graph.outputs]
        self._arrays = {id: arena.array(view) for id, view in made.views.items()}
        self._pools: tuple[Any, list[int]] = (lambda: None, [])  # of which cache, weakly, and their addresses

    def run(self, ops: Any, tokens: Any, step: Step) -> Any:
        """What the recorded function returns for these tokens and this step, an array of its own."""
        with self._lock:
            arrays = self._arrays
            for name, array in (("tokens", tokens), ("step.pos", step.pos), ("step.out_rows", step.out_rows)):
                arrays[self.graph.inputs[name].id] = array
            for value, view in zip(self.graph.outputs, self._outputs, strict=True):
                if is_slot(view.buffer.fixed):
                    arrays[value.id] = np.empty(value.shape, value.dtype)
            parts = [Parts(self._runner, step, *kind) for kind in self._kinds]
            values = self._values(step, parts)
            for program, calls in self._stages:
                if program is not None:
                    self._runner.run(program, values, self._long)
                for node, _ in calls:
                    self._call(ops, node, step)
            outputs = tuple(
                arrays[value.id] if is_slot(view.buffer.fixed) else arrays[value.id].copy()
                for value, view in zip(self.graph.outputs, self._outputs, strict=True)
            )
        return outputs[0] if len(outputs) == 1 else outputs

    def _values(self, step: Step, parts: list[Parts]) -> list[int]:
        """What the slots of Lowering are filled with."""
        outputs = [address(self._arrays[value.id]) for value in self.graph.outputs]
        if step.kv is not None and step.kv is not self._pools[0]():
            pools = [pool for pair in zip(step.kv.k, step.kv.v, strict=True) for pool in pair]
            self._pools = (ref(step.kv), [address(pool) for pool in pools])
        cut = [value for part in parts for value in part.values]
        return [*outputs, address(step.out_rows), *cut, *self._pools[1]]

    def _call(self, ops: Any, node: Node, step: Step) -> None:
        """An op on the host, on the values that the programs have made, and for those that come."""
        call = OPERATORS.get(node.op) or getattr(ops, node.op)
        made = call(*self._resolved(node.args, step), **node.kwargs)
        for value, x in zip(node.results, made if node.op in SEVERAL else (made,), strict=True):
            np.copyto(self._arrays[value.id], x)

    def _resolved(self, x: Any, step: Step) -> Any:
        """An argument with arrays for values."""
        if isinstance(x, Value):
            return self._arrays[x.id]
        if isinstance(x, tuple):
            return tuple(self._resolved(item, step) for item in x)
        return step if x is STEP else x


class Plans:
    """The plans of a backend, by what they were made for. A shape is compiled when it is met for the second time.

    They are dropped with the weights they are for, and the one that was used least recently when there are too many.
    """

    def __init__(self, runner: Runner):
        self._runner, self._lock = runner, threading.Lock()
        self._kept: OrderedDict[tuple, Entry] = OrderedDict()

    def run(self, ops: Any, function: Callable, weights: Any, config: Any, tokens: Any, step: Step) -> Any:
        """function(ops, weights, config, tokens, step), with the same bits."""
        types = None if step.kv is None else (step.kv.type_k, step.kv.type_v)
        key = (function, id(weights), id(config), len(step.pos), len(step.out_rows), step.causal, types)
        with self._lock:
            entry = self._kept.get(key)
            if entry is None:
                self._kept[key] = Entry(ref(weights, forget(self._kept, key)), config)
                if len(self._kept) > PLANS:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(key)
        if entry is not None and entry.plan is None and not entry.refused:
            self._compile(entry, ops, function, weights, config, tokens, step)
        if entry is None or entry.plan is None:
            return function(ops, weights, config, tokens, step)
        return entry.plan.run(ops, tokens, step)

    def _compile(self, entry: "Entry", ops, function, weights, config, tokens, step) -> None:
        try:
            graph = record(ops, function, weights, config, tokens, step)
        except RecordError as error:  # somebody's own maths: it runs op by op
            log.info("not compiled: %s", error)
            entry.refused = True
            return
        entry.plan = Plan(ops, self._runner, graph, step)


@dataclass(eq=False)
class Entry:
    """A shape that was met.

    weights, config  whose ids are in its key
    refused          its function cannot be recorded
    """

    weights: ReferenceType
    config: Any
    plan: Plan | None = None
    refused: bool = False
