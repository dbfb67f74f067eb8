"""DeviceStep: a step whose arrays are on the device, in one buffer that one copy fills."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llamabox.kernels.kv import BLOCK, KVCache
from llamabox.kernels.step import Step


@dataclass(frozen=True, eq=False)
class DeviceStep(Step):
    """A Step whose pos, seq, row_start, kv_len, tables and out_rows are int32 arrays of the device; cells stay behind.

    counts  rows of each sequence, on the host
    chunks  what attention makes of them, for all layers (attention.py)
    """

    counts: tuple[int, ...] = ()
    chunks: dict[tuple, Any] = field(default_factory=dict)

    @property
    def most_cells(self) -> int:
        """No sequence can hold more."""
        return max(self.counts) if self.kv is None else self.tables.shape[1] * BLOCK


@dataclass(frozen=True)
class StepShape:
    """What steps must have in common to use the same buffer.

    counts  rows of each sequence;  width: block ids a sequence, at least;  n_out: rows that are wanted
    """

    counts: tuple[int, ...]
    width: int
    n_out: int

    @property
    def rows(self) -> int:
        return sum(self.counts)

    def pack(self, tokens: np.ndarray, step: Step) -> np.ndarray:
        """All the step's integers, and the tokens, as int32; tables filled up with -1."""
        tables = np.full((len(self.counts), self.width), -1, np.int32)
        tables[:, : step.tables.shape[1]] = step.tables
        parts = (tokens, step.pos, step.seq, step.row_start, step.kv_len, step.out_rows, tables)
        return np.concatenate([np.asarray(part, np.int32).reshape(-1) for part in parts])

    def unpack(self, buffer: Any, kv: KVCache | None, causal: bool) -> tuple[Any, DeviceStep]:
        """(tokens, step), views of the buffer."""
        n, rows = len(self.counts), self.rows
        ends = np.cumsum([rows, rows, rows, n + 1, n, self.n_out, n * self.width]).tolist()
        tokens, pos, seq, row_start, kv_len, out_rows, tables = (
            buffer[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)
        )
        tables = tables.reshape(n, self.width)
        return tokens, DeviceStep(pos, seq, row_start, kv_len, tables, None, out_rows, kv, causal, self.counts)


def shape_of(step: Step, width: int | None = None) -> StepShape:
    """The shape of a step. width: of its tables, if they are to be wider than they are"""
    counts = tuple(np.diff(step.row_start).tolist())
    return StepShape(counts, step.tables.shape[1] if width is None else width, len(step.out_rows))


def on_device(cupy: Any, step: Step) -> DeviceStep:
    """The step, copied to the device."""
    shape = shape_of(step)
    buffer = cupy.asarray(shape.pack(np.zeros(shape.rows, np.int32), step))
    return shape.unpack(buffer, step.kv, step.causal)[1]
