"""Which draft models fit which models."""

from types import SimpleNamespace

import pytest

from llamabox.engine.speculation import DraftVocabularyError, check_vocabulary


def model(n_vocab=300, texts=None, type="gpt2", **tokenizer):
    texts = [f"t{i}" for i in range(n_vocab)] if texts is None else texts
    metadata = {"tokenizer.ggml.model": type, "tokenizer.ggml.tokens": texts}
    tokenizer = {"add_bos": True, "bos": 1, "add_eos": False, "eos": 2, **tokenizer}
    return SimpleNamespace(
        config=SimpleNamespace(n_vocab=n_vocab),
        model=SimpleNamespace(file=SimpleNamespace(metadata=metadata)),
        tokenizer=SimpleNamespace(**tokenizer),
    )


def without(n_vocab=300):
    made = model(n_vocab, [])
    made.tokenizer = None
    return made


GOOD = [
    (model(), model()),
    (model(), model(428)),
    (model(428), model()),
    (model(add_bos=False), model(add_bos=False, bos=7)),
    (model(eos=2), model(eos=9)),
    (model(), model(texts=["a", "b", "c", "d", "e", *(f"t{i}" for i in range(5, 300))])),
    (without(), without(310)),
]


@pytest.mark.parametrize(("target", "draft"), GOOD)
def test_vocabularies_that_fit(target, draft):
    check_vocabulary(target, draft)


BAD = [
    (model(), model(type="llama"), "its vocabulary type is llama, expected that of the model, gpt2"),
    (model(), without(), "its vocabulary type is none, expected that of the model, gpt2"),
    (model(), model(add_bos=False), "its add_bos_token is False, expected that of the model, True"),
    (model(), model(bos=3), "its bos token is 3, expected that of the model, 1"),
    (model(add_eos=True), model(add_eos=True, eos=3), "its eos token is 3, expected that of the model, 2"),
    (model(), model(429), "its number of tokens is 429, expected that of the model, 300, or at most 128 off"),
    (model(429), model(), "its number of tokens is 300, expected that of the model, 429, or at most 128 off"),
    (
        model(),
        model(texts=[*(f"t{i}" for i in range(200)), "x", *(f"t{i}" for i in range(201, 300))]),
        "its token 200 is 'x', expected that of the model, 't200'",
    ),
    (without(), without(500), "its number of tokens is 500, expected that of the model, 300, or at most 128 off"),
]


@pytest.mark.parametrize(("target", "draft", "message"), BAD, ids=[m[:40] for _, _, m in BAD])
def test_vocabularies_that_do_not(target, draft, message):
    with pytest.raises(DraftVocabularyError) as error:
        check_vocabulary(target, draft)
    assert str(error.value) == f"draft model: {message}"
