"""Rows of logits come as far as samplers look at them, and the same tokens are chosen as from whole rows."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from engine_fakes import N_VOCAB, FakeModel, FakeTokenizer
from on_backends import here, open_torch

from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationError, GenerationRequest, SamplingParams
from llamabox.engine.fetching import fetch
from llamabox.engine.sampling import Candidates, Sampler
from llamabox.gguf import open_gguf
from llamabox.kernels import Ops, open_backend
from llamabox.models import load_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "conformance"))
import logits  # noqa: E402

GREEDY = SamplingParams(temperature=0.0)
TOP_K = SamplingParams(seed=5, top_k=40, temperature=1.5, top_p=1.0, min_p=0.0)
BOTH = SamplingParams(seed=6, top_k=30, top_p=0.95, min_p=0.02, temperature=1.2)
SEEN_WHOLE = {
    "no top_k": {"top_k": 0},
    "no samplers": {"samplers": ()},
    "another sampler first": {"samplers": ("min_p", "top_k")},
    "logit_bias": {"logit_bias": ((3, 1.0),)},
    "penalties": {"temperature": 0.0, "repeat_penalty": 1.1},
    "dry": {"dry_multiplier": 0.5},
    "top_n_sigma": {"top_n_sigma": 1.0},
    "mirostat": {"mirostat": 2},
    "dynamic temperature": {"temperature": 0.0, "dynatemp_range": 1.0, "top_k": 0},
}
SEEN_LARGEST = {
    "defaults": ({}, 40),
    "greedy": ({"temperature": 0.0}, 1),
    "greedy, typical": ({"temperature": 0.0, "typical_p": 0.5}, 40),
    "penalties of few": ({"repeat_penalty": 1.1, "samplers": ("top_k", "penalties", "temperature")}, 40),
    "xtc": ({"top_k": 7, "xtc_probability": 0.5}, 7),
}


class Picking(Ops):
    """The reference, as if its arrays were a device's. copied: bytes that came to the host"""

    picks = 64

    def __init__(self):
        super().__init__()
        self.copied = 0

    def to_numpy(self, x):
        self.copied += x.nbytes
        return super().to_numpy(x)


class TiedModel(FakeModel):
    """Many tokens are equally probable, and some impossible."""

    def __init__(self, picking):
        super().__init__()
        self.ops = Picking() if picking else Ops()

    def _logits(self, text):
        x = np.round(super()._logits(text) * 2)
        return np.where(x < -3, -np.inf, x)


def tied(seed, scale=3.0, impossible=0.1):
    r = np.random.default_rng(seed)
    x = np.round(r.standard_normal(500) * scale).astype(np.float32)
    return np.where(r.random(500) < impossible, np.float32(-np.inf), x)


def sampler(**params):
    return Sampler(SamplingParams(**params), [1, 2, 3] * 5, 500, 4096)


@pytest.mark.parametrize("params", SEEN_WHOLE.values(), ids=SEEN_WHOLE)
def test_who_looks_at_the_whole_row(params):
    assert sampler(**params).n_largest is None
    assert Sampler(SamplingParams(), [1], 500, 4096, banned=frozenset([3])).n_largest is None
    assert Sampler(SamplingParams(), [1], 500, 4096, constraint=object()).n_largest is None


@pytest.mark.parametrize("params, expected", SEEN_LARGEST.values(), ids=SEEN_LARGEST)
def test_who_looks_at_the_largest_alone(params, expected):
    assert sampler(**params).n_largest == expected


