"""Sampler: the chain, its random choices and its names. What each filter keeps: test_sampling_conformance.py."""

import random

import numpy as np
import pytest

from llamabox.engine import GenerationError, RequestError, SamplingParams
from llamabox.engine.checking import check_sampling
from llamabox.engine.request import DEFAULT_SAMPLERS
from llamabox.engine.sampling import Sampler, filters, sampler_letters, sampler_names
from llamabox.engine.sampling.candidates import Candidates, draw, order, softmax
from llamabox.engine.sampling.sampler import stages

N = 500


def logits(seed=0, scale=2.0):
    return (np.random.RandomState(seed).standard_normal(N) * scale).astype(np.float32)


def sampler(prompt=(), **params):
    return Sampler(SamplingParams(**params), prompt, N, 4096)


def many(n, **params):
    s, x = sampler(**params), logits()
    return [s.sample(Candidates(None, x)) for _ in range(n)]


def test_a_seed_repeats_the_choices_and_another_does_not():
    a, b, c = (many(50, seed=s, temperature=1.0, top_k=0) for s in (7, 7, 8))
    assert a == b != c


@pytest.mark.parametrize("seed", [None, -1])
def test_without_a_seed_choices_differ(seed):
    assert many(50, seed=seed, temperature=2.0, top_k=0) != many(50, seed=seed, temperature=2.0, top_k=0)


def test_any_integer_is_a_seed():
    assert many(5, seed=2**70 + 3) == many(5, seed=3)
    assert many(50, seed=-5, temperature=2.0, top_k=0) == many(50, seed=-5, temperature=2.0, top_k=0)


def test_tokens_are_drawn_by_their_probabilities():
    rng, n = np.random.default_rng(1), 8000
    c = Candidates(None, np.concatenate([logits(1)[:40], np.full(2000, -np.inf, np.float32), logits(2)[:40]]))
    p = softmax(c.logits)
    counts = np.bincount([draw(c, rng) for _ in range(n)], minlength=len(c))
    assert (counts[p == 0] == 0).all()
    likely = p * n > 20
    chi2 = ((counts - p * n)[likely] ** 2 / (p * n)[likely]).sum()
    assert abs(chi2 - likely.sum()) < 5 * (2 * likely.sum()) ** 0.5


class Fixed:
    """A random generator that always says the same."""

    def __init__(self, value):
        self.random = lambda: value


