"""What a file must have, and one clear error where it has not."""

import time

import numpy as np
import pytest

from llamabox.tokenizer import TokenizerError, load_tokenizer

from .conftest import metadata, tiny


@pytest.mark.parametrize("model", [None, "no_vocab", "none"])
def test_no_tokenizer(model):
    keys = {} if model is None else {"tokenizer.ggml.model": model}
    with pytest.raises(TokenizerError, match="no tokenizer in this file"):
        load_tokenizer(keys)


def test_unknown_names_are_errors_that_list_the_known():
    with pytest.raises(TokenizerError, match="unknown tokenizer 'gpt9'; known: .*llama.*gpt2.*rwkv"):
        load_tokenizer(tiny(model="gpt9"))
    with pytest.raises(TokenizerError, match="unknown pre-tokenizer 'qwen99'; known: .*qwen2"):
        load_tokenizer(metadata("ggml-vocab-gpt-2") | {"tokenizer.ggml.pre": "qwen99"})


def test_the_name_of_a_pre_tokenizer_may_be_missing():
    keys = dict(metadata("ggml-vocab-gpt-2"))
    del keys["tokenizer.ggml.pre"]
    assert load_tokenizer(keys).pre == load_tokenizer(keys | {"tokenizer.ggml.pre": "default"}).pre


BAD = [
    ({"tokens": None}, "tokens: expected a list"),
    ({"tokens": []}, "tokens: expected a list"),
    ({"tokens": "abc"}, "tokens: expected an array of strings, found str"),
    ({"tokens": np.arange(3)}, "tokens: expected an array of strings, found ndarray"),
    ({"tokens": ["a", 1]}, "tokens: expected an array of strings"),
    ({"scores": np.zeros(2, np.float32)}, "scores: 2 values for 3 tokens"),
    ({"scores": ["a", "b", "c"]}, "scores: expected an array of numbers, found list"),
    ({"token_type": np.zeros(2, np.int32)}, "token_type: 2 values for 3 tokens"),
    ({"token_type": np.zeros(3, np.float32)}, "token_type: expected an array of integers, found an array of float32"),
    ({"bos_token_id": "1"}, "bos_token_id: expected a token id, found '1'"),
    ({"eos_token_id": True}, "eos_token_id: expected a token id, found True"),
    ({"add_bos_token": 1}, "add_bos_token: expected a bool, found 1"),
    ({"model": "gpt2"}, "merges: missing"),
    ({"model": "gpt2", "merges": "a b"}, "merges: expected an array of strings"),
    ({"model": "gpt2", "pre": 3, "merges": []}, "pre: expected a string, found 3"),
    ({"model": "bert"}, "a 'bert' vocabulary needs a bos token"),
    ({"model": "t5", "precompiled_charsmap": "x"}, "precompiled_charsmap: expected an array of bytes, found str"),
    ({"model": "plamo2"}, "needs a byte token <0x00>"),
    ({"model": "rwkv", "tokens": ["a", "\\xzz"]}, "expected two hexadecimal digits"),
]


@pytest.mark.parametrize("keys, message", BAD, ids=[message for _, message in BAD])
def test_bad_metadata(keys, message):
    full = tiny()
    for name, value in keys.items():
        full[f"tokenizer.ggml.{name}"] = value
    if keys.get("tokens", 0) is None:
        del full["tokenizer.ggml.tokens"]
    with pytest.raises(TokenizerError, match=message.replace("(", r"\(")):
        load_tokenizer(full)


def test_ids_beyond_the_vocabulary_fall_back_to_the_default():
    ours = load_tokenizer(tiny(bos_token_id=99, eos_token_id=0, padding_token_id=3))
    assert (ours.bos, ours.eos, ours.pad) == (1, 0, None)


def test_an_empty_token_gets_a_name():
    ours = load_tokenizer(tiny(tokens=["<unk>", "<s>", "</s>", ""]))
    assert ours.piece(3) == b"[EMPTY_3]"


def test_the_lists_of_the_caller_stay_as_they_are():
    keys = dict(metadata("made-hybriddna"))
    before = list(keys["tokenizer.ggml.tokens"])
    load_tokenizer(keys)
    assert keys["tokenizer.ggml.tokens"] == before


def test_a_large_vocabulary_is_ready_within_a_second():
    keys = metadata("ggml-vocab-qwen2")
    assert len(keys["tokenizer.ggml.tokens"]) == 151936
    start = time.process_time()
    load_tokenizer(keys).encode("Hello world, how are you?")
    assert time.process_time() - start < 1.0