@pytest.mark.parametrize("seed", range(6))
def test_samplers_choose_the_same_from_the_largest_as_from_the_whole_row(seed):
    r, n_picked = random.Random(seed), 0
    for _ in range(40):
        names = ["top_k", "penalties", "dry", "typ_p", "top_p", "min_p", "xtc", "top_n_sigma", "temperature"]
        params = {
            "seed": r.randrange(1000),
            "samplers": ("top_k", *r.sample(names[1:], r.randrange(5))),
            "top_k": r.choice([1, 2, 40, 499, 500, 900]),
            "temperature": r.choice([0.0, 0.7, 3.0]),
            "dynatemp_range": r.choice([0.0, 0.5]),
            "top_p": r.choice([0.5, 0.95]),
            "min_p": r.choice([0.02, 0.3]),
            "typical_p": r.choice([0.6, 1.0]),
            "top_n_sigma": r.choice([-1.0, 1.0]),
            "xtc_probability": r.choice([0.0, 0.7]),
            "repeat_penalty": r.choice([1.0, 1.3]),
            "dry_multiplier": r.choice([0.0, 0.8]),
            "min_keep": r.choice([0, 3]),
        }
        whole, fewer, more = (sampler(**params) for _ in range(3))
        if whole.n_largest is None:
            continue
        n_picked += 1
        for turn in range(12):
            x = tied(turn, r.choice([0.3, 3.0, 30.0]), r.choice([0.0, 0.5, 0.99]))
            values, ids = Ops().largest(x[None], whole.n_largest + 5)
            picked = [Candidates(ids[0, :k], values[0, :k], True) for k in (whole.n_largest, 505)]
            chosen = whole.sample(Candidates(None, x))
            assert [s.sample(row) for s, row in zip((fewer, more), picked, strict=True)] == [chosen] * 2, params
            for s in (fewer, more):
                np.testing.assert_array_equal(s.left.logits, whole.left.logits)
                assert [s.left.token(i) for i in range(len(s.left))] == [*map(whole.left.token, range(len(s.left)))]
    assert n_picked > 20


def test_rows_come_as_each_wants_them():
    ops, x = Picking(), np.stack([tied(i) for i in range(5)])
    x[4, 77] = np.nan
    rows = fetch(ops, x, [40, None, 1, 65, 3])
    assert ops.copied == 2 * 500 * 4 + 3 * 40 * 8
    for row, k, whole in zip(rows, (40, None, 1, None, 3), x, strict=True):
        if k is None:
            assert row.ids is None
            np.testing.assert_array_equal(row.logits, whole)
        else:
            assert len(row) == k and row.ordered
            np.testing.assert_array_equal(row.logits, whole[row.ids])
    expected = Candidates(None, x[0]).largest(40)
    np.testing.assert_array_equal(rows[0].ids, expected.ids)
    assert rows[2].ids[0] == np.argmax(x[2])
    assert np.isnan(rows[4].logits[0])
    ops.copied = 0
    assert [len(row) for row in fetch(ops, x, [2, 2, 2, 2, 2])] == [2] * 5
    assert ops.copied == 5 * 2 * 8
    assert fetch(ops, x[:1], []) == []


def make(model, tokenizer=None, **options):
    return Engine(model, tokenizer, EngineOptions(**{"n_ctx": 1024, "n_parallel": 4, **options}))


def answers(engine, *requests, draft=lambda tokens: ()):
    """-> (tokens, probabilities) of each"""
    generations = [engine.submit(request) for request in requests]
    found = [([], []) for _ in requests]
    over = set()
    while len(over) < len(generations):
        for i, generation in enumerate(generations):
            while i not in over and (event := generation.next_event(0)) is not None:
                if isinstance(event, FinishEvent):
                    over.add(i)
                    continue
                found[i][0].extend(getattr(event, "tokens", ()))
                found[i][1].extend(event.probs)
        for sequence in engine._stepper.scheduler.running:
            if sequence.is_decoding:
                sequence.draft = tuple(draft(sequence.tokens))
        engine.step()
    return found


