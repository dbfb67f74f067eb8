"""Decode steps captured as graphs (kernels/cuda/graphs.py) give what they give when they run as usual."""

import gc

import logits
import numpy as np
import pytest
from on_backends import EMULATED, here, standin

from llamabox.kernels import Rows, make_step
from llamabox.kernels.cuda import graphs

pytestmark = pytest.mark.skipif(not EMULATED, reason="counts what the emulated grid does")


@pytest.fixture
def model(open_case):
    return lambda name="llama": load(open_case(name))


def load(case):
    with here("cupy"):
        return logits.load(case, "cupy").model


def pool(loaded, n_blocks=12):
    return loaded.ops.kv_cache(loaded.config.kv_shapes(), n_blocks, "f16", "f16")


def decode(loaded, kv, positions, tables, seed=0):
    """One step, a token for each sequence -> logits on the device."""
    rows = [Rows(pos, 1, table) for pos, table in zip(positions, tables, strict=True)]
    tokens = np.random.default_rng(seed).integers(0, loaded.config.n_vocab, len(rows)).astype(np.int32)
    return loaded.forward(tokens, make_step(rows, kv))


def launches():
    return standin.Graph.launches


@pytest.mark.parametrize("name", ["llama", "llama-moe", "gemma2", "qwen2-q8-0", "mistral3"])
def test_every_step_equals_the_same_step_without_graphs(model, name, monkeypatch):
    """Contexts grow over the border of a table's width; blocks lie in any order."""
    loaded, order = model(name), np.random.default_rng(1).permutation(24)
    tables = order[:10], order[10:20]
    monkeypatch.setattr(graphs, "LEAST_WIDTH", 2)
    steps = [((n, n + 5), n) for n in (*range(6), *range(61, 66), 130, 131, 132, 200)]

    def run():
        kv = pool(loaded, 24)
        return [
            loaded.ops.to_numpy(decode(loaded, kv, p, [t[: n // 32 + 1] for t, n in zip(tables, p, strict=True)], s))
            for p, s in steps
        ]

    before = launches()
    captured = run()
    assert launches() - before >= len(steps) - 5  # 5 widths at most, whose first step runs as usual
    monkeypatch.setattr(loaded.ops._graphs, "can_capture", False)
    before = launches()
    usual = run()
    assert launches() == before
    # a wider table cuts contexts into other parts, whose sums are rounded otherwise
    assert logits.nmse(np.stack(usual), np.stack(captured)) <= (1e-5 if "q8-0" in name else 1e-11)


def test_graphs_of_several_shapes_do_not_disturb_each_other(model):
    loaded = model()
    kv, tables = pool(loaded), [(0, 1), (2, 3), (4, 5)]
    turns = [(n, pos) for pos in range(5) for n in (1, 3, 2)]
    found = [(decode(loaded, kv, [pos] * n, tables[:n], 10 * n + pos), n, pos) for n, pos in turns]
    again = pool(loaded)
    loaded.ops._graphs.can_capture = False
    for y, n, pos in found:  # all results are still there
        expected = decode(loaded, again, [pos] * n, tables[:n], 10 * n + pos)
        np.testing.assert_array_equal(loaded.ops.to_numpy(y), loaded.ops.to_numpy(expected))


def test_memory_is_taken_once(model):
    loaded, taken = model(), []
    kv = pool(loaded)
    for pos in range(8):
        decode(loaded, kv, [pos], [(0,)], pos)
        taken.append(loaded.ops._graphs._pool.n_blocks)
    assert taken[0] == 0 < taken[1] == taken[-1]


def test_a_listener_hears_every_step(model):
    loaded, heard = model(), []
    kv = pool(loaded)
    for pos in range(3):
        decode(loaded, kv, [pos], [(0,)])
    loaded.ops.listener = lambda name, x: heard.append(name)
    before = launches()
    decode(loaded, kv, [3], [(0,)])
    assert launches() == before and "result_output" in heard


def test_graphs_go_with_their_pool_and_the_oldest_make_room(model, monkeypatch):
    loaded = model()
    kept = loaded.ops._graphs._captured
    pools = [pool(loaded, 1) for _ in range(3)]
    for kv in pools:
        decode(loaded, kv, [0], [(0,)])
    assert len(kept) == 3
    del kv
    pools.pop()
    gc.collect()
    assert len(kept) == 2
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 2)
    decode(loaded, pools[0], [1], [(0,)])
    last = pool(loaded, 1)
    decode(loaded, last, [0], [(0,)])
    assert {key[4] for key in kept} == {id(pools[0]), id(last)}


def test_nothing_is_captured_on_rocm_or_for_many_rows(model, open_case):
    with standin.installed(hip=True):
        rocm = logits.load(open_case("llama"), "cupy").model
    assert rocm.ops.device.name == "ROCm0"
    cuda, before = model(), launches()
    for loaded, count in ((rocm, 1), (cuda, graphs.MOST_ROWS + 1)):
        kv = pool(loaded)
        for turn in range(3):
            tokens = np.full(count, turn, np.int32)
            loaded.forward(tokens, make_step([Rows(turn * count, count, range(8))], kv))
    assert launches() == before
