"""Schedule: what a compiled step does, in levels. All jobs of a level run side by side, then its calls on the host.

Each comes as soon as what it reads has been written, so what does not depend on each other shares a level.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from llamabox.kernels.cpu.arena import Arena, Buffer, View
from llamabox.kernels.cpu.runner import Job
from llamabox.kernels.nodes import Node

Address = Callable[[View], int]


class Call(NamedTuple):
    """An op for the host: its node, and where its results go."""

    node: Node
    results: tuple[View, ...]


class Stage(NamedTuple):
    """Phases of jobs, then calls that need their results."""

    phases: list[list[Job]]
    calls: list[Call]


class Schedule:
    """Grows as jobs and calls are added; then `stages` gives them with their addresses."""

    def __init__(self) -> None:
        self._jobs: list[list[Callable[[Address], Job]]] = []
        self._calls: list[list[Call]] = []
        self._buffers: list[Buffer] = []

    def new(self, shape: tuple[int, ...], dtype: np.dtype, fixed: int | None = None) -> View:
        """A new buffer for a contiguous array. fixed: its address, or the slot for it; None: in the arena"""
        likeness = np.empty(shape, dtype)
        self._buffers.append(Buffer(likeness.nbytes, fixed=fixed))
        return View(self._buffers[-1], likeness)

    def job(self, make: Callable[[Address], Job], reads: Iterable[View], writes: Iterable[View], after: int = 0) -> int:
        """Add a job, given what it reads and writes and a level that it must come after. Returns its level."""
        level = self._place(reads, writes, after)
        self._jobs[level].append(make)
        return level

    def call(self, call: Call, reads: Iterable[View]) -> None:
        """Add a call on the host."""
        self._calls[self._place(reads, call.results, -1)].append(call)

    def _place(self, reads: Iterable[View], writes: Iterable[View], after: int) -> int:
        reads = list(reads)
        level = 1 + max((view.buffer.first for view in reads), default=after)
        level = max(level, after + 1)
        for view in reads:
            view.buffer.last = max(view.buffer.last, level)
        for view in writes:
            view.buffer.first, view.buffer.last = level, max(level, view.buffer.last)
        while len(self._jobs) <= level:
            self._jobs.append([])
            self._calls.append([])
        return level

    def stages(self) -> tuple[list[Stage], Arena]:
        """Everything in order, and the memory that it works in."""
        arena = Arena(self._buffers)
        stages: list[Stage] = [Stage([], [])]
        for jobs, calls in zip(self._jobs, self._calls, strict=True):
            if jobs:
                if stages[-1].calls:
                    stages.append(Stage([], []))
                stages[-1].phases.append([make(arena.address) for make in jobs])
            stages[-1].calls.extend(calls)
        return stages, arena
