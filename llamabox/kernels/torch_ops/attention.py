"""Attention over KV blocks: pieces of the cells, gathered and unpacked, whose softmax is merged as it streams.

No score matrix is larger than the caller allows: long prompts go by chunks of rows, long contexts by pieces of
cells. Sequences with one row in a step (decode) are computed together; any other sequence is computed by itself.
Everything that depends on the batch alone is put on the device once a step (`StepPlan`), and nothing is read back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np
import torch
from torch import Tensor

from llamabox.kernels.attention_rules import alibi_slopes
from llamabox.kernels.kv import BLOCK
from llamabox.kernels.step import Step
from llamabox.kernels.torch_ops.cache import decode, encode

CHUNK_ROWS = 256
Piece = tuple[int, int, Tensor, Tensor]  # first cell, end, keys (N, K, s, E), values (N, K, s, Ev)


@dataclass(frozen=True)
class How:
    """What Ops.attend is told besides its arrays."""

    scale: float
    window: int | None
    two_sided: bool
    softcap: float | None
    alibi: float | None
    causal: bool


@dataclass(frozen=True, eq=False)
class Group:
    """N sequences with t rows each in this step.

    rows     which rows of the step they are, sequence by sequence: a slice, or a tensor of N * t indices
    pos      their positions, on the host and on the device: (N, t)
    cells    what each sequence holds, on the host (N,) and on the device (N, 1)
    tables   block ids on the device (N, M), 0 beyond the end; None without a cache
    """

    rows: slice | Tensor
    pos: np.ndarray
    pos_there: Tensor
    cells: np.ndarray
    cells_there: Tensor
    tables: Tensor | None


class StepPlan:
    """What all layers of a step have in common."""

    def __init__(self, step: Step, device: torch.device):
        self.step, self._device = step, device
        block, offset = np.divmod(step.cells, BLOCK)
        self.block, self.offset = self._there(block), self._there(offset)
        counts = np.diff(step.row_start)
        single = np.flatnonzero(counts == 1) if step.kv is not None else np.zeros(0, np.int64)
        self.groups = [self._group(step, single)] if len(single) > 0 else []
        self.groups += [self._group(step, np.array([n])) for n in range(len(counts)) if n not in set(single.tolist())]

    def _group(self, step: Step, which: np.ndarray) -> Group:
        first, end = step.row_start[which], step.row_start[which + 1]
        if len(which) == 1 or len(which) == len(step.kv_len):
            rows, index = slice(int(first[0]), int(end[-1])), np.arange(first[0], end[-1])
        else:
            rows, index = self._there(first), first
        pos = step.pos[index].reshape(len(which), -1)
        cells = step.kv_len[which] if step.kv is not None else end - first
        tables = None
        if step.kv is not None:
            tables = self._there(np.maximum(step.tables[which, : ceil(cells.max() / BLOCK)], 0))
        return Group(rows, pos, self._there(pos), cells, self._there(cells[:, None]), tables)

    def _there(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(x.astype(np.int64)).to(self._device, non_blocking=True)


def store(plan: StepPlan, layer: int, k: Tensor, v: Tensor) -> None:
    """Write the step's keys and values into their cells."""
    kv = plan.step.kv
    kv.k[layer][plan.block, :, plan.offset] = encode(k, kv.type_k)
    kv.v[layer][plan.block, :, plan.offset] = encode(v, kv.type_v)


def attend(plan: StepPlan, layer: int, q: Tensor, k: Tensor, v: Tensor, how: How, bytes: int) -> Tensor:
    """What Ops.attend says, once k and v are stored.

    bytes  that no array of scores, keys or values may exceed, but for one block of cells
    """
    outs = []
    for group in plan.groups:
        n, t = group.pos.shape
        rows = q[group.rows].reshape(n, t, k.shape[1], -1, q.shape[2]).permute(0, 2, 3, 1, 4) * how.scale
        chunk, size = _cut(n, t, q.shape[1], k.shape[1] * (k.shape[2] + v.shape[2]), bytes)
        parts = []
        for first in range(0, t, chunk):
            span = slice(first, min(first + chunk, t))
            pieces = _pieces(plan.step, group, layer, k, v, _visible_cells(group, span, how), size)
            parts.append(_attend_rows(group, span, rows[:, :, :, span], pieces, how))
        y = parts[0] if len(parts) == 1 else torch.cat(parts, dim=3)  # (N, K, G, t, Ev)
        outs.append(y.permute(0, 3, 1, 2, 4).reshape(n * t, q.shape[1], v.shape[2]))
    if len(outs) == 1:
        return outs[0]
    out = q.new_empty(*q.shape[:2], v.shape[2])
    for group, y in zip(plan.groups, outs, strict=True):
        out[group.rows] = y
    return out


