"""Ids against llama.cpp: its published cases, and the random texts that conformance/tokenization.py stored."""

import gzip
import json

import pytest

from llamabox.tokenizer import detokenize, load_tokenizer
from llamabox.tokenizer.pretokenizers import PRE_TOKENIZERS

from .conftest import VOCABS, metadata, tokenizer

RESULTS = VOCABS.parent / "results"
SAMPLE = json.loads(gzip.decompress((RESULTS / "tokenizer_ids.json.gz").read_bytes()))


@pytest.mark.parametrize("path", sorted(VOCABS.glob("*.inp")), ids=lambda path: path.name)
def test_published_cases(path):
    texts = path.read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    lines = path.with_suffix(".out").read_text().splitlines()
    ours = tokenizer(path.name.removesuffix(".gguf.inp"))
    assert len(lines) == 46
    for text, line in zip(texts, lines, strict=False):  # a separator ends the file
        assert ours.encode(text, add_special=False) == [int(id) for id in line.split()], text


@pytest.mark.parametrize("name", SAMPLE["vocabs"])
def test_random_texts(name):
    check_cases(tokenizer(name.removesuffix(".gguf")), SAMPLE["vocabs"][name])


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_every_pre_tokenizer_name(name):
    stored = SAMPLE["pre"][name]
    base = metadata(SAMPLE["pre_vocab"].removesuffix(".gguf"))
    check_cases(load_tokenizer(base | stored["overrides"]), stored["cases"])


def check_cases(ours, cases):
    assert len(cases) >= 25
    for text, add_special, parse_special, ids, remove_special, unparse_special, back in cases:
        assert ours.encode(text, add_special, parse_special) == ids, (text, add_special, parse_special)
        assert detokenize(ours, ids, remove_special, unparse_special) == back, (ids, remove_special, unparse_special)


def test_the_stored_comparison_found_no_difference():
    results = json.loads((RESULTS / "tokenizers.json").read_text())
    assert set(results["pre_tokenizers"]) == set(PRE_TOKENIZERS)
    assert set(results["vocabularies"]) == {path.stem for path in VOCABS.glob("*.gguf")}
    for rows, least in ((results["vocabularies"], 2000), (results["pre_tokenizers"], 1000)):
        for name, row in rows.items():
            assert row["texts"] >= least, name
            assert not any(value for key, value in row.items() if key.endswith("that_differ")), name
