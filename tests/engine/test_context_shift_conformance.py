"""Greedy tokens across context shifts beside those of llama-server."""

import json
import sys
from pathlib import Path

import pytest

import llamabox
from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationRequest, SamplingParams

sys.path.append(str(Path(__file__).resolve().parents[2] / "conformance"))
import context_shift  # noqa: E402

STORED = json.loads(context_shift.RESULTS.read_text())["tokens"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.gguf"
    context_shift.make_model(path)
    return path


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", STORED)
def test_tokens_are_those_of_llama_server(path, name, backend):
    type_name, case = name.split()
    model = llamabox.load(path, backend=backend, threads=1, n_ctx=context_shift.N_CTX)
    options = EngineOptions(context_shift.N_CTX, cache_type_k=type_name, cache_type_v=type_name, context_shift=True)
    engine = Engine(model.model, model.tokenizer, options)
    request = GenerationRequest(
        tuple(context_shift.PROMPT),
        SamplingParams(temperature=0),
        context_shift.N_PREDICT,
        ignore_eos=True,
        **context_shift.CASES[case],
    )
    generation, tokens = engine.submit(request), []
    while not isinstance(event := generation.next_event(0), FinishEvent):
        if event is None:
            engine.step()
        else:
            tokens += event.tokens
    n_equal = next((i for i, (a, b) in enumerate(zip(tokens, STORED[name], strict=True)) if a != b), len(tokens))
    assert event.truncated and n_equal == len(tokens)
