"""Prompts of rerankers: which special tokens stand where, and templates."""

from types import SimpleNamespace

import pytest

from llamabox.chat.rerank import KEY, RerankPrompts


def tokenizer(add_bos=False, add_eos=False, add_sep=False, eos: int | None = 2):
    """Each character is a token; <E> is the end token where special texts count."""

    def encode(text, add_special=True, parse_special=False):
        assert not add_special
        text = text.replace("<E>", chr(2)) if parse_special else text
        return [ord(c) for c in text]

    return SimpleNamespace(encode=encode, bos=1, eos=eos, sep=3, add_bos=add_bos, add_eos=add_eos, add_sep=add_sep)


Q, D = ord("q"), ord("d")


@pytest.mark.parametrize(
    ("habits", "expected"),
    [
        ({}, [Q, D]),
        ({"add_bos": True, "add_sep": True}, [1, Q, 3, D]),  # BERT
        ({"add_bos": True, "add_eos": True}, [1, Q, 2, D, 2]),
        ({"add_bos": True, "add_eos": True, "add_sep": True}, [1, Q, 2, 3, D, 2]),  # XLM-RoBERTa
        ({"add_eos": True, "eos": None}, [Q, 3, D, 3]),
    ],
    ids=str,
)
def test_special_tokens_stand_where_the_vocabulary_adds_them(habits, expected):
    assert RerankPrompts(tokenizer(**habits), {}).ids("q", ["d", "dd"]) == [
        expected,
        expected[: expected.index(D)] + [D] + expected[expected.index(D) :],
    ]


def test_a_template_takes_the_place_of_all_that():
    prompts = RerankPrompts(tokenizer(add_bos=True), {KEY: "Q:{query}D:{document}<E>"})
    assert prompts.ids("q", ["d"]) == [[ord(c) for c in "Q:qD:d"] + [2]]


def test_places_inside_the_texts_stay_as_they_are():
    prompts = RerankPrompts(tokenizer(), {KEY: "{query}|{document}"})
    assert prompts.ids("{document}", ["{query}"]) == [[ord(c) for c in "{document}|{query}"]]
