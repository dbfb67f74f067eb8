"""Grammars and JSON schemas accept what llama.cpp's own matcher accepts; conformance/grammars.py made the answers."""

import json
from pathlib import Path

import pytest

from llamabox.grammar import accepts_gbnf, accepts_json_schema

STORED = json.loads((Path(__file__).parents[3] / "conformance" / "results" / "grammars.json").read_text("utf-8"))
DIFFERENT = {(d["kind"], d["source"]) for d in STORED["disagreements"]}
CASES = [case for case in STORED["cases"] if (case["kind"], case["source"]) not in DIFFERENT]


def accepts(kind, source, text):
    return accepts_gbnf(source, text) if kind == "gbnf" else accepts_json_schema(json.loads(source), text)


@pytest.mark.parametrize("case", [c for c in CASES if "error" not in c], ids=lambda c: c["source"][:60])
def test_texts_are_accepted_as_by_llama_cpp(case):
    found = "".join("1" if accepts(case["kind"], case["source"], text) else "0" for text in case["texts"])
    wrong = [(t, a) for t, a, b in zip(case["texts"], case["accepts"], found, strict=True) if a != b]
    assert not wrong, f"llama.cpp says otherwise of {wrong[:5]}"


@pytest.mark.parametrize("case", [c for c in CASES if "error" in c], ids=lambda c: c["source"][:60])
def test_what_llama_cpp_refuses_is_refused(case):
    with pytest.raises(ValueError):
        accepts(case["kind"], case["source"], case["texts"][0])


def test_there_are_hundreds_of_texts_of_both_answers():
    answers = "".join(case.get("accepts", "") for case in CASES)
    assert len(DIFFERENT) == 1 and answers.count("1") > 1000 and answers.count("0") > 1000
