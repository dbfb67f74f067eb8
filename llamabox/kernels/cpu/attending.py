"""Jobs of attention: which a step needs, and how its rows and cells are cut into tasks.

A program of attend_phases is made once for a kind of step: the shapes of q, k and v, the cache's types, and how rows
attend. Everything that changes from step to step is in slots: addresses, and how many tasks there are, as that grows
with the length.
"""

from typing import NamedTuple

import numpy as np

from llamabox.kernels.attention_rules import alibi_slopes
from llamabox.kernels.cpu.attention_layout import LANES, RANGE, SPAN, record_bytes, scratch_bytes
from llamabox.kernels.cpu.kernel import kernel
from llamabox.kernels.cpu.runner import Job, Runner, address, float_bits, slot
from llamabox.kernels.kv import BLOCK, KVCache
from llamabox.kernels.step import Step

ALL_AHEAD = 1 << 30  # cells after its own that a row sees where nothing is hidden
QUERIES = 64  # of a task: rows times query heads a key head
FEW_ROWS = 16  # of a sequence: its cells are split into tasks too
STORE_ROWS = 32  # a task
TASKS = 8  # a thread, at least, before tasks take several heads


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
        return max(QUERIES, max(1, QUERIES // self.group) * self.group + 3 & ~3)


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


def _tile_addresses(shape: Shape, types: tuple[str, str], cached: bool) -> list[int]:
    """Of the kernels for keys and for values in scratch; and for those in the cache where these can be read as they
    are: f16, in whole vectors, to the end of a block."""
    kinds = ("dot_block", "mix_block")
    found = [kernel("tiles", kind, "f32").address for kind in kinds]
    for kind, type, size in zip(kinds, types, (shape.k_dim, shape.v_dim), strict=True):
        direct = cached and type == "f16" and size % LANES == 0
        found.append(kernel("tiles", kind, "f16").address if direct else 0)
    return found


def _store_job(type_name: str, which: int, rows: int, heads: int, size: int, strides: tuple[int, ...]) -> Job:
    """Store rows of keys (which = 0) or of values (1); slots as attend_phases has them."""
    args = (slot(1 + which), rows, heads, size, slot(4 + which), slot(9), *strides, STORE_ROWS)
    return Job(kernel("cache_types", "store_rows", type_name.upper()).address, -(-rows // STORE_ROWS), args)


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
        phases.append([_store_job(types[i], i, rows, heads, shape[2 + i], strides[i]) for i in range(2)])
    size = scratch_bytes(shape.queries, shape.k_dim, shape.v_dim)
    args = (
        *(*map(slot, (0, 3, 4, 5, 6)), tables, slot(11), slot(8)),
        *(heads, group, shape.k_dim, shape.v_dim),
        *(float_bits(how.scale), float_bits(how.softcap if how.softcap is not None else 0.0)),
        *(how.window if how.window is not None else 0, how.ahead),
        *(runner.scratch("attend", size * runner.threads), size, *strides[0], *strides[1]),
        *(0 if slopes is None else address(slopes), slot(10)),
        *(kernel("cache_types", "read_rows", type.upper()).address for type in types),
        *_tile_addresses(shape, types, kv is not None),
    )
    return [*phases, [Job(kernel("attention", "attend").address, slot(12), args)]], slopes


class Parts:
    """A step cut into tasks, by ranges: some rows of a sequence and the cells that they see; see attention.attend.

    values  what slots 6-12 of attend_phases take: addresses of ranges, tables, positions and cells, of memory for the
            records of split ranges and for their counters; the number of tasks
    table   int32 (1 + R, RANGE): how many ranges there are, alone in its row, then the ranges
    tasks   their number
    longest cells of the longest sequence
    """

    def __init__(self, runner: Runner, step: Step, shape: Shape, how: How):
        self.longest = int(step.kv_len.max())
        ranges = _ranges(step, shape, how)
        ranges.sort(key=lambda r: -r.rows * (r.end - r.begin))  # the most work first
        self.tasks, n_records = _number(ranges, shape, TASKS * runner.threads)
        self.table = np.zeros((1 + len(ranges), RANGE), np.int32)
        self.table[0, 0], self.table[1:, : len(Range._fields)] = len(ranges), ranges
        self._counters = np.zeros(len(ranges) * shape.heads_kv, np.int64)
        records = runner.scratch("records", n_records * shape.heads_kv * record_bytes(shape.v_dim))
        arrays = [address(a) for a in (self.table, step.tables, step.pos, step.cells)]
        self.values = [*arrays, records, address(self._counters), self.tasks]


class Range(NamedTuple):
    """Columns of Parts.table; see attention.attend."""

    table: int
    row: int
    rows: int
    cells: int
    origin: int
    begin: int
    end: int
    parts: int
    records: int = 0
    task: int = 0
    heads: int = 0


def _ranges(step: Step, shape: Shape, how: How) -> list[Range]:
    """Rows of a sequence that go together, for all sequences; a position is also a cell."""
    ranges, size = [], max(1, QUERIES // shape.group)
    borders, lengths, width = step.row_start.tolist(), step.kv_len.tolist(), step.tables.shape[1]
    for n, (first, end, length) in enumerate(zip(borders, borders[1:], lengths, strict=False)):
        cells, origin = (end - first, first) if step.kv is None else (length, 0)
        for row in range(first, end, size):
            rows = min(size, end - row)
            begin = 0 if how.window is None else max(0, length - end + row - how.window + 1)
            begin = begin // SPAN * SPAN
            to = min(cells, length - end + row + rows + how.ahead)
            parts = -(-(to - begin) // SPAN) if end - first <= FEW_ROWS else 1
            ranges.append(Range(n * width, row, rows, cells, origin, begin, to, parts))
    return ranges


def _number(ranges: list[Range], shape: Shape, wanted: int) -> tuple[int, int]:
    """Give ranges their first record and task, and as many key heads a task as make about so many tasks, for keys of
    heads are neighbours; returns (tasks, records over key heads)."""
    most = max(1, sum(r.parts for r in ranges) * shape.heads_kv // wanted)
    task, record = 0, 0
    for i, r in enumerate(ranges):
        filled = r.rows * shape.group + 3 & ~3
        heads = min(most, max(1, QUERIES // filled), shape.heads_kv)
        ranges[i] = r._replace(records=record, task=task, heads=heads)
        task += r.parts * -(-shape.heads_kv // heads)
        record += r.parts * filled if r.parts > 1 else 0
    return task, record
