"""Steps of few rows run compiled on the cpu backend, with the bits that the ops give one by one."""

import gc
import threading
import weakref

import logits
import numpy as np
import pytest

import llamabox
from llamabox.kernels import BLOCK, KVCache, Rows, Weight, make_step
from llamabox.kernels.cpu import plan as plans


@pytest.fixture
def compiled(monkeypatch):
    """How many steps ran compiled: compiled.count"""

    class Counted:
        count = 0

    run = plans.Plan.run

    def counted(self, *args):
        Counted.count += 1
        return run(self, *args)

    monkeypatch.setattr(plans.Plan, "run", counted)
    return Counted


def load(open_case, name, threads=2):
    return llamabox.load(open_case(name).path, backend="cpu", threads=threads).model


class Twins:
    """A model with two caches: one for its ops one by one, one for steps as the engine runs them."""

    def __init__(self, loaded, n_blocks=40, type_k="f16", type_v="f16"):
        self.loaded = loaded
        shapes = loaded.config.kv_shapes()
        self.caches = [loaded.ops.kv_cache(shapes, n_blocks, type_k, type_v) if shapes else None for _ in range(2)]

    def step(self, tokens, parts, adapters=()):
        """Both ways must give the same bits, in the caches too; returns the result."""
        loaded, tokens = self.loaded, np.asarray(tokens, np.int32)
        name = "forward" if self.caches[0] is not None else "hidden"
        one, two = (make_step(parts, cache, loaded.causal) for cache in self.caches)
        plain = getattr(loaded.module, name)
        expected = plain(loaded._ops(one, adapters), loaded.weights, loaded.config, tokens, one)
        found = getattr(loaded, name)(tokens, two, adapters)
        np.testing.assert_array_equal(found, expected)
        assert np.isfinite(found).all()
        if self.caches[0] is not None:
            for a, b in zip(*(cache.k + cache.v for cache in self.caches), strict=True):
                np.testing.assert_array_equal(a, b)
        return found


