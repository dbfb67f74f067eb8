"""The CPU backend's attention beyond one span of cells: the same bits whatever the batch, the threads and the tasks."""

import numpy as np
import pytest
from op_cases import nmse
from test_attend import BOUND, Sequence, expected_rows, run_in_chunks, sequence

from llamabox.kernels import BLOCK, KVCache, KVShape, Rows, make_step, open_backend
from llamabox.kernels.cpu import attending
from llamabox.kernels.cpu.attending import FEW_ROWS, How, Parts, Range, Shape
from llamabox.kernels.cpu.attention_layout import SPAN
from llamabox.kernels.cpu.runner import Runner
from llamabox.kernels.placement import Threads

LONG = 2 * SPAN + 70
HOW = [{}, {"window": 40}, {"window": SPAN + 30}, {"softcap": 4.0}, {"alibi": 8.0}]


def in_chunks(s: Sequence, chunks: tuple, threads: int, type_name: str = "f16", **how) -> np.ndarray:
    heads = s.k.shape[1]
    kv = KVCache([KVShape(heads, s.k.shape[2], s.v.shape[2])] * 2, 48, type_name, type_name)
    return run_in_chunks(open_backend("cpu", threads), [Sequence(s.q, s.k, s.v, chunks)], kv, scale=0.3, **how)[0]


@pytest.mark.parametrize("heads", [(7, 1, 32, 32), (4, 4, 64, 48), (6, 2, 20, 72), (32, 16, 16, 16)], ids=str)
@pytest.mark.parametrize("how", HOW, ids=str)
def test_spans_against_the_definition(heads, how):
    s = sequence(1, (LONG - 3, 1, 2), *heads)
    found = in_chunks(s, s.chunks, 2, **how)
    expected = expected_rows(s, "f16", 0.3, how.get("window"), how.get("softcap"), True, alibi=how.get("alibi"))
    assert nmse(expected, found) <= BOUND


@pytest.mark.parametrize("heads", [(7, 1, 32, 32), (3, 3, 64, 48), (6, 2, 20, 72)], ids=str)
@pytest.mark.parametrize("how", HOW, ids=str)
def test_decode_gives_the_bits_of_prefill(heads, how):
    s = sequence(2, (LONG,), *heads)
    whole = in_chunks(s, (LONG,), 1, **how)
    tail = (LONG - 2 * FEW_ROWS - 9, *[1] * (FEW_ROWS + 7), 2, FEW_ROWS)  # rows whose cells are split among tasks
    for threads in (1, 2, 5):
        np.testing.assert_array_equal(in_chunks(s, tail, threads, **how), whole)


@pytest.mark.parametrize("type_name", ["f32", "bf16", "q8_0", "q4_1", "iq4_nl"])
def test_decode_gives_the_bits_of_prefill_with_every_kind_of_cache(type_name):
    s = sequence(3, (LONG,), 4, 2, 64, 32)
    np.testing.assert_array_equal(in_chunks(s, (LONG - 3, 1, 2), 2, type_name), in_chunks(s, (LONG,), 1, type_name))


def test_sequences_that_decode_together_give_the_bits_of_each_alone():
    lengths = (LONG, 3, SPAN, SPAN + 1, 2 * SPAN, 40)
    sequences = [sequence(10 * i, (n, 1, 1), 8, 4, 32, 32) for i, n in enumerate(lengths)]
    ops = open_backend("cpu", 2)

    def results(some):
        return run_in_chunks(ops, some, KVCache([KVShape(4, 32, 32)] * 2, 60), scale=0.3)

    for s, y in zip(sequences, results(sequences), strict=True):
        np.testing.assert_array_equal(results([s])[0], y)


@pytest.mark.parametrize("two_sided", [False, True])
def test_rows_without_a_cache_that_see_several_spans(two_sided):
    sequences = [sequence(i, (n,), 4, 2, 24, 40) for i, n in enumerate((LONG, 5, SPAN))]
    step = make_step([Rows(0, len(s.q)) for s in sequences], None, causal=False)
    q, k, v = (np.concatenate([getattr(s, name) for s in sequences]) for name in "qkv")
    how = {"window": SPAN + 20, "two_sided": True} if two_sided else {}
    y = open_backend("cpu", 2).attend(q, k, v, step, 0, scale=0.2, **how)
    for s, found in zip(sequences, np.split(y, np.cumsum([LONG, 5])), strict=True):
        expected = expected_rows(s, "f32", 0.2, how.get("window"), None, False, two_sided)
        assert nmse(expected, found) <= BOUND


