"""The three mergers give the same parts: minimum, heap, compiled."""

import random

import pytest

from llamabox.tokenizer.compiled import compile_merges
from llamabox.tokenizer.merging import merge_long, merge_short

from .conftest import metadata, tokenizer


def merge_plainly(parts, ranks, joint):
    """The definition: join the pair of the lowest rank, the leftmost of equals, until none has one."""
    parts = list(parts)
    while True:
        pairs = [(ranks[a + joint + b], at) for at, (a, b) in enumerate(zip(parts, parts[1:], strict=False))
                 if a + joint + b in ranks]  # fmt: skip
        if not pairs:
            return parts
        _, at = min(pairs)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


@pytest.mark.parametrize("joint", ["", " "])
def test_short_and_long_are_the_definition(joint):
    rng = random.Random(3)
    for _ in range(300):
        texts = ["".join(rng.choices("abc", k=rng.randrange(1, 4))) for _ in range(30)]
        ranks = {rng.choice(texts) + joint + rng.choice(texts): rng.randrange(12) for _ in range(40)}  # ranks repeat
        parts = rng.choices("abcd", k=rng.randrange(1, 40))
        expected = merge_plainly(parts, ranks, joint)
        assert merge_short(parts, ranks, joint) == expected
        assert merge_long(parts, ranks, joint) == expected


def test_compiled_is_the_definition():
    ours = tokenizer("ggml-vocab-gpt-2")
    compiled = compile_merges(ours.vocab, ours._merges)
    rng = random.Random(4)
    ids = ours.vocab.ids
    for _ in range(200):
        tokens = rng.choices(ours.vocab.texts[:-1], k=rng.randrange(1, 8))
        word = "".join(tokens).replace(" ", "")
        expected = [ids[part] for part in merge_short(list(word), ours._ranks, " ")]
        assert list(compiled.pieces(word)) == [(word, expected)]


def test_compiled_takes_a_word_apart_at_unknown_characters():
    ours = tokenizer("ggml-vocab-gpt-2")
    pieces = list(compile_merges(ours.vocab, ours._merges).pieces("the\u4e2d\u6587the"))
    assert pieces == [("the", [1169]), ("\u4e2d\u6587", None), ("the", [1169])]  # 1169 is "the" in GPT-2


def test_compiled_refuses_merges_that_name_no_token():
    vocab = tokenizer("ggml-vocab-gpt-2").vocab
    merges = metadata("ggml-vocab-gpt-2")["tokenizer.ggml.merges"][:50]
    assert compile_merges(vocab, merges) is not None
    assert compile_merges(vocab, [*merges, "zqj zqk"]) is None
    assert compile_merges(vocab, [*merges, "th e r"]) is None
    assert compile_merges(vocab, [*merges, "the"]) is None
