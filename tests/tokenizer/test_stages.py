"""Splitting: nothing is lost, pieces are cut where the patterns say, and the folded alphabet is Unicode 15.1's."""

import random
import re

import pytest
from tokenizers import Regex, pre_tokenizers

from llamabox.tokenizer.classes import MEMBERS, category, fold
from llamabox.tokenizer.pretokenizers import STAGES
from llamabox.tokenizer.stages import split

# Patterns of the models' own tokenizer.json files. On ASCII they cut as llama.cpp's forms of them do.
LETTERS_N3_SPACES = r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PUBLISHED = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt-4o": rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTION}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTION}?{LETTERS_N3_SPACES}",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_ascii_is_split_as_hugging_face_splits_it(name):
    published = pre_tokenizers.Split(Regex(PUBLISHED[name]), "isolated")
    rng = random.Random(name)
    for _ in range(300):
        text = "".join(rng.choices("abcXYZ'stmdlrev 1234.,!?/$\n\r\t  ", k=rng.randrange(1, 60)))
        assert split(text, STAGES[name]) == [piece for piece, _ in published.pre_tokenize_str(text)], text


@pytest.mark.parametrize("name", STAGES)
def test_the_words_are_the_text(name):
    rng = random.Random(name)
    alphabet = "aB1 \n\t.,'$e\u0301\u00a0\u4f60\u3042\uac00\u0e01\U0001f600\0\u0378<sentinel:1>"
    for _ in range(100):
        text = "".join(rng.choices(alphabet, k=rng.randrange(1, 60)))
        words = split(text, STAGES[name])
        assert "".join(words) == text
        assert all(words)


COMPLETE = [name for name, stages in STAGES.items() if len(stages) == 1 and stages[0].complete]


@pytest.mark.parametrize("name", COMPLETE)
def test_complete_patterns_leave_nothing_out(name):
    """Those stages are taken to match every character; check it for each class of character, alone and in pairs."""
    chars = [*map(chr, range(128)), *"\u00a0\u0301\u0660\u00b5\u4e00\ufa6e\u00ab\u20ac\u0378\ue000"]
    compiled = STAGES[name][0].compiled
    for text in [*chars, *(a + b for a in chars for b in chars)]:
        assert "".join(compiled.findall(fold(text))) == fold(text), text


def test_digits_in_threes_from_the_right():
    assert split("ab12345", STAGES["superbpe"]) == ["ab", "12", "345"]
    assert split("123456", STAGES["superbpe"]) == ["123", "456"]
    assert split("x1234567", STAGES["afmoe"]) == ["x", "1", "234", "567"]


def test_folding():
    assert fold("plain ASCII\0") == "plain ASCII\0"
    assert fold("\u00e9\u0660\u00ab\u0301\u20ac\u3000\u0378\u4e00") == "\xd2\xd1\xd3\xd4\xd5\x0b\xd0\xd6"
    assert [category(char) for char in "a\u0301\u0660.$ \0\u0378"] == list("LMNPSZCU")
    assert category("\U00031350") == "L"  # Unicode 15.0
    assert category("\U0002ebf0") == "L"  # Unicode 15.1
    assert category("\U000105c0") == "U"  # Unicode 16.0


@pytest.mark.parametrize("name, members", MEMBERS.items())
def test_the_ascii_members_of_a_class_are_its_characters(name, members):
    if name != r"\p{Han}":
        inside = re.findall(f"[{members}]", "".join(map(chr, range(128))))
        assert inside == [char for char in map(chr, range(128)) if category(char) == name[3]]