def test_nan_beyond_a_row_and_beyond_the_end_is_not_read():
    s = sequence(5, (LONG,), 4, 2, 16, 16)
    s.k[SPAN + 9], s.v[SPAN + 9] = np.nan, np.nan
    seen = np.isnan(in_chunks(s, (LONG - 1, 1), 2)).any(axis=(1, 2))
    np.testing.assert_array_equal(seen, np.arange(LONG) >= SPAN + 9)


def test_what_was_in_scratch_is_not_read():
    ops, spoilt = open_backend("cpu", 1), np.full((BLOCK, 2, 64), np.nan, np.float32)
    ops.attend(spoilt, spoilt, spoilt, make_step([Rows(0, BLOCK)], None), 0, scale=1.0)
    s = sequence(6, (BLOCK + 5,), 4, 2, 20, 10)
    found = run_in_chunks(ops, [s], KVCache([KVShape(2, 20, 10)] * 2, 2), scale=0.3)[0]
    assert nmse(expected_rows(s, "f16", 0.3, None, None, causal=True), found) <= BOUND


def tasks_of(counts, starts, shape, threads, window=None) -> np.ndarray:
    """Of every task: first row, rows, first cell, the cell after the last, first key head, key heads."""
    kv = KVCache([KVShape(shape.heads_kv, shape.k_dim, shape.v_dim)], 1)
    rows = [Rows(b, n, range(-(-(b + n) // BLOCK))) for n, b in zip(counts, starts, strict=True)]
    parts, found = Parts(Runner(Threads(threads)), make_step(rows, kv), shape, How(1.0, window)), []
    for r in (Range(*row[: len(Range._fields)]) for row in parts.table[1:].tolist()):
        assert r.task == len(found)
        for part in range(r.parts):
            begin = r.begin + part * SPAN
            end = r.end if r.parts == 1 else min(r.end, begin + SPAN)
            heads = range(0, shape.heads_kv, r.heads)
            found += [(r.row, r.rows, begin, end, h, min(r.heads, shape.heads_kv - h)) for h in heads]
    assert parts.tasks == len(found)
    return np.array(found)


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("window", [None, 300])
def test_tasks_cover_every_row_cell_and_head_once(threads, window):
    counts, starts, shape = (1, 200, 3, 1), (5 * SPAN, 100, 2 * SPAN - 2, 0), Shape(21, 3, 64, 64)
    seen = np.zeros((sum(counts), 6 * SPAN, shape.heads_kv), int)
    for row, rows, begin, end, head, heads in tasks_of(counts, starts, shape, threads, window):
        seen[row : row + rows, begin:end, head : head + heads] += 1
    row = 0
    for n, start in zip(counts, starts, strict=True):
        for pos in range(start, start + n):
            first = 0 if window is None else max(0, pos - window + 1)
            assert (seen[row, first : pos + 1] == 1).all()
            row += 1
    assert seen.max() == 1


def test_a_long_sequence_keeps_all_threads_busy():
    tasks = tasks_of((1,), (32 * SPAN - 1,), Shape(14, 2, 64, 64), 4)
    work = tasks[:, 5] * (tasks[:, 3] - tasks[:, 2])
    assert len(tasks) >= 32
    assert work.max() * 32 <= work.sum()


def test_f16_gives_the_same_bits_as_it_is_and_unpacked(monkeypatch):
    s = sequence(7, (LONG - 4, 1, 3), 4, 2, 64, 32)
    expected = in_chunks(s, s.chunks, 2)
    addresses = attending._tile_addresses
    monkeypatch.setattr(attending, "_tile_addresses", lambda shape, types, cached: addresses(shape, types, False))
    np.testing.assert_array_equal(in_chunks(s, s.chunks, 2), expected)