def decode(twins, tokens, starts, blocks=2):
    """One more token for sequences of these lengths, each with blocks of its own."""
    parts = [Rows(start, 1, range(i * blocks, i * blocks + start // BLOCK + 1)) for i, start in enumerate(starts)]
    return twins.step(tokens, parts)


@pytest.mark.parametrize("name", logits.case_names())
def test_every_architecture(open_case, name, compiled):
    loaded, random = load(open_case, name), np.random.default_rng(3)
    twins, n_vocab = Twins(loaded), loaded.config.n_vocab
    if twins.caches[0] is None:
        for rows, want in ((1, "all"), (7, "all"), (7, "first"), (7, "last")):
            for _ in range(3):
                twins.step(random.integers(0, n_vocab, rows), [Rows(0, rows, (), want)])
        assert compiled.count == 9  # which rows are wanted is not compiled, only how many
        return
    for start in range(4):
        decode(twins, random.integers(0, n_vocab, 1), [start])
    for i in range(3):
        parts = [Rows(4 + i, 1, (0,)), Rows(3 * i, 3, (1,), "all"), Rows(2 * i, 2, (2,), "none")]
        twins.step(random.integers(0, n_vocab, 6), parts)
    assert compiled.count == 3 + 2


@pytest.mark.parametrize("name", ["qwen3", "gemma3-q4-0", "llama-q4-k"])
@pytest.mark.parametrize("threads", [1, 2])
def test_ragged_batches_across_block_borders(open_case, name, threads, compiled):
    loaded, random = load(open_case, name, threads), np.random.default_rng(4)
    for rows in (1, 2, 5, 32):
        twins, starts = Twins(loaded, 2 * rows), np.arange(rows) * 7 % 30
        prompts = [random.integers(0, loaded.config.n_vocab, max(1, start)) for start in starts]
        parts = [Rows(0, len(p), (2 * i,), "none") for i, p in enumerate(prompts)]
        twins.step(np.concatenate(prompts), parts)
        starts = np.maximum(starts, 1)
        for _ in range(6):  # 28 and 29 cells grow into the second block
            decode(twins, random.integers(0, loaded.config.n_vocab, rows), starts.tolist())
            starts += 1
    assert compiled.count >= 4 * 5


@pytest.mark.parametrize("types", [("f32", "f32"), ("bf16", "f16"), ("q8_0", "q4_0"), ("q5_1", "iq4_nl")])
def test_cache_types(open_case, types, compiled):
    loaded, random = load(open_case, "llama"), np.random.default_rng(5)
    twins = Twins(loaded, 4, *types)
    for start in range(5):
        decode(twins, random.integers(0, loaded.config.n_vocab, 2), [start, start])
    assert compiled.count == 4


def test_another_cache_takes_the_place_of_the_first(open_case, compiled):
    loaded = load(open_case, "qwen3")
    for n_blocks in (2, 5, 3):
        twins = Twins(loaded, n_blocks)
        for start in range(3):
            decode(twins, [start], [start])
    assert compiled.count == 8


def test_models_side_by_side(open_case, compiled):
    twins = [Twins(load(open_case, name)) for name in ("qwen3", "qwen2", "qwen3", "llama-moe")]
    for start in range(4):
        for each in twins:
            decode(each, [start + 1], [start])
    assert compiled.count == 4 * 3


def test_a_listener_hears_and_changes_a_compiled_model(open_case, compiled):
    loaded = load(open_case, "qwen3")
    twins, heard = Twins(loaded), []
    decode(twins, [1], [0])
    before = decode(twins, [2], [1])
    loaded.ops.listener = lambda name, x: x * 0 if name == "ffn_out-0" else heard.append(name)
    changed = decode(twins, [2], [1])
    loaded.ops.listener = None
    assert "l_out-0" in heard and not np.array_equal(before, changed)
    np.testing.assert_array_equal(decode(twins, [2], [1]), before)
    assert compiled.count == 2


def test_maths_that_cannot_be_recorded_runs_op_by_op(open_case, compiled):
    loaded = load(open_case, "qwen3")
    forward = loaded.module.forward

    def strange(ops, weights, config, tokens, step):
        return np.maximum(forward(ops, weights, config, tokens, step), 0)

    cache = loaded.ops.kv_cache(loaded.config.kv_shapes(), 1, "f16", "f16")
    for start in range(3):
        step = make_step([Rows(start, 1, (0,))], cache)
        tokens = np.array([start], np.int32)
        found = loaded.ops.run(strange, loaded.weights, loaded.config, tokens, step)
        np.testing.assert_array_equal(found, strange(loaded.ops, loaded.weights, loaded.config, tokens, step))
    assert compiled.count == 0


def test_results_are_arrays_of_their_own(open_case):
    twins = Twins(load(open_case, "qwen3"))
    kept = [decode(twins, [7 * start], [start]) for start in range(4)]
    copies = [x.copy() for x in kept]
    decode(twins, [99], [4])
    for x, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(x, copy)


def test_threads_at_once(open_case, compiled):
    """Several threads run steps of the same and of other shapes on one backend, each with its own cache."""
    loaded = load(open_case, "qwen3")
    expected = {}
    for rows in (1, 3):
        twins = Twins(loaded, 2 * rows)
        expected[rows] = [decode(twins, [11 + start] * rows, [start] * rows) for start in range(4)]
    failures = []

    def work(rows):
        cache = KVCache(loaded.config.kv_shapes(), 2 * rows)
        for _ in range(15):
            for start in range(4):
                parts = [Rows(start, 1, (2 * i,)) for i in range(rows)]
                found = loaded.forward(np.full(rows, 11 + start, np.int32), make_step(parts, cache))
                if not np.array_equal(found, expected[rows][start]):
                    failures.append((rows, start))

    threads = [threading.Thread(target=work, args=(rows,)) for rows in (1, 3, 1, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and not any(thread.is_alive() for thread in threads)
    assert compiled.count >= 4 * 15 * 4


def test_plans_are_bounded_and_go_with_their_model(open_case, monkeypatch):
    monkeypatch.setattr(plans, "PLANS", 3)
    loaded = load(open_case, "qwen3")
    twins, kept = Twins(loaded), loaded.ops._plans._kept
    for rows in (1, 2, 3, 4, 5):
        for start in range(2):
            decode(twins, [start] * rows, [start] * rows)
    assert [key[3] for key in kept] == [3, 4, 5] and all(entry.plan is not None for entry in kept.values())
    plan = weakref.ref(kept[next(iter(kept))].plan)
    ops = loaded.ops
    del loaded, twins
    gc.collect()
    assert not ops._plans._kept and plan() is None


@pytest.mark.parametrize("name", ["llama", "bert", "llama-moe"])
def test_a_model_goes_at_once_though_its_backend_stays_and_that_with_its_threads(open_case, name, compiled):
    """No cycle holds them: whoever puts off Python's search for cycles waits for none of this memory."""

    def used(loaded):
        """Weak references to what was used: op by op, and compiled."""
        twins = Twins(loaded)
        for rows in (1, 2, 40):
            for _ in range(3):
                if loaded.is_encoder:
                    twins.step([5] * rows, [Rows(0, rows, (), "all")])
                else:
                    twins.step([5] * rows, [Rows(0, rows, (0, 1), "last")])
        spaces = [loaded.weights, *loaded.weights.layers]
        weights = [w for space in spaces for w in vars(space).values() if isinstance(w, Weight | np.ndarray)]
        bytes = [w.data for w in weights if isinstance(w, Weight)]
        caches = [cache for cache in twins.caches if cache is not None]
        return [weakref.ref(x) for x in (*weights, *bytes, *caches)]

    gc.collect()
    gc.disable()
    try:
        others = set(threading.enumerate())
        loaded = load(open_case, name)
        gone, ops = used(loaded), loaded.ops
        helpers = set(threading.enumerate()) - others
        del loaded
        assert compiled.count >= 4 and all(x() is None for x in gone)
        runner = weakref.ref(ops._runner)
        del ops
        assert runner() is None and len(helpers) == 1
        for thread in helpers:
            thread.join(30)
            assert not thread.is_alive()
    finally:
        gc.enable()
