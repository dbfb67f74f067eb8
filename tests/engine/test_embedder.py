"""Embeddings in the engine: batches, turns, cancellation and errors, on real tiny models and both backends."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import llamabox
from llamabox.engine import (
    EmbeddingRequest,
    Engine,
    EngineBusyError,
    EngineOptions,
    FinishEvent,
    GenerationError,
    GenerationRequest,
    RequestError,
    SamplingParams,
)
from llamabox.kernels import Rows, make_step

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "conformance"))
import adapters  # noqa: E402
import logits  # noqa: E402

LENGTHS = (1, 5, 17, 30, 3, 29, 2)
TEXTS = tuple(tuple((7 * i + 3 * j * j) % 120 for j in range(n)) for i, n in enumerate(LENGTHS))


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def load(request, tmp_path_factory):
    """load(name) -> Model of a skeleton"""
    folder, loaded = tmp_path_factory.mktemp("archs"), {}

    def open_model(name):
        if name not in loaded:
            loaded[name] = llamabox.load(logits.open_case(name, folder).path, backend=request.param, threads=1)
        return loaded[name]

    return open_model


def make(model, **options):
    return Engine(model.model, None, EngineOptions(**{"n_ctx": 256, "n_ubatch": 32, **options}))


def run(engine, *requests):
    """Submit the requests at once, step until all are over, and return the vectors of each."""
    embeddings = [engine.embed(request) for request in requests]
    while engine.step():
        pass
    return [embedding.wait(0) for embedding in embeddings]


@pytest.mark.parametrize("pooling", ["none", "mean", "cls", "last"])
@pytest.mark.parametrize("name", ["bert", "jina-bert-v2", "nomic-bert", "modern-bert", "llama-embed"])
def test_a_text_gets_what_it_gets_alone(load, name, pooling):
    model = load(name)
    engine = make(model)
    half = len(TEXTS) // 2
    requests = (EmbeddingRequest(TEXTS[:half], pooling), EmbeddingRequest(TEXTS[half:], pooling))
    together = [vector for vectors in run(engine, *requests) for vector in vectors]
    for text, vector in zip(TEXTS, together, strict=True):
        alone = run(engine, EmbeddingRequest((text,), pooling))[0][0]
        assert logits.nmse(model.embed(text, pooling), vector) <= 1e-11
        assert logits.nmse(alone, vector) <= 1e-11
        if model.model.ops.name == "cpu":
            np.testing.assert_array_equal(alone, vector)


@pytest.mark.parametrize("name", ["bert-rank", "jina-bert-v2-rank", "modern-bert-rank", "xlm-roberta-rank"])
def test_ranking_is_one_batch_too(load, name):
    model = load(name)
    scores = run(make(model), EmbeddingRequest(TEXTS, "rank"))[0]
    assert logits.nmse([model.embed(text) for text in TEXTS], scores) <= 1e-11
    assert len({float(score[0]) for score in scores}) == len(TEXTS)


@pytest.mark.parametrize("pooling", ["none", "mean", "cls", "last"])
def test_a_causal_model_takes_texts_longer_than_a_step_and_keeps_nothing(load, pooling):
    model = load("qwen3-embedding")
    engine = make(model, cache_type_k="f32", cache_type_v="f32")
    long = tuple((5 * j + j * j) % 120 for j in range(150))
    found = run(engine, EmbeddingRequest((TEXTS[3], long, TEXTS[2]), pooling))[0]
    hidden = llamabox.load(model.model.file.path, backend=model.model.ops.name, cache_type_k="f32", cache_type_v="f32")
    for text, vector in zip((TEXTS[3], long, TEXTS[2]), found, strict=True):
        assert logits.nmse(hidden.embed(text, pooling), vector) <= 1e-10
    assert engine.status().kv_used == engine.status().kv_cached == 0


def test_embeddings_and_text_share_the_engine(load):
    model = load("qwen3")
    request = GenerationRequest((1, 2, 3), SamplingParams(temperature=0.0), n_predict=12, ignore_eos=True)

    def generate(engine, embed):
        generation, tokens = engine.submit(request), []
        embedding = engine.embed(EmbeddingRequest(TEXTS, "last")) if embed else None
        while not isinstance(event := generation.next_event(0), FinishEvent):
            if event is None:
                engine.step()
            else:
                tokens += event.tokens
        return tokens, None if embedding is None else embedding.wait(0)

    engine = make(model)
    alone, _ = generate(engine, embed=False)
    beside, vectors = generate(engine, embed=True)
    assert beside == alone
    assert logits.nmse([model.embed(text, "last") for text in TEXTS[:1]], vectors[:1]) <= 1e-5  # its cache is f16


def test_texts_run_with_the_adapters_that_are_set(tmp_path):
    path, loras, _ = adapters.make(adapters.CASES["llama-two"], tmp_path)
    model = llamabox.load(path, backend="numpy", n_ctx=256, lora=[file for file, _ in loras])
    engine = make(model, lora_scales=(0.0, 0.0))
    long = tuple(j * j % 100 for j in range(60))  # more than a step
    bare = run(engine, EmbeddingRequest((TEXTS[3], long), "last"))[0]
    engine.loras.set({1: 1.0})
    adapted = run(engine, EmbeddingRequest((TEXTS[3], long), "last"))[0]
    step = make_step([Rows(0, len(TEXTS[3]), (), "last")], None)
    alone = model.model.hidden(np.array(TEXTS[3], np.int32), step, [((1, 1.0),)])
    assert logits.nmse(alone[0], adapted[0]) <= 1e-11
    assert all(logits.nmse(a, b) > 1e-3 for a, b in zip(bare, adapted, strict=True))


def test_an_encoder_has_no_text_and_says_so(load):
    with pytest.raises(RequestError, match="bert gives embeddings and no text"):
        make(load("bert")).submit(GenerationRequest((1, 2)))


def test_requests_take_turns(load):
    engine = make(load("bert"), n_ubatch=8)
    large = engine.embed(EmbeddingRequest(((1, 2, 3, 4),) * 40, "cls"))
    small = engine.embed(EmbeddingRequest(((1, 2, 3, 4),), "cls"))
    engine.step()
    assert small.wait(0) is not None and large.wait(0) is None


def test_a_batch_is_full_but_no_fuller_than_n_ubatch(load):
    model, rows = load("bert"), []
    hidden = model.model.module.hidden
    engine = make(model, n_ubatch=32)

    def counting(ops, w, c, tokens, step):
        rows.append(len(tokens))
        return hidden(ops, w, c, tokens, step)

    model.model.module.hidden = counting
    try:
        run(engine, EmbeddingRequest(((1,) * 10,) * 7, "mean"))
    finally:
        model.model.module.hidden = hidden
    assert rows == [30, 30, 10]


@pytest.mark.parametrize(
    ("texts", "pooling", "param", "message"),
    [
        ((), "cls", "input", "found 0 texts"),
        (((1,),) * 2049, "cls", "input", "found 2049 texts, expected 1 to 2048"),
        (((1,), ()), "cls", "input[1]", "found no tokens"),
        (((1,), (2,) * 33), "cls", "input[1]", "found 33 tokens, which is too large: expected at most 32"),
        (((1, 128),), "cls", "input[0]", "found token id 128, expected ids from 0 to 127"),
        (((1, -1),), "cls", "input[0]", "found token id -1"),
        (((1,),), "rank", "pooling", "no classifier"),
        (((1,),), "max", "pooling", "found 'max'"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_cannot_be_served_is_refused_by_its_index(load, texts, pooling, param, message):
    with pytest.raises(RequestError) as error:
        make(load("bert")).embed(EmbeddingRequest(texts, pooling, "input"))
    assert error.value.param == param and message in str(error.value)


def test_the_longest_text_is_bound_by_batch_and_context(load):
    assert make(load("bert"), n_ubatch=40).max_embedding_tokens == 40
    assert make(load("bert"), n_ubatch=40, n_batch=20).max_embedding_tokens == 20
    assert make(load("bert"), n_ctx=64, n_parallel=4, n_ubatch=40).max_embedding_tokens == 16
    assert make(load("qwen3"), n_ctx=256, n_parallel=2, n_ubatch=40).max_embedding_tokens == 128


def test_all_vectors_of_a_request_without_pooling_are_bounded(load, monkeypatch):
    monkeypatch.setattr("llamabox.engine.checking.MAX_VALUES", 1000)
    engine = make(load("bert"))
    with pytest.raises(RequestError, match="found 1024 values in all without pooling, expected at most 1000"):
        engine.embed(EmbeddingRequest(((1,) * 8,), "none"))
    engine.embed(EmbeddingRequest(((1,) * 8,), "mean"))


def test_a_cancelled_request_is_dropped_and_the_others_go_on(load):
    engine = make(load("bert"), n_ubatch=8)
    first, second = (engine.embed(EmbeddingRequest(((i, 2, 3, 4),) * 10, "cls")) for i in range(2))
    engine.step()
    first.cancel()
    steps = sum(engine.step() for _ in range(20))
    assert steps == 5  # one text of the second was in the first batch, two a step are left
    assert second.wait(0) is not None
    with pytest.raises(EngineBusyError, match="cancelled"):
        first.wait(0)


def test_an_error_meets_only_the_text_it_belongs_to(load, monkeypatch):
    model = load("bert")
    hidden = model.model.module.hidden

    def breaks(ops, w, c, tokens, step):
        if 99 in tokens:
            raise MemoryError("no room")
        return hidden(ops, w, c, tokens, step) * (np.nan if 98 in tokens and len(tokens) == 2 else 1)

    monkeypatch.setattr(model.model.module, "hidden", breaks)
    engine = make(model)
    good, bad = EmbeddingRequest(((1, 2), (3,)), "mean"), EmbeddingRequest(((4,), (99, 5), (6,)), "mean")
    embeddings = [engine.embed(good), engine.embed(bad)]
    while engine.step():
        pass
    assert logits.nmse([model.embed(t, "mean") for t in good.texts], embeddings[0].wait(0)) <= 1e-11
    with pytest.raises(GenerationError, match="MemoryError: no room"):
        embeddings[1].wait(0)
    broken = engine.embed(EmbeddingRequest(((98, 1),), "mean"))
    engine.step()
    with pytest.raises(GenerationError, match="text 0: the model gives NaN"):
        broken.wait(0)
    assert engine.status().requests == 3


def test_the_queue_is_bounded_and_closing_ends_all(load):
    engine = make(load("bert"), max_queue=2)
    embeddings = [engine.embed(EmbeddingRequest(((1,),), "cls")) for _ in range(3)]
    with pytest.raises(EngineBusyError, match="3 requests are running or waiting"):
        engine.embed(EmbeddingRequest(((1,),), "cls"))
    engine._aborting = True
    engine.step()
    for embedding in embeddings:
        with pytest.raises(EngineBusyError, match="closing"):
            embedding.wait(0)
    engine.close()
    with pytest.raises(EngineBusyError, match="the engine is closing"):
        engine.embed(EmbeddingRequest(((1,),), "cls"))


def test_threads_wait_for_the_engine_s_thread(load):
    model = load("bert")
    engine = make(model)
    engine.warm_up()
    assert engine.status().prompt_tokens == 0
    engine.start()
    results = {}

    def ask(i):
        results[i] = engine.embed(EmbeddingRequest((TEXTS[i], TEXTS[0]), "mean")).wait(30)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(TEXTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    engine.close(5)
    for i, vectors in results.items():
        assert logits.nmse([model.embed(t, "mean") for t in (TEXTS[i], TEXTS[0])], vectors) <= 1e-11
    assert engine.status().prompt_tokens == sum(LENGTHS) + len(TEXTS)
