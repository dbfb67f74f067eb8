"""Drafts from n-grams are those of llama.cpp (conformance/results/ngram_cache.json)."""

import json
from pathlib import Path

import pytest

from llamabox.engine.speculation.lookup import Lookup
from llamabox.engine.speculation.ngram_file import read_ngrams, write_ngrams
from llamabox.engine.speculation.ngrams import FrozenBigrams, NgramTable

STORED = json.loads((Path(__file__).parents[3] / "conformance/results/ngram_cache.json").read_text())


def counted(tokens, n_min):
    table = NgramTable(n_min)
    table.count(tokens, 0)
    return table


def frozen(tokens, folder):
    """The static cache of a text, by way of a file."""
    bigrams = [(ngram, counts) for ngram, counts in counted(tokens, 2).items() if len(ngram) == 2]
    write_ngrams(folder / "static", bigrams)
    return FrozenBigrams(read_ngrams(folder / "static", 40))


@pytest.mark.parametrize("case", STORED["cases"], ids=range(len(STORED["cases"])))
def test_drafts_of_llama_cpp(case, tmp_path):
    lookup = Lookup(case["n_min"], counted(case["dynamic"], case["n_min"]), frozen(case["static"], tmp_path))
    context = counted(case["context"], case["n_min"])
    assert list(lookup.draft(case["context"], case["n_draft"], context)) == case["draft"]


def test_the_cases_use_each_cache():
    used = {"static": 0, "dynamic": 0, "context": 0}
    for case in STORED["cases"]:
        table = {name: counted(case[name] if name != "static" else [], case["n_min"]) for name in used}
        for name in ("dynamic", "context"):
            without = {**table, name: counted([], case["n_min"])}
            draft = Lookup(case["n_min"], without["dynamic"]).draft(case["context"], 16, without["context"])
            whole = Lookup(case["n_min"], table["dynamic"]).draft(case["context"], 16, table["context"])
            used[name] += draft != whole
        used["static"] += list(whole) != case["draft"]
    assert min(used.values()) >= 5, used


def test_a_draft_goes_on_from_its_own_tokens():
    text = [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1]
    assert Lookup(1, NgramTable()).draft(text, 9, counted(text, 1)) == (2, 3, 4, 5, 1, 2, 3, 4, 5)
    assert Lookup(1, NgramTable()).draft(text, 2, counted(text, 1)) == (2, 3)
    assert Lookup(1, NgramTable()).draft([1], 2, counted(text, 1)) == ()
