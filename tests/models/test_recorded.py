"""Every architecture records with nothing but the op vocabulary, and its graphs replay to the same bits."""

import logits
import numpy as np
import pytest
from on_backends import PRESENT

from llamabox.kernels import BLOCK, Rows, make_step
from llamabox.kernels.graph import STEP, record, replay, values_in

LENGTHS = (40, 3, 17)


class OnlyName:
    """In place of a backend: recording computes nothing, so it asks for nothing else."""

    def __init__(self, name):
        self.name = name


def kind(name):
    with np.load(logits.ARCHS / "expected" / f"{name}.npz") as stored:
        return str(stored["kind"])


DECODERS = [name for name in logits.case_names() if kind(name) == "decoder"]


def random_tokens(config, count, seed=0):
    return np.random.default_rng(seed).integers(0, config.n_vocab, count).astype(np.int32)


def equal(graph, loaded, run, tokens, steps):
    """Replays on a copy of what the pass reads and writes; both must end with the same bits, in the cache too."""
    for_run, for_replay = steps
    expected = loaded.ops.to_numpy(run(loaded.ops, loaded.weights, loaded.config, tokens, for_run))
    found = loaded.ops.to_numpy(replay(graph, loaded.ops, tokens, for_replay))
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(expected).all()
    if for_run.kv is not None:
        for a, b in zip(for_run.kv.k + for_run.kv.v, for_replay.kv.k + for_replay.kv.v, strict=True):
            np.testing.assert_array_equal(loaded.ops.to_numpy(a), loaded.ops.to_numpy(b))
    return expected


def caches(loaded, n_blocks):
    return [loaded.ops.kv_cache(loaded.config.kv_shapes(), n_blocks, "f16", "f16") for _ in range(2)]


def tables(lengths, order):
    """Block tables of sequences of these lengths, which take their blocks in some order."""
    counts = [-(-length // BLOCK) for length in lengths]
    ends = np.cumsum(counts)
    return [order[end - count : end] for end, count in zip(ends, counts, strict=True)]


@pytest.mark.parametrize("backend", PRESENT)
@pytest.mark.parametrize("name", DECODERS)
def test_prefill_and_decode(open_case, name, backend):
    loaded = logits.load(open_case(name), backend).model
    forward, weights, config = loaded.module.forward, loaded.weights, loaded.config
    pools, order = caches(loaded, 8), np.array([5, 1, 7, 0, 2, 6])

    def steps(starts, counts, want, order):
        places = tables([s + c for s, c in zip(starts, counts, strict=True)], order)
        parts = [Rows(s, c, p, w) for s, c, p, w in zip(starts, counts, places, want, strict=True)]
        return [make_step(parts, pool) for pool in pools]

    ragged = steps((0, 0, 0), LENGTHS, ("last", "all", "none"), order)
    tokens = random_tokens(config, sum(LENGTHS))
    prefill = record(OnlyName(backend), forward, weights, config, tokens, ragged[0])
    first = equal(prefill, loaded, forward, tokens, ragged)

    decode = steps(LENGTHS, (1, 1, 1), ("last",) * 3, order)
    one = record(loaded.ops, forward, weights, config, tokens[:3], decode[0])
    equal(one, loaded, forward, tokens[:3], decode)
    later = steps((41, 4, 18), (1, 1, 1), ("last",) * 3, order)  # the same graph at other tokens and positions
    equal(one, loaded, forward, tokens[3:6], later)

    elsewhere = steps((0, 0, 0), (15, 30, 15), ("last", "all", "none"), order[::-1])
    other = random_tokens(config, 60, seed=1)
    with pytest.raises(ValueError, match="step.out_rows has shape"):
        replay(prefill, loaded.ops, other, elsewhere[1])
    elsewhere = steps((0, 0, 0), (54, 3, 3), ("last", "all", "none"), np.array([2, 3, 4, 6]))
    assert not np.array_equal(equal(prefill, loaded, forward, other, elsewhere), first)


@pytest.mark.parametrize("backend", PRESENT)
@pytest.mark.parametrize("name", logits.case_names())
def test_hidden_states_without_a_cache(open_case, name, backend):
    loaded = logits.load(open_case(name), backend).model
    tokens = random_tokens(loaded.config, sum(LENGTHS))
    hidden = loaded.module.hidden
    for want in ("all", "first", "last"):
        step = make_step([Rows(0, n, (), want) for n in LENGTHS], None, causal=loaded.causal)
        graph = record(loaded.ops, hidden, loaded.weights, loaded.config, tokens, step)
        equal(graph, loaded, hidden, tokens, [step, step])
    other = make_step([Rows(0, n, (), "last") for n in (2, 50, 8)], None, causal=loaded.causal)
    equal(graph, loaded, hidden, random_tokens(loaded.config, 60, seed=2), [other, other])


@pytest.mark.parametrize("name", logits.case_names())
def test_a_graph_is_whole_and_named(open_case, name):
    """Each value is made before it is used; the names are those that a listener hears."""
    loaded = logits.load(open_case(name), "numpy").model
    tokens = random_tokens(loaded.config, 20)
    step = make_step([Rows(0, 20, (), "last")], None, causal=loaded.causal)
    run = loaded.module.hidden if loaded.is_encoder else loaded.module.forward
    graph = record(loaded.ops, run, loaded.weights, loaded.config, tokens, step)
    assert list(graph.inputs) == ["tokens", "step.pos", "step.out_rows"]
    known = {value.id for value in graph.inputs.values()}
    for node in graph.nodes:
        assert {value.id for value in values_in(node.args)} <= known
        assert not known & {value.id for value in node.results}
        known |= {value.id for value in node.results}
    assert {value.id for value in graph.outputs} <= known
    assert sum(STEP in node.args for node in graph.nodes if node.op == "attend") == loaded.config.n_layer
    heard = []
    for play in (lambda: run(loaded.ops, loaded.weights, loaded.config, tokens, step),
                 lambda: replay(graph, loaded.ops, tokens, step)):  # fmt: skip
        heard.append({})
        loaded.ops.listener = lambda name, x: heard[-1].__setitem__(name, np.array(x))
        play()
    loaded.ops.listener = None
    assert set(heard[0]) == set(heard[1]) == set(graph.names)
    for name, x in heard[0].items():
        np.testing.assert_array_equal(heard[1][name], x)
        assert (graph.names[name].shape, graph.names[name].dtype) == (x.shape, x.dtype)


def test_replay_keeps_nothing_that_is_not_needed(open_case):
    loaded = logits.load(open_case("qwen3"), "numpy").model
    step = make_step([Rows(0, 5, (), "last")], None)
    graph = record(loaded.ops, loaded.module.forward, loaded.weights, loaded.config, np.arange(5), step)
    dropped = [id for ids in graph.last_uses for id in ids]
    everything = {v.id for node in graph.nodes for v in node.results} | {v.id for v in graph.inputs.values()}
    assert len(dropped) == len(set(dropped))
    assert set(dropped) == everything - {value.id for value in graph.outputs}


def test_a_graph_of_another_backends_weights_is_refused(open_case):
    class Elsewhere:
        name = "elsewhere"

    loaded = logits.load(open_case("qwen3"), "numpy").model
    step = make_step([Rows(0, 5, (), "last")], None)
    graph = record(Elsewhere(), loaded.module.forward, loaded.weights, loaded.config, np.arange(5), step)
    with pytest.raises(ValueError, match="found ops of numpy, expected elsewhere"):
        replay(graph, loaded.ops, np.arange(5), step)
