"""Stop texts: however the text is cut into pieces, the same text is shown, and none of a stop text."""

import random
from types import SimpleNamespace

import pytest

from llamabox.engine.stopping import StopMatcher, TextOutput, single_tokens


def show(text, stops, cuts):
    """Push text cut at these places -> (pieces shown, stop found)."""
    matcher, shown = StopMatcher(stops), []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        piece, stop = matcher.push(text[start:end])
        shown.append(piece)
        if stop is not None:
            return shown, stop
    return [*shown, matcher.flush()], None


def expected(text, stops):
    """The stop text that is complete first, found letter by letter."""
    for end in range(1, len(text) + 1):
        matching = [stop for stop in stops if text[:end].endswith(stop)]
        if matching:
            stop = max(matching, key=len)
            return text[: end - len(stop)], stop
    return text, None


@pytest.mark.parametrize("seed", range(20))
def test_how_the_text_is_cut_makes_no_difference(seed):
    r = random.Random(seed)
    for _ in range(300):
        text = "".join(r.choice("abé") for _ in range(r.randrange(30)))
        stops = tuple("".join(r.choice("abé") for _ in range(r.randrange(1, 6))) for _ in range(r.randrange(4)))
        cuts = sorted(r.sample(range(len(text) + 1), r.randrange(len(text) + 1)))
        shown, stop = show(text, stops, cuts)
        assert ("".join(shown), stop) == expected(text, stops), (text, stops, cuts)


def test_text_that_may_be_a_stop_is_held_back_and_released_as_soon_as_it_is_not():
    matcher = StopMatcher(("</end>",))
    assert matcher.push("a <") == ("a ", None)
    assert matcher.push("/en") == ("", None)
    assert matcher.push("t") == ("</ent", None)
    assert matcher.push("</e") == ("", None)
    assert matcher.flush() == "</e"


def test_without_stop_texts_nothing_is_held_back():
    assert StopMatcher(()).push("anything") == ("anything", None)


def output(pieces, stops=(), hidden=()):
    stream = SimpleNamespace(push=pieces.__getitem__, flush=lambda: "\ufffd")
    return TextOutput(stream, stops, frozenset(hidden))


def test_hidden_tokens_show_no_text():
    pieces = {1: "x", 9: "<eos>"}
    assert output(pieces, hidden=[9]).push(9) == ("", None)
    assert output(pieces).push(9) == ("<eos>", None)


def test_only_texts_that_are_one_token_name_one():
    tokenizer = SimpleNamespace(encode=lambda text, add_special, parse_special: [len(text)] * text.count("<"))
    assert single_tokens(tokenizer, ["<a>", "<b><c>", "plain", "<end>"]) == {3, 5}


def test_an_unfinished_character_comes_with_the_flush():
    out = output({1: "x", 2: ""}, stops=("xy",))
    assert out.push(1) == ("", None)
    assert out.push(2) == ("", None)
    assert out.flush() == ("x\ufffd", None)


def test_without_a_tokenizer_there_is_no_text():
    out = TextOutput(None, ("a",), frozenset())
    assert out.push(1) == ("", None) and out.flush() == ("", None)