@pytest.mark.parametrize("size", [1, 2, 1024, 1025, 5000])
def test_the_extreme_numbers_draw_possible_tokens(size):
    x = np.full(size, -np.inf, np.float32)
    x[size // 2] = 1.0
    for value in (0.0, 0.5, np.nextafter(1, 0)):
        assert draw(Candidates(None, x), Fixed(value)) == size // 2


def test_temperature_0_takes_the_largest_and_of_equal_ones_the_first():
    x = logits()
    x[[100, 200]] = 50.0
    assert {sampler(temperature=0.0).sample(Candidates(None, x)) for _ in range(5)} == {100}
    assert sampler(temperature=0.0, top_k=0, min_p=0.0).sample(Candidates(None, x)) == 100


def test_at_temperature_0_only_samplers_that_change_the_answer_run():
    assert stages(SamplingParams(temperature=0.0)) == ["temperature"]
    assert stages(SamplingParams(temperature=0.0, repeat_penalty=1.1)) == ["penalties", "temperature"]
    assert stages(SamplingParams(temperature=0.0, typical_p=0.5)) == ["top_k", "typ_p", "temperature"]
    penalties_last = ("top_k", "penalties", "temperature", "top_p")
    assert stages(SamplingParams(temperature=0.0, repeat_penalty=1.1, samplers=penalties_last)) == [*penalties_last[:3]]
    assert stages(SamplingParams(temperature=0.0, samplers=("top_k",))) == ["top_k"], "no temperature, as in llama.cpp"
    assert stages(SamplingParams()) == ["top_k", "top_p", "min_p", "temperature"]


def test_the_order_of_samplers_is_the_requests():
    x = logits(3)
    ranked = np.argsort(-x)
    text = [int(ranked[0])]
    first = sampler(
        text, temperature=0.0, repeat_penalty=100.0, top_k=1, samplers=("penalties", "top_k", "temperature")
    )
    assert first.sample(Candidates(None, x)) == ranked[1]
    last = sampler(text, temperature=0.0, repeat_penalty=100.0, top_k=1, samplers=("top_k", "penalties", "temperature"))
    assert last.sample(Candidates(None, x)) == ranked[0]


def test_penalties_see_the_prompt_and_every_answer_so_far():
    x, s = logits(), sampler(prompt=[int(np.argmax(logits()))], temperature=0.0, repeat_penalty=1e3)
    chosen = [s.sample(Candidates(None, x)) for _ in range(30)]
    assert chosen == np.argsort(-x)[1:31].tolist()


def test_the_window_of_penalties_moves():
    x, s = logits(), sampler(temperature=0.0, repeat_penalty=1e3, repeat_last_n=2)
    a, b, c = np.argsort(-x)[:3].tolist()
    assert [s.sample(Candidates(None, x)) for _ in range(7)] == [a, b, c, a, b, c, a]


def test_bias_adds_up_and_bans():
    x = logits()
    top = int(np.argmax(x))
    assert sampler(temperature=0.0, logit_bias=((top, -np.inf),)).sample(Candidates(None, x)) != top
    assert sampler(temperature=0.0, logit_bias=((3, 60.0), (3, 60.0), (4, 100.0))).sample(Candidates(None, x)) == 3
    assert np.array_equal(x, logits()), "the caller's logits stay as they are"


def test_when_everything_is_banned_there_is_no_token():
    with pytest.raises(GenerationError, match="no token can be chosen"):
        sampler(logit_bias=tuple((i, -np.inf) for i in range(N))).sample(Candidates(None, logits()))


def test_end_tokens_can_be_banned():
    x = logits()
    top = int(np.argmax(x))
    s = Sampler(SamplingParams(temperature=0.0), (), N, 4096, banned=frozenset([top]))
    assert s.sample(Candidates(None, x)) == np.argsort(-x)[1]


@pytest.mark.parametrize(
    "params", [{"mirostat": 1}, {"mirostat": 2, "temperature": 1.5}, {"mirostat": 1, "temperature": 0}]
)
def test_mirostat_ignores_the_other_samplers(params):
    assert many(40, seed=3, **params) == many(40, seed=3, top_k=1, min_p=0.9, repeat_penalty=3.0, **params)


def test_xtc_happens_with_its_probability():
    x = np.full(N, -30, np.float32)
    x[:2] = 5.0
    s = sampler(seed=1, samplers=("xtc",), xtc_probability=0.3, xtc_threshold=0.1)
    share = np.mean([s.sample(Candidates(None, x)) == 0 for _ in range(4000)])
    assert abs(share - 0.35) < 0.03, "half of the 70% where nothing is excluded; the last of two equal ones stays"


def test_order_is_a_stable_argsort():
    x = np.float32([3, -1, 0.0, -0.0, 3, -np.inf, np.inf, 1e-40, -1e-40, -1])
    assert order(x).tolist() == np.argsort(x, kind="stable").tolist()
    x = np.round(logits(5), 1)
    assert order(x).tolist() == np.argsort(x, kind="stable").tolist()


EXTREMES = {
    "temperature": [-1e300, 0, 1e-300, 1e-30, 1, 1e30, 1e300],
    "dynatemp_range": [0, 1e-300, 0.5, 1e300],
    "dynatemp_exponent": [0, 1e-300, 1, 1e300],
    "top_k": [-(2**40), 0, 1, 2**31 - 1],
    "top_p": [0, 1e-300, 0.9999999, 1e300],
    "min_p": [0, 1e-300, 1, 1e300],
    "typical_p": [0, 1e-300, 0.9999999, 1],
    "xtc_probability": [0, 1e300],
    "xtc_threshold": [0, 1e-300, 0.5],
    "repeat_last_n": [-1, 0, 2**31 - 1],
    "repeat_penalty": [1e-6, 1, 1e6],
    "presence_penalty": [-1e6, 0, 1e6],
    "frequency_penalty": [-1e6, 0, 1e6],
    "dry_multiplier": [-1e6, 0, 1e6],
    "dry_base": [0, 1, 1e6],
    "dry_allowed_length": [0, 2**31 - 1],
    "dry_penalty_last_n": [-1, 0, 2**31 - 1],
    "mirostat": [0, 0, 0, 1, 2],
    "mirostat_tau": [0, 1e-300, 5, 1e300],
    "mirostat_eta": [0, 1e300],
    "logit_bias": [(), ((1, 1e308), (1, 1e308)), ((2, -1e308),)],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(8))
def test_extreme_parameters_give_a_token_or_one_clear_error(seed):
    r, errors = random.Random(seed), 0
    for _ in range(60):
        params = {name: r.choice(values) for name, values in EXTREMES.items() if r.random() < 0.4}
        params["samplers"] = tuple(r.sample(DEFAULT_SAMPLERS, r.randrange(len(DEFAULT_SAMPLERS) + 1)))
        params = SamplingParams(seed=r.randrange(100), **params)
        check_sampling(params, N)
        s, x = Sampler(params, [1, 2, 3] * 20, N, 4096), logits(r.randrange(5), r.choice([0.0, 1.0, 1e4]))
        x[r.randrange(N)] = -np.inf
        try:
            assert all(0 <= s.sample(Candidates(None, x)) < N for _ in range(4)), params
        except GenerationError:
            errors += 1
    assert errors < 20


def test_names_and_letters():
    assert sampler_letters("edkypmxt") == DEFAULT_SAMPLERS
    assert sampler_names(["Top-K", "topp", "nucleus", "temp", " typ", "min_p"]) == (
        "top_k",
        "top_p",
        "top_p",
        "temperature",
        "typ_p",
        "min_p",
    )
    for bad in ("q", "edkypmxtz"):
        with pytest.raises(RequestError, match=f"the letter {bad[-1]!r}"):
            sampler_letters(bad)
    for name in ("tfs_z", "", None, 3):
        with pytest.raises(RequestError, match="samplers: found"):
            sampler_names(["top_k", name])


@pytest.mark.parametrize("name, p", [("top_p", 0.5), ("top_p", 0.999), ("typ_p", 0.3), ("typ_p", 0.99)])
@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_sorting_only_a_part_changes_nothing(monkeypatch, name, p, scale):
    x = (np.random.RandomState(4).standard_normal(5000) * scale).astype(np.float32)
    kept = []
    for head in (2, 100, 10**6):
        monkeypatch.setattr(filters, "HEADS", (head, 4 * head))
        kept.append(sorted(getattr(filters, name)(Candidates(None, x), p).ids.tolist()))
    assert 0 < len(kept[0]) < 5000
    assert kept[0] == kept[1] == kept[2]


@pytest.mark.parametrize("n", [1, 63, 5000, 40_000])
@pytest.mark.parametrize("kind", ["normal", "ties", "one in a thousand possible", "rising"])
@pytest.mark.parametrize("k", [1, 40, 3000])
def test_the_largest_are_those_of_a_stable_sort(n, kind, k):
    rng = np.random.RandomState(n)
    x = {
        "normal": lambda: rng.standard_normal(n),
        "ties": lambda: rng.randint(0, 5, n),
        "one in a thousand possible": lambda: np.where(rng.rand(n) < 1e-3, rng.standard_normal(n), -np.inf),
        "rising": lambda: np.arange(n),
    }[kind]().astype(np.float32)
    found = Candidates(None, x).largest(min(k, n))
    expected = np.argsort(-x, kind="stable")[: min(k, n)]
    assert found.ids.tolist() == expected.tolist() and found.ordered