def _cut(n: int, t: int, heads: int, width: int, bytes: int) -> tuple[int, int]:
    """Rows of a chunk, and cells of a piece, of which neither scores nor keys with values take more than these bytes.

    width  values of one cell, keys and values of all heads together
    """
    scores = bytes // (4 * n * heads)  # rows times cells
    chunk = max(1, min(t, CHUNK_ROWS, scores // BLOCK))
    cells = min(scores // chunk, bytes // (4 * n * width))
    return chunk, BLOCK * max(1, cells // BLOCK)


def _visible_cells(group: Group, span: slice, how: How) -> tuple[int, int]:
    """The first cell that some of the rows see, and the end of those: known on the host."""
    pos, end = group.pos[:, span], int(group.cells.max())
    if how.causal:
        end = min(end, int(pos.max()) + 1)
    elif how.window is not None and how.two_sided:
        end = min(end, int(pos.max()) + how.window)
    first = 0 if how.window is None else max(0, int(pos.min()) - how.window + 1)
    return first // BLOCK * BLOCK, end


def _pieces(
    step: Step, group: Group, layer: int, k: Tensor, v: Tensor, cells: tuple[int, int], size: int
) -> Iterator[Piece]:
    """The cells from cells[0] to cells[1] (a block's first cell; an end), so many at a time."""
    shortest = int(group.cells.min())
    for first in range(cells[0], cells[1], size):
        end = min(first + size, cells[1])
        if step.kv is None:
            keys, values = (x[group.rows][first:end].transpose(0, 1)[None] for x in (k, v))
        else:
            blocks = group.tables[:, first // BLOCK : ceil(end / BLOCK)]
            keys = _cells(step.kv.k[layer], blocks, step.kv.type_k)[:, :, : end - first]
            values = _cells(step.kv.v[layer], blocks, step.kv.type_v)[:, :, : end - first]
        if end > shortest:  # what others left beyond a sequence's end may be NaN
            there = torch.arange(first, end, device=k.device) < group.cells_there  # (N, s)
            values = torch.where(there[:, None, :, None], values, 0.0)
        yield first, end, keys, values


def _cells(pool: Tensor, blocks: Tensor, type_name: str) -> Tensor:
    """pool (n_blocks, K, BLOCK, ...), blocks (N, m) -> f32 (N, K, m * BLOCK, E)"""
    found = decode(pool[blocks], type_name).transpose(1, 2)  # (N, K, m, BLOCK, E)
    return found.reshape(*found.shape[:2], -1, found.shape[4])


def _attend_rows(group: Group, span: slice, q: Tensor, pieces: Iterator[Piece], how: How) -> Tensor:
    """q (N, K, G, t, E), scaled -> (N, K, G, t, Ev)"""
    n, k, g, t, size = q.shape
    q = q.reshape(n, k, g * t, size)
    state = None
    for first, end, keys, values in pieces:
        scores = (q @ keys.transpose(2, 3)).reshape(n, k, g, t, -1)
        scores = _shaped(scores, group, span, first, end, how).reshape(n, k, g * t, -1)
        state = _merged(state, scores, values)
    assert state is not None  # a row sees itself
    _, total, y = state
    return (y / total).reshape(n, k, g, t, -1)


def _merged(state: tuple[Tensor, Tensor, Tensor] | None, scores: Tensor, values: Tensor) -> tuple:
    """The streamed softmax: (largest score, sum of exponentials, their weighted sum of values) with a piece more."""
    top = scores.amax(dim=-1, keepdim=True)
    if state is not None:
        top = torch.maximum(state[0], top)
    low = torch.where(top == -torch.inf, 0.0, top)  # rows that see nothing of the pieces so far
    e = torch.exp(scores - low)
    total, y = e.sum(dim=-1, keepdim=True), e @ values
    if state is None:
        return top, total, y
    shrink = torch.exp(state[0] - low)
    return top, state[1] * shrink + total, state[2] * shrink + y


def _shaped(scores: Tensor, group: Group, span: slice, first: int, end: int, how: How) -> Tensor:
    """Softcap, ALiBi and mask on scores (N, K, G, t, s) of the cells first to end."""
    if how.softcap is not None:
        scores = how.softcap * torch.tanh(scores / how.softcap)
    if how.alibi is None and _sees_all(group, span, first, end, how):
        return scores
    cells = torch.arange(first, end, device=scores.device)
    distance = group.pos_there[:, span, None] - cells  # (N, t, s)
    if how.alibi is not None:
        slopes = _slopes(*scores.shape[1:3], how.alibi, scores.device)
        scores = scores - slopes * distance.abs().float()[:, None, None]
    seen = cells < group.cells_there[:, :, None]  # (N, 1, s)
    if how.causal:
        seen = seen & (distance >= 0)
    if how.window is not None:
        seen = seen & ((distance.abs() if how.two_sided else distance) < how.window)
    return torch.where(seen[:, None, None], scores, -torch.inf)


def _sees_all(group: Group, span: slice, first: int, end: int, how: How) -> bool:
    """Whether no row has a cell from first to end hidden: known on the host."""
    pos = group.pos[:, span]
    if end > group.cells.min() or (how.causal and end - 1 > pos.min()):
        return False
    if how.window is None:
        return True
    behind = int(pos.max()) - first < how.window
    return behind and (not how.two_sided or end - 1 - int(pos.min()) < how.window)


@cache
def _slopes(k: int, g: int, largest: float, device: torch.device) -> Tensor:
    """ALiBi's slope of each head, f32 (K, G, 1, 1)."""
    return torch.from_numpy(alibi_slopes(k * g, largest)).to(device).reshape(k, g, 1, 1)
