"""Attention on a GPU, host side: which threads take which queries, and how many parts a long context is cut into."""

from typing import Any

import numpy as np

from llamabox.kernels.attention_rules import alibi_slopes
from llamabox.kernels.cuda.sources import THREADS, Kernels, blocks_of
from llamabox.kernels.cuda.steps import DeviceStep
from llamabox.kernels.kv import BLOCK, CACHE_TYPES, PLAIN

MOST_SIZE = 256  # of a head: its tile of 32 keys fits the shared memory that every device has
WARPS = 4
SPLIT_CELLS = 128  # a part of a context has at least so many cells
BLOCKS_WANTED = 4  # blocks of threads for each multiprocessor
ALL_AHEAD = 1 << 30  # cells after its own that a row sees where nothing is hidden
NONE = np.uint64(0)


class Attention:
    """The attention of one device. n_processors: its multiprocessors"""

    def __init__(self, cupy: Any, kernels: Kernels, n_processors: int):
        self._cupy, self._kernels, self._n_processors = cupy, kernels, n_processors
        self._slopes: dict[tuple, Any] = {}

    def store(self, x: Any, step: DeviceStep, pool: Any, type_name: str) -> None:
        """Rows x f32 (T, K, E) into one layer's pool of keys or values."""
        rows, heads, size = x.shape
        total = x.size // (1 if type_name in PLAIN else CACHE_TYPES[type_name].block_size)
        block, head, cell = _strides(pool)
        args = (x, np.int32(heads), np.int32(size), np.int64(total), step.pos, step.seq, step.tables)
        places = (np.int32(step.tables.shape[1]), pool, block, head, cell)
        self._kernels.store(CACHE_TYPES[type_name])(blocks_of(total), (THREADS,), (*args, *places))

    def attend(self, q: Any, pools: tuple, types: tuple[str, str], v_size: int, step: DeviceStep, how: tuple) -> Any:
        """q f32 (T, H, E) -> (T, H, Ev).

        pools  keys and values: a layer's of the cache; without one f32 (T, K, E) and (T, K, Ev)
        how    scale, window, two_sided, softcap, alibi, as Ops.attend
        Errors:  ValueError for heads larger than 256
        """
        (rows, heads, size), n_kv = q.shape, pools[0].shape[1]
        if max(size, v_size) > MOST_SIZE:
            raise ValueError(
                f"attend: found heads of {size} and {v_size} values, expected at most {MOST_SIZE} on a GPU"
            )
        chunks = self._chunks_of(step, heads // n_kv, 8 if size > 128 else 16)
        splits = self._splits(step, len(chunks) * n_kv)
        out = self._cupy.empty((rows, heads, v_size), np.float32)
        sums, states = out, NONE
        if splits > 1:
            sums = self._cupy.empty((splits, rows, heads, v_size), np.float32)
            states = self._cupy.empty((splits, rows, heads, 2), np.float32)
        sizes = (CACHE_TYPES[types[0]], CACHE_TYPES[types[1]], size, v_size)
        args = (q, *pools, *_places(pools, step), *self._step_args(step, chunks), np.int32(heads))
        options = self._options(heads, step.causal, *how)
        kernel = self._kernels.attention(*sizes, "attend")
        kernel((len(chunks), n_kv, splits), (32 * WARPS,), (*args, *options, sums, states, np.int64(rows)))
        if splits > 1:
            pairs = rows * heads
            combine = self._kernels.attention(*sizes, "combine")
            combine(blocks_of(pairs * 32), (THREADS,), (sums, states, np.int32(splits), np.int64(pairs), out))
        return out

    def _step_args(self, step: DeviceStep, chunks: Any) -> tuple:
        tables = (NONE, np.int32(0)) if step.kv is None else (step.tables, np.int32(step.tables.shape[1]))
        return *tables, chunks, step.row_start, step.kv_len, step.pos

    def _options(self, heads: int, causal: bool, scale, window, two_sided, softcap, alibi) -> tuple:
        ahead = 0 if causal else window - 1 if window is not None and two_sided else ALL_AHEAD
        slopes = NONE
        if alibi is not None:
            slopes = self._slopes.get((heads, alibi))
            if slopes is None:
                slopes = self._slopes[heads, alibi] = self._cupy.asarray(alibi_slopes(heads, alibi))
        cap = np.float32(0 if softcap is None else softcap)
        return np.float32(scale), cap, np.int32(0 if window is None else window), np.int32(ahead), slopes

    def _splits(self, step: DeviceStep, n_blocks: int) -> int:
        """Parts that contexts are cut into so that a few blocks of threads still fill the device."""
        wanted = -(-BLOCKS_WANTED * self._n_processors // n_blocks)
        return max(1, min(wanted, step.most_cells // SPLIT_CELLS, 65535))

    def _chunks_of(self, step: DeviceStep, group: int, most: int) -> Any:
        """int32 (C, 3): sequence, first query, queries, at most `most`, of every sequence; kept with the step."""
        chunks = step.chunks.get((group, most))
        if chunks is None:
            parts = []
            for n, count in enumerate(step.counts):
                first = np.arange(0, count * group, most, dtype=np.int32)
                parts.append(np.stack([np.full_like(first, n), first, np.minimum(most, count * group - first)], axis=1))
            chunks = step.chunks[group, most] = self._cupy.asarray(np.concatenate(parts))
        return chunks


def _strides(pool: Any) -> tuple:
    """Bytes from a KV block, a head, a cell to the next, of a pool (blocks, heads, BLOCK, ...)."""
    return tuple(np.int64(stride) for stride in pool.strides[:3])


def _places(pools: tuple, step: DeviceStep) -> tuple:
    """The same of keys and values; rows without a cache are read as blocks of BLOCK rows that follow each other."""
    if step.kv is not None:
        return *_strides(pools[0]), *_strides(pools[1])
    return tuple(np.int64(n) for p in pools for n in (BLOCK * p.strides[0], p.strides[1], p.strides[0]))
