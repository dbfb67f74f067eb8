"""Which adapters a request runs with; equal prompts with different adapters, one after the other and at once."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

import llamabox
from llamabox.engine import (
    EmbeddingRequest,
    Engine,
    EngineOptions,
    FinishEvent,
    GenerationRequest,
    RequestError,
    SamplingParams,
)
from llamabox.engine.loras import LoraScales

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "conformance"))
import adapters  # noqa: E402

PROMPT = tuple((7 * i * i + 3 * i) % 120 for i in range(70))
CHOICES = (None, (), ((0, 1.0),), ((1, 1.0),), ((0, 0.5), (1, -1.0)), ((0, 1.0), (1, 0.0)))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path, loras, _ = adapters.make(adapters.CASES["llama-two"], tmp_path_factory.mktemp("loras"))
    return llamabox.load(path, backend="numpy", n_ctx=256, lora=[file for file, _ in loras])


def engine(model, scales=(0.0, 0.0), **options):
    return Engine(model.model, None, EngineOptions(n_ctx=1024, n_parallel=8, lora_scales=scales, **options))


def run(engine, *choices):
    """Greedy answers to PROMPT with each choice, at once -> [(tokens, cached tokens)]"""
    how = {"sampling": SamplingParams(temperature=0.0), "n_predict": 12}
    generations = [engine.submit(GenerationRequest(PROMPT, lora=lora, **how)) for lora in choices]
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


def test_each_request_gets_its_own_adapters_alone_at_once_and_from_the_cache(model):
    alone = [run(engine(model), choice)[0][0] for choice in CHOICES]
    assert alone[0] == alone[1] and alone[2] == alone[5]
    assert len({tuple(tokens) for tokens in alone}) == 4
    shared = engine(model)
    assert [tokens for tokens, _ in run(shared, *CHOICES)] == alone
    again = run(shared, *CHOICES)
    assert [tokens for tokens, _ in again] == alone
    assert [n for _, n in again] == [69] * len(CHOICES)


def test_a_cached_prompt_serves_the_same_adapters_only(model):
    one = engine(model)
    assert run(one, ((0, 1.0),))[0][1] == 0
    assert run(one, ((0, 0.5),))[0][1] == 0
    assert run(one, None)[0][1] == 0
    assert run(one, ((1, 0.0), (0, 1.0)))[0][1] == 69, "an adapter with scale 0 is none"


def test_scales_that_are_set_for_all_concern_requests_that_name_none(model):
    one = engine(model, (1.0, 0.0))
    first = run(one, None)[0][0]
    assert first == run(engine(model), ((0, 1.0),))[0][0]
    one.loras.set({1: 1.0})
    assert one.loras.scales == (0.0, 1.0)
    assert run(one, None)[0][0] == run(engine(model), ((1, 1.0),))[0][0]
    assert run(one, ((0, 1.0),))[0][0] == first


@pytest.mark.parametrize("n_ubatch", [512, 16])
def test_embeddings_are_made_with_the_adapters_that_are_set_for_all(model, n_ubatch):
    """n_ubatch 16: the text is longer than a step."""

    def vector(one):
        embedding = one.embed(EmbeddingRequest((PROMPT,), "mean"))
        while (vectors := embedding.wait(0)) is None:
            one.step()
        return vectors[0]

    one = engine(model, (0.0, 1.0), n_ubatch=n_ubatch)
    first = vector(one)
    one.loras.set({})
    assert np.abs(vector(one) - first).max() > 1e-2
    model.lora_scales = (0.0, 1.0)
    assert np.allclose(first, model.embed(PROMPT, "mean"), atol=1e-3)
    one.loras.set({1: 1.0})
    assert np.array_equal(vector(one), first)


def test_the_python_face_takes_adapters_for_a_call(model):
    model.lora_scales = (0.0, 0.0)
    bare = model.logits(PROMPT[:5])
    model.lora_scales = (1.0, 0.0)
    assert abs(model.logits(PROMPT[:5]) - bare).max() > 0.1


@pytest.mark.parametrize(
    "lora, words",
    [
        (((2, 1.0),), "lora: found id 2, expected 0 to 1"),
        (((-1, 1.0),), "lora: found id -1, expected 0 to 1"),
        (((True, 1.0),), "lora: found id True, expected 0 to 1"),
        (((0, math.nan),), "lora: found scale nan, expected a number from -1e+06 to 1e+06"),
        (((0, math.inf),), "lora: found scale inf"),
        (((0, 1e300),), "lora: found scale 1e+300"),
        (((0, True),), "lora: found scale True"),
        (((0, "1"),), "lora: found scale '1'"),
        (((0, 1.0), (0, 2.0)), "lora: found id 0 twice"),
    ],
)
def test_an_adapter_that_does_not_exist_or_a_scale_that_is_none_is_refused(model, lora, words):
    with pytest.raises(RequestError) as error:
        engine(model).submit(GenerationRequest(PROMPT, lora=lora))
    assert words in str(error.value) and error.value.param == "lora"


def test_a_model_without_adapters_says_so():
    with pytest.raises(RequestError, match="lora: found id 0, but no adapter is loaded"):
        LoraScales(()).chosen(((0, 1.0),))
