"""Jobs of attention: which a step needs, and how its rows and cells are cut into tasks.

A program of attend_phases is made once for a kind of step: the shapes of q, k and v, the cache's types, and how rows
attend. Everything that changes from step to step is in slots: addresses, and how many tasks there are, as that grows
with the length.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from llamabox.kernels.cpu import attention
from llamabox.kernels.cpu.cache_types import CACHE, read_rows, store_rows
from llamabox.kernels.cpu.program import Kernel
from llamabox.kernels.cpu.runner import Job, Runner, address, float_bits, slot
from llamabox.kernels.cpu.tiles import dot_block, mix_block
from llamabox.kernels.kv import BLOCK, KVCache
from llamabox.kernels.ops import alibi_slopes
from llamabox.kernels.step import Step

ALL_AHEAD = 1 << 30  # cells after its own that a row sees where nothing is hidden
QUERIES = 64  # of a task: rows times query heads a key head
FEW_ROWS = 16  # of a sequence: its cells are split into tasks too


class Shape(NamedTuple):
    """Heads, key heads, values of a query and key row, of a value row."""

    heads: int
    heads_kv: int
    k_dim: int
    v_dim: int

    @property
    def group(self) -> int:
        """Query heads a key head."""
        return self.heads // self.heads_kv

    @property
    def queries(self) -> int:
        """The most of a task, filled up to a multiple of 4."""
        return (max(1, QUERIES // self.group) * self.group + 3) & ~3


class How(NamedTuple):
    """What Ops.attend is told beside arrays, and whether the step is causal."""

    scale: float
    window: int | None = None
    two_sided: bool = False
    softcap: float | None = None
    alibi: float | None = None
    causal: bool = True

    @property
    def ahead(self) -> int:
        """How many cells after its own a row sees."""
        if self.causal:
            return 0
        return self.window - 1 if self.window is not None and self.two_sided else ALL_AHEAD


@cache
def store_kernel(type_name: str) -> Kernel:
    """The kernel that stores rows in a cache of a type."""
    return store_rows(CACHE[type_name.upper()])


@cache
def read_kernel(type_name: str) -> Kernel:
    """The kernel that reads rows of a cache of a type."""
    return read_rows(CACHE[type_name.upper()])


def attend_phases(
    runner: Runner, rows: int, shape: Shape, kv: KVCache | None, layer: int, how: How
) -> tuple[list[list[Job]], np.ndarray | None]:
    """Store k and v, then attend; also ALiBi's slopes, an array that must live as long as the jobs do.

    Slots: 0-5 addresses of q, k, v, out, and of the layer's pools of keys and of values (without a cache: k and v);
    6-12 Parts.values, of which the last is the number of tasks of the last job. Layers of one shape and cache types,
    and steps of as many rows, differ in slots alone.
    """
    heads, group, slopes = shape.heads_kv, shape.group, None
    if how.alibi is not None:
        slopes = alibi_slopes(shape.heads, how.alibi)
    phases = []
    if kv is None:
        types, tables = ("f32", "f32"), 0
        strides = [(4 * BLOCK * heads * size, 4 * size, 4 * heads * size) for size in (shape.k_dim, shape.v_dim)]
    else:
        types, tables, pools = (kv.type_k, kv.type_v), slot(7), (kv.k[layer], kv.v[layer])
        strides = [pool.strides[:3] for pool in pools]
        sizes = (shape.k_dim, shape.v_dim)
        phases.append(
            [
                Job(
                    store_kernel(types[i]).address,
                    1,
                    (slot(1 + i), rows, heads, sizes[i], slot(4 + i), slot(9), *strides[i]),
                )
                for i in range(2)
            ]
        )
    size = attention.scratch_bytes(shape.queries, shape.k_dim, shape.v_dim)
    args = (
        *(
            slot(0),
            slot(3),
            slot(4),
            slot(5),
            slot(6),
            tables,
            slot(11),
            slot(8),
            heads,
            group,
            shape.k_dim,
            shape.v_dim,
        ),
        *(float_bits(how.scale), float_bits(how.softcap if how.softcap is not None else 0.0)),
        *(how.window if how.window is not None else 0, how.ahead),
        *(runner.scratch("attend", size * runner.threads), size, *strides[0], *strides[1]),
        *(0 if slopes is None else address(slopes), slot(10)),
        *(kernel.address for kernel in (*map(read_kernel, types), dot_block, mix_block)),
    )
    return [*phases, [Job(attention.attend.address, slot(12), args)]], slopes


class Parts:
    """A step cut into parts, each some rows of a sequence and some of its cells; see attention.attend.

    values  what slots 6-12 of attend_phases take: addresses of parts, tables, positions and cells, of memory for the
            records of split ranges and for their counters; the number of tasks
    longest cells of the longest sequence
    """

    def __init__(self, runner: Runner, step: Step, shape: Shape, how: How):
        self.longest = int(step.kv_len.max())
        self._parts, n_records, n_counters = _cut(step, shape, how)
        self._counters = np.zeros(max(1, n_counters * shape.heads_kv), np.int64)
        records = runner.scratch("records", n_records * shape.heads_kv * attention.record_bytes(shape.v_dim))
        arrays = [address(a) for a in (self._parts, step.tables, step.pos, step.cells)]
        self.values = [*arrays, records, address(self._counters), len(self._parts) * shape.heads_kv]


def _cut(step: Step, shape: Shape, how: How) -> tuple[np.ndarray, int, int]:
    """int32 (P, PART), the most work first; records and counters that split ranges need, over key heads."""
    rows = np.diff(step.row_start)
    size = max(1, QUERIES // shape.group)
    counts = -(-rows // size)
    seq = np.repeat(np.arange(len(rows)), counts)
    offset = size * (np.arange(len(seq)) - np.repeat(np.cumsum(counts) - counts, counts))
    n, first = np.minimum(size, rows[seq] - offset), step.row_start[seq] + offset
    origin = step.row_start[seq] if step.kv is None else np.zeros_like(first)
    cells = rows[seq] if step.kv is None else step.kv_len[seq]
    start = 0 if how.window is None else np.maximum(0, step.pos[first] - how.window + 1)
    begin = np.zeros_like(first) + start // attention.SPAN * attention.SPAN
    end = np.minimum(cells, step.pos[first + n - 1].astype(np.int64) + 1 + how.ahead)
    spans = -(-(end - begin) // attention.SPAN)
    parts = np.where(rows[seq] <= FEW_ROWS, spans, 1)
    filled = (n * shape.group + 3) & ~3
    records = np.where(parts > 1, parts * filled, 0)
    which = np.repeat(np.arange(len(seq)), parts)
    number = np.arange(len(which)) - np.repeat(np.cumsum(parts) - parts, parts)
    from_cell = begin[which] + number * attention.SPAN
    to_cell = np.where(parts[which] > 1, np.minimum(from_cell + attention.SPAN, end[which]), end[which])
    columns = (
        seq * step.tables.shape[1],
        first,
        n,
        cells,
        origin,
        None,
        None,
        np.cumsum(records) - records,
        parts,
        None,
        np.arange(len(seq)),
    )
    table = np.zeros((len(which), attention.PART), np.int32)
    for i, column in enumerate(columns):
        if column is not None:
            table[:, i] = column[which]
    table[:, 5], table[:, 6], table[:, 9] = from_cell, to_cell, number
    order = np.argsort(-(n[which] * (to_cell - from_cell)), kind="stable")
    return table[order], int(records.sum()), len(seq)