PROMPT = tuple(range(1, 30))
REQUESTS = [
    GenerationRequest(PROMPT, GREEDY, 15),
    GenerationRequest(PROMPT[:9], TOP_K, 15),
    GenerationRequest(PROMPT[:3], BOTH, 15),
    GenerationRequest(PROMPT[:5], TOP_K, 15, n_probs=3),
    GenerationRequest(PROMPT[:7], BOTH, 15, n_probs=3, post_sampling_probs=True),
    GenerationRequest(PROMPT[:8], GREEDY, 15, n_probs=2, prompt_logprobs=True, cache_prompt=False),
    GenerationRequest(PROMPT[:6], SamplingParams(seed=2, repeat_penalty=1.2), 15),
    GenerationRequest(PROMPT[:4], GREEDY, 0),
]


def test_answers_are_the_same_beside_each_other():
    engines = [make(TiedModel(picking), FakeTokenizer(), n_parallel=8, n_ubatch=11) for picking in (False, True)]
    plain, picked = (answers(engine, *REQUESTS) for engine in engines)
    assert picked == plain
    assert [len(tokens) for tokens, _ in plain] == [15] * 7 + [0]
    assert len(plain[5][1]) == 15 + 7


@pytest.mark.parametrize("params", [GREEDY, TOP_K, BOTH], ids=["greedy", "top_k", "top_k, top_p, min_p"])
def test_drafts_are_verified_alike(params):
    request = GenerationRequest(PROMPT, params, 20)
    ((plain, _),) = answers(make(TiedModel(False)), request)
    whole = [*PROMPT, *plain]

    def draft(tokens):
        return (*whole[len(tokens) : len(tokens) + 2], 7, 8)

    model = TiedModel(True)
    ((drafted, _),) = answers(make(model), request, draft=draft)
    assert drafted == plain
    assert [5] in model.steps, "several rows a sequence"


def test_bytes_that_come_to_the_host():
    model = TiedModel(True)
    answers(make(model), GenerationRequest(PROMPT, GREEDY, 10), GenerationRequest(PROMPT[:9], TOP_K, 10))
    assert model.ops.copied == 10 * 2 * 40 * 8, "ten steps of two rows, each the 40 largest and their ids"
    model.ops.copied = 0
    answers(make(model), GenerationRequest(PROMPT, GREEDY, 10), GenerationRequest(PROMPT, GREEDY, 10, n_probs=1))
    assert model.ops.copied == 10 * (8 + N_VOCAB * 4), "of those who ask for probabilities whole rows"


def test_a_step_of_prefill_alone_waits_for_its_device():
    model = TiedModel(True)
    engine = make(model, n_ubatch=10)
    engine.submit(GenerationRequest(PROMPT, GREEDY))
    engine.step()
    assert model.steps == [[10]]
    assert model.ops.copied == 8


@pytest.mark.parametrize("params", [GREEDY, TOP_K], ids=["greedy", "top_k"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_logit_that_is_not_finite_ends_the_request(params, value):
    model = TiedModel(True)
    tokens, usual = [], model._logits

    def damaged(text):
        x = usual(text)
        if len(text) > len(PROMPT) + 2:
            x[123] = value
        return x

    model._logits = damaged
    engine = make(model)
    generation = engine.submit(GenerationRequest(PROMPT, params))
    with pytest.raises(GenerationError, match="NaN or infinite logits, first in result_output"):
        while True:
            event = generation.next_event(0)
            tokens += () if event is None else event.tokens
            engine.step()
    assert len(tokens) == 3


@pytest.mark.parametrize("name", ["torch", "cupy"])
def test_backends_of_devices(name, tmp_path):
    """Prompts and graphs: the fifth step of a shape is launched as one."""
    if name == "torch":
        ops = open_torch()
    else:
        with here(name):
            ops = open_backend(name)
    model = load_model(open_gguf(logits.open_case("llama", tmp_path).path), ops)
    requests = [GenerationRequest((5, 6, 7), GREEDY, 6), GenerationRequest((8, 9), TOP_K, 6)]
    found = []
    for picks in (0, 1024):
        ops.picks = picks
        found.append(answers(make(model), *requests))
    assert found[0] == found[1]
