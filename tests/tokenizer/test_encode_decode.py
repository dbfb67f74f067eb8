"""Encoding and decoding: special tokens, odd input, ids out of range, long input."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from llamabox.tokenizer import TokenizerError, load_tokenizer

from .conftest import metadata, tiny, tokenizer

ALL = ["ggml-vocab-llama-spm", "ggml-vocab-qwen2", "ggml-vocab-bert-bge", "made-unigram", "made-rwkv-world",
       "made-plamo2", "made-gemma4"]  # fmt: skip
LOSSLESS = ["ggml-vocab-llama-spm", "ggml-vocab-qwen2", "ggml-vocab-llama-bpe", "ggml-vocab-deepseek-llm",
            "ggml-vocab-starcoder", "made-rwkv-world", "made-plamo2", "made-gemma4"]  # fmt: skip
ODD = "Hi\0\x01 \t\n\r\n  e\u0301 \u4f60\u597d \U0001f469\u200d\U0001f680 1234567 \ue000 \ufffd don't"


@pytest.mark.parametrize("name", LOSSLESS)
def test_decoding_gives_the_text_back(name):
    ours = tokenizer(name)
    for text in (ODD, "", " ", "  two", "\n", "x" * 500):
        assert ours.decode(ours.encode(text)) == text


@pytest.mark.parametrize("name", ALL)
def test_nothing_and_odd_characters(name):
    ours = tokenizer(name)
    assert ours.encode("", add_special=False) == []
    assert all(0 <= id < ours.n_vocab for id in ours.encode(ODD))


@pytest.mark.parametrize("name", ALL)
def test_a_lone_surrogate_counts_as_the_replacement_character(name):
    ours = tokenizer(name)
    assert ours.encode("a\ud800b\udcffc") == ours.encode("a\ufffdb\ufffdc")


@pytest.mark.parametrize("text", [b"bytes", None, 5, ["a"]])
def test_only_strings_are_encoded(text):
    with pytest.raises(TokenizerError, match="encode: expected a string, found"):
        tokenizer("ggml-vocab-gpt-2").encode(text)


@pytest.mark.parametrize("id", [-1, 50257, 2**70, -(2**70)])
def test_ids_out_of_range(id):
    ours = tokenizer("ggml-vocab-gpt-2")
    with pytest.raises(TokenizerError, match=f"token id {id}: expected 0 to 50256"):
        ours.decode([0, id])
    with pytest.raises(TokenizerError, match="expected 0 to 50256"):
        ours.piece(id)


def test_ids_that_are_no_integers():
    ours = tokenizer("ggml-vocab-gpt-2")
    assert ours.piece(5) == b"&"
    for id in (5.0, "5", None):
        with pytest.raises(TokenizerError, match="token id: expected an integer, found"):
            ours.decode([id])
    assert ours.decode(np.array([15496, 995])) == "Hello world"


def test_special_tokens_are_text_unless_parsed():
    ours = tokenizer("ggml-vocab-qwen2")
    start, end = ours.vocab.ids["<|im_start|>"], ours.vocab.ids["<|im_end|>"]
    text = "<|im_start|>user\nHi<|im_end|>"
    parsed, plain = ours.encode(text, parse_special=True), ours.encode(text)
    assert parsed[0] == start and parsed[-1] == end
    assert start not in plain and end not in plain
    assert ours.decode(plain) == ours.decode(parsed, special=True) == text
    assert ours.decode(parsed) == "user\nHi"
    assert ours.piece(start, special=False) == b"" and ours.piece(start) == b"<|im_start|>"


def test_bos_and_eos_are_added_as_the_file_says():
    spm = metadata("ggml-vocab-llama-spm")
    plain = tokenizer("ggml-vocab-llama-spm").encode("Hi", add_special=False)
    for bos, eos in ((True, True), (True, False), (False, True), (False, False)):
        flags = {"tokenizer.ggml.add_bos_token": bos, "tokenizer.ggml.add_eos_token": eos}
        ours = load_tokenizer(spm | flags)
        assert ours.encode("Hi") == [1] * bos + plain + [2] * eos
        assert (ours.add_bos, ours.add_eos) == (bos, eos)


def test_names_of_tokens_and_flags():
    ours = tokenizer("ggml-vocab-starcoder")
    assert ours.n_vocab == 49152
    assert ours.fim == {"pre": 1, "suf": 3, "mid": 2, "pad": 4}
    assert ours.end_ids == {0, 4}
    bert = tokenizer("ggml-vocab-bert-bge")
    assert (bert.bos, bert.eos, bert.sep, bert.pad, bert.unk) == (101, None, 102, 0, 100)


def test_a_text_without_byte_tokens_says_what_is_missing():
    ours = load_tokenizer(tiny(tokens=["<unk>", "<s>", "</s>", "\u2581", "a"], types=[2, 3, 3, 1, 1]))
    assert ours.encode("a") == [1, 3, 4]
    with pytest.raises(TokenizerError, match="no token for 'b' and none for its byte <0x62>"):
        ours.encode("b")


@pytest.mark.parametrize("name", ["ggml-vocab-gpt-2", "ggml-vocab-llama-spm", "ggml-vocab-bert-bge", "made-unigram"])
@pytest.mark.parametrize("unit", ["a", " ", "\n", "7", "!", "\u4f60", "e\u0301"])
def test_time_grows_with_length_not_its_square(name, unit):
    """Eight times the text may take at most 24 times as long (a quadratic step would take 64 times)."""
    ours = tokenizer(name)
    getattr(ours, "_compiled", None)  # a BPE builds it once
    small, large = (timed(lambda n=n: ours.encode(unit * (n // len(unit)) + "x")) for n in (3_000, 24_000))
    assert large < 24 * max(small, 0.002)


def timed(action):
    best = 1e9
    for _ in range(2):
        start = time.process_time()
        action()
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("name", ["ggml-vocab-gpt-2", "ggml-vocab-llama-spm", "made-unigram"])
def test_threads_share_a_tokenizer(name, monkeypatch):
    monkeypatch.setattr("llamabox.tokenizer.words.MOST_KEPT", 50)  # so that the cache empties often
    ours = load_tokenizer(metadata(name))
    rng = random.Random(name)
    texts = [" ".join(rng.choices(["alpha", "beta", "\u4f60\u597d", "x" * 9, "7"], k=40)) + str(i) for i in range(60)]
    expected = [tokenizer(name).encode(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ours.encode, texts * 3))
    assert found == expected * 3
