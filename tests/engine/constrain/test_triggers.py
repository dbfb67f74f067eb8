"""Where a lazy grammar begins, in a text that comes in pieces of any size."""

import re

import pytest

from llamabox.engine.constrain.special_literals import with_special_tokens
from llamabox.engine.constrain.triggers import REACH, TriggerSearch


def first(pattern, pieces):
    """(number of the piece that completes the first match, its parts)"""
    search = TriggerSearch([re.compile(pattern)])
    for i, piece in enumerate(pieces):
        if found := search.push(i, piece):
            return i, found[0]
    return None


def test_a_match_inside_tokens_gives_the_rest_of_the_first_one():
    assert first("<call>", [b"abc<ca", b"ll>{", b"x"]) == (1, [(None, b"<ca"), (1, b"ll>{")])


def test_a_match_at_a_tokens_beginning_gives_the_token():
    assert first("<call>", [b"abc", b"<call>"]) == (1, [(1, b"<call>")])


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_characters_cut_into_bytes(size):
    text = "é日本語<呼>x".encode()
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    _, parts = first("<呼>", pieces)
    assert "<呼>x".encode().startswith(b"".join(piece for _, piece in parts))


def test_bytes_that_are_no_text_are_kept():
    assert first("go", [b"\xff", b"go\xff"]) == (1, [(1, b"go\xff")])


def test_long_texts_are_forgotten_and_matches_still_found():
    pieces = [b"x" * 100] * (REACH // 20) + [b"<ca", b"ll>"]
    i, parts = first("<call>", pieces)
    assert i == len(pieces) - 1 and parts == [(i - 1, b"<ca"), (i, b"ll>")]


def test_the_beginning_of_the_text_is_one_place():
    assert first("^x", [b"a"] + [b"xx" * 1000] * 20) is None
    assert first("^x", [b"x"]) == (0, [(0, b"x")])


def test_control_tokens_in_literals_are_named_by_their_ids():
    special = {"[CALL]": 5, "<|end|>": 7}
    lark = 'start: "a[CALL]b" x /"[CALL]"/ // "[CALL]"\nx: "<|end|>"\nT: "[CALL]"'
    assert with_special_tokens(lark, special) == (
        'start: ("a" <[5]> "b") x /"[CALL]"/ // "[CALL]"\nx: (<[7]>)\nT: "[CALL]"'
    )
