"""generate: what a llamabox.Model does with the engine, on the fake model."""

from types import SimpleNamespace

import pytest
from engine_fakes import FakeModel, FakeTokenizer

from llamabox.engine import RequestError, generate


@pytest.fixture
def model():
    fake = FakeModel()
    return SimpleNamespace(
        model=fake, tokenizer=FakeTokenizer(), n_ctx=256, cache_types=("f32", "f32"), lora_scales=(), _engine=None
    )


def test_text_and_ids_give_the_same_pieces(model):
    pieces = list(generate(model, "abc", n_predict=8, temperature=0))
    assert len(pieces) == 8 and all(len(p) == 1 for p in pieces)
    ids = model.tokenizer.encode("abc")
    assert list(generate(model, ids, n_predict=8, temperature=0)) == pieces


def test_nothing_is_computed_before_it_is_asked_for(model):
    pieces = generate(model, "abc", n_predict=8, temperature=0)
    assert model.model.steps == []
    next(pieces)
    assert len(model.model.steps) == 1


def test_leaving_early_frees_the_sequence_and_others_go_on(model):
    wanted = "".join(generate(model, "abc", n_predict=8, temperature=0))
    for _ in generate(model, "xyz", n_predict=-1):
        break
    assert "".join(generate(model, "abc", n_predict=8, temperature=0)) == wanted
    assert model._engine.status().kv_used == 0


def test_two_at_once_take_turns(model):
    wanted = ["".join(generate(model, text, n_predict=5, temperature=0)) for text in ("ab", "cd")]
    a, b = (generate(model, text, n_predict=5, temperature=0) for text in ("ab", "cd"))
    first = next(a)
    rest_b = "".join(b)
    assert [first + "".join(a), rest_b] == wanted


def test_stop_may_be_one_text(model):
    text = "".join(generate(model, "abc", n_predict=8, temperature=0))
    assert "".join(generate(model, "abc", n_predict=8, temperature=0, stop=text[3:5])) == text[: text.index(text[3:5])]


def test_errors_come_with_the_call(model):
    with pytest.raises(TypeError, match="temprature"):
        generate(model, "abc", temprature=1)
    with pytest.raises(RequestError, match="top_p"):
        generate(model, "abc", top_p=-1)
    model.tokenizer = None
    model._engine = None
    with pytest.raises(RequestError, match="no vocabulary"):
        generate(model, "abc")
