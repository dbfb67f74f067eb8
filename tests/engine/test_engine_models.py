"""The engine on real, tiny models and every backend: text does not depend on who else runs or on what is cached."""

import sys
from pathlib import Path

import numpy as np
import pytest
from on_backends import PRESENT

import llamabox
from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationError, GenerationRequest, SamplingParams

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "conformance"))
import logits  # noqa: E402

PROMPTS = [[(5 * i + 3 * j * j) % 120 for j in range(n)] for i, n in enumerate((3, 17, 40, 64))]


@pytest.fixture(scope="module", params=PRESENT)
def model(request, tmp_path_factory):
    """Gemma 3: sliding windows, grouped heads, norms around every part."""
    path = logits.open_case("gemma3", tmp_path_factory.mktemp("archs")).path
    return llamabox.load(path, backend=request.param, threads=1 if request.param == "torch" else None).model


def run(engine, *prompts):
    """-> [(tokens, n_cached), ...]"""
    request = {"sampling": SamplingParams(temperature=0.0), "n_predict": 20}
    generations = [engine.submit(GenerationRequest(tuple(p), **request)) for p in prompts]
    answers = []
    for generation in generations:
        tokens = []
        while not isinstance(event := generation.next_event(0), FinishEvent):
            if event is None:
                engine.step()
            else:
                tokens += event.tokens
        answers.append((tokens, event.timings.n_cached))
    return answers


def make(model, **options):
    return Engine(model, None, EngineOptions(n_ctx=1024, n_parallel=4, **options))


def test_the_text_is_the_same_alone_among_others_in_chunks_and_from_the_cache(model):
    alone = [run(make(model), p)[0][0] for p in PROMPTS]
    engine = make(model)
    assert [tokens for tokens, _ in run(engine, *PROMPTS)] == alone
    again = run(engine, *PROMPTS)
    assert [tokens for tokens, _ in again] == alone
    assert [n for _, n in again] == [len(p) - 1 for p in PROMPTS]
    assert [tokens for tokens, _ in run(make(model, n_ubatch=7), *PROMPTS)] == alone


def test_a_damaged_weight_ends_the_request_and_names_the_layer(model, monkeypatch):
    norm = model.weights.layers[1].ffn_norm
    monkeypatch.setattr(model.weights.layers[1], "ffn_norm", model.ops.array(np.full(norm.shape, np.nan, np.float32)))
    engine = make(model)
    generation = engine.submit(GenerationRequest((1, 2, 3)))
    engine.step()
    with pytest.raises(GenerationError, match="first in [a-z_]+-1, "):
        generation.next_event(0)
