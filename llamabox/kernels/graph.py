"""Graph: one forward pass as a list of named ops with shapes, recorded from a model and replayed on a backend.

Recording proves that a model uses nothing but the op vocabulary; a graph is what compiled plans, captured device graphs
and `llamabox inspect --graph` are made of.

    graph = record(ops, llama.forward, weights, config, tokens, step)
    logits = replay(graph, ops, other_tokens, other_step)      # of as many rows, as many of them wanted
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from llamabox.kernels.nodes import STEP, Node, Tape, Value, values_in
from llamabox.kernels.ops import Ops
from llamabox.kernels.recording import RecordingOps
from llamabox.kernels.step import Step
from llamabox.kernels.traced import RecordError, Traced, TracedStep

__all__ = ["STEP", "Graph", "Node", "RecordError", "Value", "record", "replay", "values_in"]

SEVERAL = ("linear_many", "rope_angles", "largest")  # ops that return a sequence
HOST = ("numpy", "cpu")  # backends that read the same weights
OPERATORS: dict[str, Callable] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, axes: x.transpose(*axes),
    "slice": operator.getitem,
}


@dataclass(frozen=True, eq=False)
class Graph:
    """A recorded forward pass. It holds for every step with as many rows, of which as many are wanted: tokens,
    positions, sequences and block tables may differ.

    nodes    in the order in which the model called them
    inputs   "tokens", "step.pos", "step.out_rows" -> their values
    outputs  what the model returned
    names    llama.cpp's name (attn_out-3) -> the value that the model gave it; a value may have several, or none
    backend  whose weights and arrays stand in the nodes
    """

    nodes: tuple[Node, ...]
    inputs: Mapping[str, Value]
    outputs: tuple[Value, ...]
    names: Mapping[str, Value]
    backend: str

    @cached_property
    def names_of(self) -> dict[int, list[str]]:
        """Value id -> the names it has."""
        found: dict[int, list[str]] = {}
        for name, value in self.names.items():
            found.setdefault(value.id, []).append(name)
        return found

    @cached_property
    def last_uses(self) -> tuple[tuple[int, ...], ...]:
        """For each node, the ids of the values that nothing needs after it."""
        kept, found = {value.id for value in self.outputs}, []
        for node in reversed(self.nodes):
            mentioned = {value.id for value in (*values_in(node.args), *node.results)}
            found.append(tuple(sorted(mentioned - kept)))
            kept |= mentioned
        return tuple(reversed(found))


def record(ops: Ops, function: Callable, weights: Any, config: Any, tokens: Any, step: Step) -> Graph:
    """The graph of function(ops, weights, config, tokens, step), a model's `forward` or `hidden`; nothing is computed.

    ops      the backend that the weights belong to
    tokens   int32 (T,); only their number matters, and of the step its number of rows and of wanted rows
    Errors:  RecordError where the model leaves the op vocabulary; ValueError where shapes do not fit
    """
    tape = Tape()
    inputs = {name: tape.value(shape, np.int32) for name, shape in _input_shapes(tokens, step).items()}
    ids, pos, out_rows = (Traced(tape, inputs[name]) for name in ("tokens", "step.pos", "step.out_rows"))
    found = function(RecordingOps(tape), weights, config, ids, TracedStep(pos, out_rows))
    outputs = found if isinstance(found, tuple) else (found,)
    return Graph(tuple(tape.nodes), inputs, tuple(x.value for x in outputs), tape.names, ops.name)


def replay(graph: Graph, ops: Ops, tokens: Any, step: Step) -> Any:
    """What the recorded function returns for these tokens and this step, computed by ops.

    ops      a backend that reads the weights of the one the graph was recorded for: itself; cpu and numpy, each other's
    Errors:  ValueError for another backend, and for a step of another shape than the recorded one
    """
    if ops.name != graph.backend and not {ops.name, graph.backend} <= set(HOST):
        raise ValueError(f"replay: found ops of {ops.name}, expected {graph.backend}, whose weights the graph holds")
    arrays = {"tokens": tokens, "step.pos": step.pos, "step.out_rows": step.out_rows}
    for name, shape in _input_shapes(tokens, step).items():
        if shape != graph.inputs[name].shape:
            raise ValueError(f"replay: {name} has shape {shape}, recorded with {graph.inputs[name].shape}")
    values = {graph.inputs[name].id: array for name, array in arrays.items()}

    def resolve(x: Any) -> Any:
        if isinstance(x, Value):
            return values[x.id]
        if isinstance(x, tuple):
            return tuple(map(resolve, x))
        return step if x is STEP else x

    for node, unneeded in zip(graph.nodes, graph.last_uses, strict=True):
        call = OPERATORS.get(node.op) or getattr(ops, node.op)
        made = call(*map(resolve, node.args), **node.kwargs)
        for value, x in zip(node.results, made if node.op in SEVERAL else (made,), strict=True):
            for name in graph.names_of.get(value.id, ()):
                x = ops.tag(x, name)
            values[value.id] = x
        for id in unneeded:
            values.pop(id, None)
    results = tuple(values[value.id] for value in graph.outputs)
    return results[0] if len(results) == 1 else results


def _input_shapes(tokens: Any, step: Step) -> dict[str, tuple[int, ...]]:
    return {"tokens": (len(tokens),), "step.pos": step.pos.shape, "step.out_rows": step.out_rows.shape}
