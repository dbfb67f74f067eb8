"""Steps of few rows as CUDA graphs: captured once for each shape, then launched as one, without Python between kernels.

What changes from step to step (tokens, positions, block tables, lengths) is in one buffer that a single copy fills. A
graph holds for every step of its shape: which rows each sequence has, how wide its block table is (a power of two, so
that a growing context needs a new graph only when it has doubled), how many rows are wanted, which weights and KV pool.

The first step of a shape runs as usual, which compiles kernels and makes what is kept; the second is captured. Captures
take their memory from a pool of their own, which nothing else may use: addresses in a graph stay the graph's. The
pool's blocks serve all graphs in turn, since they run one after another on one stream; results are copied out of it.
CuPy cannot capture on ROCm; there every step runs as usual.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llamabox.kernels.cuda.steps import DeviceStep, shape_of
from llamabox.kernels.step import Step

MOST_ROWS = 32  # more rows are multiplied by cuBLAS, and take long enough to hide what Python does
MOST_GRAPHS = 64
LEAST_WIDTH = 8  # block ids


@dataclass(eq=False)
class Captured:
    """What is kept for one shape of steps.

    step    without its KV pool, which may go when nobody else has it
    held    what else the key refers to by id, so that no other object gets that id
    graph   None until the second step
    result  where the graph leaves its result
    """

    buffer: Any
    tokens: Any
    step: DeviceStep
    held: tuple
    graph: Any = None
    result: Any = None


class Graphs:
    """The graphs of one backend."""

    def __init__(self, cupy: Any):
        self._cupy = cupy
        self.can_capture = not cupy.cuda.runtime.is_hip
        self.stream = cupy.cuda.Stream()  # captures need another than the default one
        self._pool = cupy.cuda.MemoryPool()
        self._captured: dict[tuple, Captured] = {}

    def run(self, ops: Any, function: Callable, weights: Any, config: Any, tokens: Any, step: Step) -> Any:
        """function(ops, weights, config, tokens, step) of a step that `fits`."""
        shape = shape_of(step, _width(step.tables.shape[1]))
        key = (function, id(weights), id(config), shape, id(step.kv), step.causal)
        packed = shape.pack(np.asarray(tokens), step)
        found = self._captured.pop(key, None)
        if found is None:
            buffer = self._cupy.asarray(packed)
            found = Captured(buffer, *shape.unpack(buffer, None, step.causal), (weights, config))
            self._keep(key, found, step.kv)
            return function(ops, weights, config, found.tokens, replace(found.step, kv=step.kv))
        self._captured[key] = found  # the last used is last
        found.buffer.set(packed)
        if found.graph is None:
            self._capture(found, lambda s: function(ops, weights, config, found.tokens, s), step.kv)
        found.graph.launch(self.stream)
        return found.result.copy()

    def fits(self, step: Step) -> bool:
        """Whether steps like this one are captured."""
        return self.can_capture and step.kv is not None and 0 < len(step.pos) <= MOST_ROWS and len(step.out_rows) > 0

    def _capture(self, found: Captured, forward: Callable, kv: Any) -> None:
        with self.stream, self._cupy.cuda.using_allocator(self._pool.malloc):
            self.stream.begin_capture(self._cupy.cuda.runtime.streamCaptureModeRelaxed)
            try:
                result = forward(replace(found.step, kv=kv))
            finally:
                graph = self.stream.end_capture()
        found.graph, found.result = graph, result

    def _keep(self, key: tuple, made: Captured, kv: Any) -> None:
        """Keep it until it is the one that was not used for longest, or its KV pool is gone."""
        while len(self._captured) >= MOST_GRAPHS:
            del self._captured[next(iter(self._captured))]
        self._captured[key] = made
        weakref.finalize(kv, self._captured.pop, key, None).atexit = False


def _width(n: int) -> int:
    return max(LEAST_WIDTH, 1 << (n - 1).bit_length())
