"""With drafts, sampled tokens still have the probabilities that the model gives them: a chi-square test over seeds.

The seeds are fixed, so the outcome is the same every time; the bound is the one that chance passes once in 10,000.
"""

import sys
from itertools import islice
from pathlib import Path

import numpy as np

import llamabox
from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationRequest, SamplingParams, SpeculationOptions

sys.path.append(str(Path(__file__).resolve().parents[3] / "conformance"))
import logits  # noqa: E402

N_SEEDS, TOP_K = 1500, 4
BOUND = 21.1  # chi-square of 3 degrees of freedom at 1e-4


def test_sampled_tokens_have_the_models_probabilities(tmp_path):
    model = llamabox.load(logits.open_case("llama", tmp_path).path, backend="numpy")
    prompt = guessable_prompt(model)
    speculation = SpeculationOptions(n_max=8, n_min=0, ngram_min=1)
    engine = Engine(model.model, None, EngineOptions(n_ctx=4096, n_parallel=64), speculation)
    sampling = [SamplingParams(seed=i, top_k=TOP_K, top_p=1.0, min_p=0.0, temperature=1.0) for i in range(N_SEEDS)]
    waiting = [(engine.submit(GenerationRequest(prompt, s, n_predict=3)), []) for s in sampling[:256]]
    rest, answers = iter(sampling[256:]), []
    while waiting:
        engine.step()
        for generation, tokens in list(waiting):
            if has_ended(generation, tokens):
                answers.append(tuple(tokens))
                waiting.remove((generation, tokens))
                waiting += [(engine.submit(GenerationRequest(prompt, s, n_predict=3)), []) for s in islice(rest, 1)]
    status = engine.status()
    assert status.drafted_tokens > status.accepted_tokens > 0, "some guesses were right and some were not"
    for prefix in {(), *(answer[:1] for answer in answers)}:
        found = [answer[len(prefix)] for answer in answers if answer[: len(prefix)] == prefix]
        assert chi_square(found, top_probabilities(model, (*prompt, *prefix))) < BOUND, prefix


def guessable_prompt(model):
    """A prompt that repeats itself, so that n-grams guess a token, one of the most probable ones."""
    for guess in range(model.config.n_vocab):
        prompt = (3, 10, guess, 24, 3, 10, guess, 24, 3, 10)
        if guess in list(top_probabilities(model, prompt))[:2]:
            return prompt
    raise AssertionError("no such prompt")


def has_ended(generation, tokens):
    """Adds what came to tokens; True when nothing more comes."""
    while (event := generation.next_event(0)) is not None:
        if isinstance(event, FinishEvent):
            return True
        tokens += event.tokens
    return False


def top_probabilities(model, ids):
    """{token: probability} of the TOP_K most probable ones."""
    row = model.logits(ids)[-1].astype(np.float64)
    best = np.argsort(-row)[:TOP_K]
    weights = np.exp(row[best] - row[best].max())
    return dict(zip(best.tolist(), (weights / weights.sum()).tolist(), strict=True))


def chi_square(found, probabilities):
    assert set(found) <= set(probabilities)
    expected = {token: p * len(found) for token, p in probabilities.items()}
    return sum((found.count(token) - e) ** 2 / e for token, e in expected.items())
