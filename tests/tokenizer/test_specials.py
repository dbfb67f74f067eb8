"""Cutting special tokens out of text, and finding which tokens are special."""

import pytest

from llamabox.tokenizer import load_tokenizer
from llamabox.tokenizer.partition import Special, partition

from .conftest import metadata, tiny, tokenizer


def special(text, id, strip_left=False, strip_right=False):
    return Special(text, id, True, strip_left, strip_right)


@pytest.mark.parametrize(
    "text, parts",
    [
        ("", []),
        ("plain", ["plain"]),
        ("<a>", [1]),
        ("<a><a>x<a>", [1, 1, "x", 1]),
        ("x<b>y", ["x", 2, "y"]),
        ("x  <l>  y", ["x", 3, "  y"]),
        ("x  <r> \n y<r>", ["x  ", 4, "y", 4]),
        (" <l> ", [3, " "]),
        ("<l><r>  <l>", [3, 4, 3]),
    ],
)
def test_partition(text, parts):
    specials = [special("<a>", 1), special("<b>", 2), special("<l>", 3, True), special("<r>", 4, False, True)]
    assert partition(text, specials) == parts


def test_the_first_special_wins_wherever_it_is():
    longest_first = [special("cdefg", 1), special("abcd", 2)]
    assert partition("abcdefg", longest_first) == ["ab", 1]
    assert partition("abcdabcdefg", longest_first) == [2, "ab", 1]


def test_phi_3_swallows_space_after_its_tokens():
    ours = tokenizer("ggml-vocab-phi-3")
    ids = ours.encode("<|user|>  \n Hi", add_special=False, parse_special=True)
    assert ids[0] == ours.vocab.ids["<|user|>"]
    assert ours.decode(ids[1:]) == " Hi"
    kept = ours.encode("<s>  Hi", add_special=False, parse_special=True)
    assert ours.decode(kept[1:]) == "   Hi"


TOKENS = ["<unk>", "<s>", "</s>", "a"]


def ends_of(*texts, types=None):
    tokens = [*TOKENS, *texts]
    ours = load_tokenizer(tiny(tokens=tokens, types=[2, 3, 3, 1] + (types or [3] * len(texts))))
    return ours, {tokens[id] for id in ours.end_ids}


def test_end_tokens_by_their_text():
    ours, ends = ends_of("<|im_end|>", "<|endoftext|>", "<|file_sep|>", "<|im_start|>")
    assert ends == {"</s>", "<|im_end|>", "<|endoftext|>", "<|file_sep|>"}
    assert ours.eot == 4 and ours.fim == {"sep": 6}


def test_an_end_token_of_the_wrong_type_is_made_a_control_token():
    ours, ends = ends_of("<|im_end|>", types=[1])
    assert "<|im_end|>" in ends
    assert ours.piece(4, special=False) == b""


def test_gpt_oss_ends_a_turn_by_return_and_call_but_not_by_end():
    ours, ends = ends_of("<|return|>", "<|call|>", "<|end|>", "<|channel|>")
    assert ends == {"</s>", "<|return|>", "<|call|>"}
    assert ours.piece(7, special=False) == b"<|channel|>"


def test_ids_in_the_file_come_before_texts():
    ours = load_tokenizer(tiny(tokens=[*TOKENS, "<|im_end|>"], eot_token_id=3))
    assert ours.eot == 3
    assert ours.end_ids == {2, 3, 4}


def test_flags_that_belong_to_a_pre_tokenizer():
    base = metadata("ggml-vocab-gpt-2")
    assert load_tokenizer(base | {"tokenizer.ggml.pre": "llama-bpe"}).add_bos
    assert not load_tokenizer(base).add_bos
    assert load_tokenizer(base | {"tokenizer.ggml.pre": "roberta-bpe"}).add_sep
