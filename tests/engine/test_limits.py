"""Limits by the lines of an answer, however it is cut into pieces."""

import pytest
from engine_fakes import FakeModel, FakeTokenizer

from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationRequest, RequestError, SamplingParams
from llamabox.engine.limits import LineLimits


def run(limits, pieces):
    text = ""
    for i, piece in enumerate(pieces):
        shown, over = limits.push(piece, 10.0 * i)
        text += shown
        if over:
            return text, i
    return text, None


BODY = "x = 1\n    y = 2\n\tz\n  end\n"


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("n_indent", "shown"),
    [(0, BODY), (1, "x = 1\n    y = 2\n\tz\n  end\n"), (2, "x = 1\n    y = 2\n\t"), (4, "x = 1\n    y = 2\n\t")],
)
def test_a_line_with_less_indentation_ends_the_answer_before_it(cut, n_indent, shown):
    pieces = [BODY[i : i + cut] for i in range(0, len(BODY), cut)]
    text, at = run(LineLimits(n_indent, 0), pieces)
    assert text == shown and (at is None) == (shown == BODY)


def test_an_empty_line_has_no_indentation():
    assert run(LineLimits(1, 0), ["a\n b\n", "\n c"]) == ("a\n b\n", 1)


def test_time_runs_out_at_the_next_new_line_only():
    pieces = ["a", "\n", "b", "c", "d\n", "e\n"]
    assert run(LineLimits(0, 25), pieces) == ("a\nbcd\n", 4)
    assert run(LineLimits(0, 45), pieces) == ("a\nbcd\ne\n", 5)
    for off in (0, -1, 1000):
        assert run(LineLimits(0, off), pieces) == ("a\nbcd\ne\n", None)


class Lines(FakeTokenizer):
    """Every third token is a line break."""

    def stream(self, special=False, shown=frozenset()):
        stream = super().stream(special, shown)
        letters = stream.push
        stream.push = lambda id: letters(id) if id % 3 else "\n"
        return stream


def answer(**fields):
    engine = Engine(FakeModel(), Lines(), EngineOptions(n_ctx=512))
    generation = engine.submit(GenerationRequest((5, 6), SamplingParams(temperature=0.0), n_predict=60, **fields))
    text = ""
    while not isinstance(event := generation.next_event(0), FinishEvent):
        if event is None:
            assert engine.step()
        else:
            text += event.text
    return text, event


def test_they_end_a_generation_as_limits():
    whole, _ = answer()
    assert "\n" in whole
    text, end = answer(n_indent=1)
    assert text == whole[: whole.index("\n") + 1] and end.reason == "limit" and not end.truncated
    assert end.n_predicted == len(text) + 1, "the first token of the next line is not shown"


@pytest.mark.parametrize(
    ("field", "value"),
    [("n_indent", -1), ("n_indent", 2**31), ("n_indent", 1.5), ("t_max_predict_ms", -2), ("t_max_predict_ms", True)],
)
def test_bad_limits_are_refused_by_name(field, value):
    with pytest.raises(RequestError) as refused:
        answer(**{field: value})
    assert refused.value.param == field
