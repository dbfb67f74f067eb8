"""The compiled rules of SentencePiece: against sentencepiece's own results, and damaged."""

import random
import struct

import pytest

from llamabox.tokenizer import TokenizerError
from llamabox.tokenizer.charsmap import NAME, Charsmap
from llamabox.tokenizer.rewriter import Rewriter

from .conftest import metadata


def blob():
    return metadata("made-unigram")[NAME].tobytes()


# The rules in this file are sentencepiece's nmt_nfkc. Expected: sentencepiece 0.2.3,
# SentencePieceNormalizer(rule_name="nmt_nfkc", add_dummy_prefix=False, escape_whitespaces=False,
# remove_extra_whitespaces=False).normalize(text)
CASES = [
    ("plain text", "plain text"),
    ("\uff21\uff42\uff11", "Ab1"),
    ("e\u0301", "\u00e9"),
    ("\ufb01x", "fix"),
    ("\u2460", "1"),
    ("\u1100\u1161\u11a8", "\uac01"),
    ("a\u200bb", "a b"),
    ("\u3000", " "),
    ("a\tb", "a b"),
    ("\u0007", ""),
    ("e\u0301e\u0301e", "\u00e9\u00e9e"),
]


@pytest.mark.parametrize("text, expected", CASES)
def test_rules(text, expected):
    assert Rewriter(Charsmap(blob()), []).rewrite(text) == expected


def test_beginnings_of_kept_texts_are_not_normalised():
    rewriter = Rewriter(Charsmap(blob()), ["\uff21\uff22"])
    assert rewriter.rewrite("\uff21\uff23") == "\uff21C"
    assert rewriter.rewrite("\uff21\uff22\uff22") == "\uff21\uff22B"


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\0", b"\x04\0\0\0", struct.pack("<I", 4) + b"\0" * 4, struct.pack("<I", 3) + b"\0" * 40,
             struct.pack("<I", 2**32 - 4) + b"\0" * 40]
)  # fmt: skip
def test_bad_sizes(data):
    with pytest.raises(TokenizerError, match="precompiled_charsmap"):
        Charsmap(data)


def test_damage_gives_text_or_one_error():
    whole = blob()
    rng = random.Random(9)
    text = "".join(text for text, _ in CASES)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(200):
            data[rng.randrange(4, len(data))] = rng.randrange(256)
        try:
            assert isinstance(Rewriter(Charsmap(bytes(data)), []).rewrite(text), str)
        except TokenizerError as error:
            assert "precompiled_charsmap" in str(error)
