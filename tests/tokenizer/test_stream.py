"""Streamed text: whole characters only, and in all what `decode` gives."""

import random

import pytest

from llamabox.tokenizer import TokenizerError, load_tokenizer

from .conftest import tiny, tokenizer

NAMES = ["ggml-vocab-llama-spm", "ggml-vocab-gpt-2", "ggml-vocab-bert-bge", "made-rwkv-world", "made-unigram"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("special", [False, True])
def test_any_ids_in_a_row(name, special):
    ours = tokenizer(name)
    rng = random.Random(name)
    for _ in range(200):
        ids = rng.choices(range(ours.n_vocab), k=rng.randrange(1, 30))
        if rng.random() < 0.5 and ours.bos is not None:
            ids[0] = ours.bos
        stream = ours.stream(special)
        text = "".join([stream.push(id) for id in ids]) + stream.flush()
        assert text == ours.decode(ids, special)


def test_only_the_control_tokens_that_are_asked_for_are_shown():
    ours = tokenizer("ggml-vocab-qwen2")
    start, end = (ours.encode(text, False, True)[0] for text in ("<|im_start|>", "<|im_end|>"))
    stream = ours.stream(shown=frozenset([start]))
    assert [stream.push(id) for id in (start, *ours.encode("a"), end)] == ["<|im_start|>", "a", ""]


def test_a_character_comes_when_it_is_whole():
    ours = tokenizer("ggml-vocab-gpt-2")
    stream = ours.stream()
    ids = ours.encode("a\U0001f680b")
    assert [ours.piece(id) for id in ids] == [b"a", b"\xf0\x9f", b"\x9a", b"\x80", b"b"]
    assert [stream.push(id) for id in ids] == ["a", "", "", "\U0001f680", "b"]
    assert stream.flush() == ""


def test_bytes_that_cannot_become_a_character_do_not_wait():
    tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    ours = load_tokenizer(tiny(tokens=tokens, types=[6] * 256, add_bos_token=False))
    stream = ours.stream()
    assert [stream.push(byte) for byte in (0xE4, 0xBD, ord("x"), 0xFF, 0xC3)] == ["", "", "\ufffdx", "\ufffd", ""]
    assert stream.flush() == "\ufffd"
    assert stream.flush() == ""


def test_a_bad_id_is_an_error_and_the_stream_goes_on():
    stream = tokenizer("ggml-vocab-gpt-2").stream()
    with pytest.raises(TokenizerError, match="token id 50257: expected 0 to 50256"):
        stream.push(50257)
    assert stream.push(15496) == "Hello"


def test_the_space_before_a_text_goes_only_after_bos():
    ours = tokenizer("ggml-vocab-llama-spm")
    ids = ours.encode("Hello world")
    assert ids[0] == ours.bos and ours.decode(ids) == "Hello world"
    assert ours.decode(ids[1:]) == " Hello world"  # what a model generates goes on after a prompt
    assert ours.decode(ids, special=True) == "<s>Hello world"
