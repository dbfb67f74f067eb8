"""Every sampler against libllama's results, stored by conformance/sampling.py."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from llamabox.engine.sampling import filters
from llamabox.engine.sampling.candidates import Candidates, softmax
from llamabox.engine.sampling.dry import Dry, find_breakers
from llamabox.engine.sampling.mirostat import Mirostat
from llamabox.engine.sampling.penalties import Penalties

STORED = json.loads((Path(__file__).parents[3] / "conformance" / "results" / "sampling.json").read_text())
PIECES = [piece.encode("latin-1") for piece in STORED["vocabulary"]["pieces"]]
TINY = 1e-30


def logits(seed, n, scale):
    return (np.random.RandomState(seed).standard_normal(n) * scale).astype(np.float32)


def stage(name, p, tokens):
    """The filter of one stage, with the text before it."""
    if name == "penalties":
        return Penalties(tokens, p["last_n"], p["repeat"], p["presence"], p["frequency"]).apply
    if name == "dry":
        breakers = find_breakers(p["breakers"], PIECES, STORED["vocabulary"]["encoded"].__getitem__)
        n_prompt = len(tokens) * (sum(tokens) % 3) // 2  # none, half or all of it; the rest is answer
        dry = Dry(tokens[:n_prompt], p["multiplier"], p["base"], p["allowed_length"], p["last_n"], breakers)
        for token in tokens[n_prompt:]:
            dry.accept(token)
        return dry.apply
    if name == "xtc":
        return partial(filters.xtc, probability=1.0, rng=np.random.default_rng(0), **p)
    return partial(filters.dynamic_temperature if name == "temperature" else getattr(filters, name), **p)


def survivors(c):
    """{id: probability}, without those that f32 makes 0."""
    ids = np.arange(len(c)) if c.ids is None else c.ids
    return {int(id): float(p) for id, p in zip(ids, softmax(c.logits), strict=True) if p > TINY}


def one(case):
    return [c for c in STORED["cases"] if "rounds" not in c and (len(c["sampler"]) == 1) == case]


def check(case):
    c = Candidates(None, logits(**case["logits"]))
    for name, p in zip(case["sampler"], case["params"], strict=True):
        c = stage(name, p, case["tokens"])(c)
    ids = range(case["logits"]["n"]) if case["ids"] == "all" else case["ids"]
    wanted = {id: p for id, p in zip(ids, case["probabilities"], strict=True) if p > TINY}
    found = survivors(c)
    assert found.keys() == wanted.keys(), case
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-7), case


@pytest.mark.parametrize("case", one(True), ids=lambda c: f"{c['sampler'][0]}-{c['logits']['seed']}")
def test_each_sampler_keeps_what_llama_cpp_keeps(case):
    check(case)


@pytest.mark.parametrize("case", one(False), ids=lambda c: "-".join(c["sampler"][:3] + [str(c["logits"]["seed"])]))
def test_chains_keep_what_llama_cpp_keeps(case):
    check(case)


@pytest.mark.parametrize("case", [c for c in STORED["cases"] if "rounds" in c], ids=lambda c: c["sampler"][0])
def test_mirostat_keeps_what_llama_cpp_keeps_while_mu_moves(case):
    p = case["params"][0]
    mirostat = Mirostat(int(case["sampler"][0][-1]), p["tau"], p["eta"], 300)
    for turn in case["rounds"]:
        c = mirostat.candidates(Candidates(None, logits(**turn["logits"])))
        ids = list(range(len(c))) if c.ids is None else c.ids.tolist()
        assert sorted(ids) == sorted(turn["ids"]), (case["params"], turn)
        mirostat.observe(c, ids.index(turn["chosen"]))
