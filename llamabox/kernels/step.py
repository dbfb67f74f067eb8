"""Step: one ragged batch, the rows of several sequences side by side, and where their keys and values live.

rows     0 1 2 | 3 | 4          three sequences: 3 tokens of prefill, 1 decode token, 1 decode token
seq      0 0 0 | 1 | 2
pos      0 1 2 | 9 | 40
kv_len   3       10  41         cells each sequence holds once this step's rows are stored
tables   block ids of each sequence, -1 beyond its end; cell i of a sequence holds position i
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from llamabox.kernels.kv import BLOCK, KVCache


@dataclass(frozen=True, eq=False)
class Step:
    """What a forward pass needs besides tokens and weights. All arrays are NumPy, on the host.

    pos        int32 (T,)   position of each row, also its cell in its sequence
    seq        int32 (T,)   index of the row's sequence in this batch; ascending, rows of one sequence adjacent
    row_start  int32 (N+1,) rows of sequence n are row_start[n]:row_start[n+1]
    kv_len     int32 (N,)   cells that sequence n holds after this step
    tables     int32 (N, M) block ids; -1 beyond the end
    cells      int64 (T,)   flat cell of each row: block id * BLOCK + offset
    out_rows   int32 (R,)   the rows whose logits are wanted, ascending
    kv         the pool; None: nothing is stored, the rows of a sequence attend to each other
    causal     False: every row sees the whole sequence
    """

    pos: np.ndarray
    seq: np.ndarray
    row_start: np.ndarray
    kv_len: np.ndarray
    tables: np.ndarray
    cells: np.ndarray
    out_rows: np.ndarray
    kv: KVCache | None
    causal: bool = True


@dataclass(frozen=True, eq=False)
class Rows:
    """One sequence's part of a step: `count` new tokens at positions start, start + 1, ...

    table  block ids holding positions 0 .. start + count - 1; empty when there is no cache
    want   which of the new rows are wanted as logits or hidden states: "first", "last", "all" or "none"
    """

    start: int
    count: int
    table: Any = ()
    want: str = "last"


def make_step(parts: list[Rows], kv: KVCache | None, causal: bool = True) -> Step:
    """Pack the parts, one a sequence, into a Step.

    Errors:  ValueError when a part is empty, its table is too short for its cells, or `want` is unknown
    """
    counts = np.array([part.count for part in parts], np.int32)
    starts = np.array([part.start for part in parts], np.int32)
    if len(parts) == 0 or counts.min() < 1 or starts.min() < 0:
        raise ValueError("make_step: every part needs at least one row and a start of 0 or more")
    row_start = np.zeros(len(parts) + 1, np.int32)
    np.cumsum(counts, out=row_start[1:])
    seq = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    pos = (np.arange(row_start[-1], dtype=np.int32) - row_start[seq]) + starts[seq]
    tables = np.full((len(parts), max(len(part.table) for part in parts)), -1, np.int32)
    for n, part in enumerate(parts):
        if kv is not None and len(part.table) * BLOCK < part.start + part.count:
            raise ValueError(f"make_step: {len(part.table)} blocks cannot hold {part.start + part.count} cells")
        tables[n, : len(part.table)] = part.table
    if kv is None:
        cells = np.zeros(0, np.int64)
    else:
        cells = tables[seq, pos // BLOCK].astype(np.int64) * BLOCK + pos % BLOCK
    out_rows = np.concatenate([_wanted(part, int(row_start[n])) for n, part in enumerate(parts)])
    return Step(pos, seq, row_start, starts + counts, tables, cells, out_rows, kv, causal)


def _wanted(part: Rows, first: int) -> np.ndarray:
    if part.want == "all":
        return np.arange(first, first + part.count, dtype=np.int32)
    if part.want == "last":
        return np.array([first + part.count - 1], np.int32)
    if part.want == "first":
        return np.array([first], np.int32)
    if part.want == "none":
        return np.zeros(0, np.int32)
    raise ValueError(f'make_step: want is {part.want!r}, expected "first", "last", "all" or "none"')
