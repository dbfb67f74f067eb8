"""Two threads on one CPU backend, op by op; and what a backend keeps of weights and steps that are gone."""

import gc
import threading
import weakref

import numpy as np

from llamabox.gguf import GGMLType, Tensor, quantize
from llamabox.kernels import KVCache, KVShape, Rows, Weight, make_step, open_backend, ops_cpu

HEADS = KVShape(2, 32, 32)


def rows(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_step_is_cut_for_itself_while_another_thread_cuts_its_own(monkeypatch):
    ops, made = open_backend("cpu", 1), ops_cpu.Parts
    steps = [make_step([Rows(0, n, (), "all") for n in counts], None) for counts in ((3, 5), (5, 3))]
    q, k, v = rows(1, 8, 4, 32), rows(2, 8, 2, 32), rows(3, 8, 2, 32)
    expected = [open_backend("cpu", 1).attend(q, k, v, step, 0, scale=0.3) for step in steps]
    assert not np.array_equal(*expected)
    found, meanwhile = [], iter([threading.Thread(target=lambda: found.append(attend(1)))])

    def attend(i):
        return ops.attend(q, k, v, steps[i], 0, scale=0.3)

    def cut(runner, step, shape, how):
        if step is steps[0] and (thread := next(meanwhile, None)) is not None:
            thread.start()
            thread.join()
        return made(runner, step, shape, how)

    monkeypatch.setattr(ops_cpu, "Parts", cut)
    found = [attend(0), *found, attend(1), attend(0)]
    for i, y in zip((0, 1, 1, 0), found, strict=True):
        np.testing.assert_array_equal(y, expected[i])


def weight(ops, seed, *shape):
    return ops.weight(Tensor(f"w{seed}", GGMLType.Q8_0, shape, quantize(rows(seed, *shape), GGMLType.Q8_0)))


def test_weights_and_caches_go_though_their_backend_stays():
    ops, x = open_backend("cpu", 2), rows(1, 1, 64)
    q, k = weight(ops, 2, 96, 64), weight(ops, 3, 96, 64)
    scale, bias = rows(4, 64), rows(5, 96)
    cache = KVCache([HEADS], 2)
    step = make_step([Rows(0, 1, (1,))], cache)

    def use(q, k, bias, scale, step):
        ops.linear(x, q, bias)
        ops.linear_many(x, [q, k])
        ops.ffn_gated(x, q, k)
        ops.rms_norm(x, scale, 1e-6)
        ops.attend(rows(6, 1, 4, 32), rows(7, 1, 2, 32), rows(8, 1, 2, 32), step, 0, scale=0.3, alibi=8.0)

    use(q, k, bias, scale, step)
    named, kept = [q.data, k.data, scale, bias, cache, step], len(ops._programs)
    use(q, k, bias, scale, step)
    assert len(ops._programs) == kept, "programs are made once"
    gone = [weakref.ref(thing) for thing in named]
    del q, k, scale, bias, cache, step, named
    gc.collect()
    assert all(thing() is None for thing in gone)
    assert [key[0] for key in ops._programs] == ["attend"], "which names no weight"


def test_what_is_converted_at_each_call_leaves_nothing():
    ops, x = open_backend("cpu", 1), rows(1, 1, 64)
    q, bias, scale = weight(ops, 2, 96, 64), rows(3, 96), rows(4, 64)
    plain = Weight(q.name, q.type, q.shape, q.data)
    for i in range(20):
        y = ops.linear(x, q, (bias + i).astype(np.float64))
        np.testing.assert_array_equal(y, ops.linear(x, plain, bias + i))
        y = ops.rms_norm(x, (scale + i).astype(np.float64), 1e-6)
        np.testing.assert_array_equal(y, ops.rms_norm(x, scale + i, 1e-6))
    assert len(ops._programs) == 0


def test_the_threads_of_a_backend_end_with_it():
    def helpers():
        return {thread for thread in threading.enumerate() if thread.name.startswith("llamabox-kernels")}

    gc.disable()
    try:
        before, ops = helpers(), open_backend("cpu", 3)
        q = weight(ops, 2, 96, 64)
        ops.linear(rows(1, 2, 64), q)
        mine = helpers() - before
        assert len(mine) == 2
        del ops
        for thread in mine:
            thread.join(30)
        assert not mine & helpers()
    finally:
        gc.enable()
