"""Probabilities of tokens: against a plain softmax, after the samplers, and of the prompt's own tokens."""

import numpy as np
import pytest
from engine_fakes import N_VOCAB, FakeModel, FakeTokenizer

from llamabox.engine import (
    Engine,
    EngineOptions,
    FinishEvent,
    GenerationRequest,
    PromptEvent,
    RequestError,
    SamplingParams,
    TextEvent,
)
from llamabox.engine.probabilities import LOWEST, Probabilities, log_sum_exp
from llamabox.engine.sampling.candidates import Candidates

GREEDY = SamplingParams(temperature=0.0)


def piece(id):
    return bytes([id % 256])


def log_softmax(x):
    x = np.asarray(x, np.float64)
    return x - x.max() - np.log(np.exp(x - x.max()).sum())


def events(engine, request):
    generation, seen = engine.submit(request), []
    while not seen or not isinstance(seen[-1], FinishEvent):
        event = generation.next_event(0)
        if event is None:
            assert engine.step()
        else:
            seen.append(event)
    return seen


def make(**options):
    options = {"n_ctx": 2048, "n_parallel": 2, "cache_type_k": "f32", "cache_type_v": "f32", **options}
    return Engine(FakeModel(), FakeTokenizer(), EngineOptions(**options))


def logits_after(tokens):
    return FakeModel()._logits(np.array(tokens, np.int64))


@pytest.mark.parametrize("scale", [0.1, 1, 30, 1000])
def test_log_probabilities_over_the_whole_vocabulary(scale):
    x = (np.random.RandomState(3).standard_normal(5000) * scale).astype(np.float32)
    wanted = log_softmax(x)
    told = Probabilities(7, False, piece).of_answer(123, x, Candidates(None, x[:1]))
    assert (told.id, told.piece) == (123, piece(123)) and told.logprob == pytest.approx(wanted[123], rel=1e-5)
    best = np.argsort(-x, kind="stable")[:7]
    assert [(id, p) for id, p, _ in told.top] == [(id, piece(id)) for id in best.tolist()]
    assert [lp for _, _, lp in told.top] == pytest.approx(wanted[best], rel=1e-5, abs=1e-6)
    assert log_sum_exp(x + 5000) == pytest.approx(log_sum_exp(x) + 5000, rel=1e-4)


def test_after_sampling_only_what_is_left_counts_and_nothing_impossible_is_named():
    x = np.arange(10, dtype=np.float32)
    left = Candidates(np.array([4, 9, 7]), np.array([0.0, 1.0, -np.inf], np.float32))
    told = Probabilities(5, True, piece).of_answer(4, x, left)
    assert told.logprob == pytest.approx(log_softmax([0, 1])[0])
    assert [(id, lp) for id, _, lp in told.top] == [
        (9, pytest.approx(log_softmax([0, 1])[1])),
        (4, pytest.approx(log_softmax([0, 1])[0])),
    ]


def test_impossible_tokens_get_a_number_that_json_has():
    x = np.array([0, -np.inf, 1], np.float32)
    told = Probabilities(3, False, piece).of_answer(1, x, Candidates(None, x))
    assert told.logprob == LOWEST and told.top[2][2] == LOWEST


def test_each_token_of_an_answer_comes_with_its_own():
    seen = events(make(), GenerationRequest((5, 6, 7), GREEDY, n_predict=4, n_probs=3))
    text = [5, 6, 7]
    for event in seen[:-1]:
        wanted = log_softmax(logits_after(text))
        (told,) = event.probs
        assert told.id == event.tokens[0] == wanted.argmax() and told.n_chars == 1
        assert told.logprob == pytest.approx(wanted.max(), abs=1e-5) and len(told.top) == 3
        text.append(told.id)
    assert events(make(), GenerationRequest((5, 6, 7), GREEDY, n_predict=1))[0].probs == ()
    assert events(make(), GenerationRequest((5, 6, 7), GREEDY, n_predict=1, n_probs=0))[0].probs[0].top == ()


def test_after_sampling_a_greedy_choice_is_certain():
    (told,) = events(make(), GenerationRequest((5,), GREEDY, n_predict=1, n_probs=5, post_sampling_probs=True))[0].probs
    assert told.logprob == 0 and len(told.top) == 1
    sampling = SamplingParams(temperature=1.0, top_k=3, top_p=1, min_p=0, seed=1)
    (told,) = events(make(), GenerationRequest((5,), sampling, n_predict=1, n_probs=5, post_sampling_probs=True))[
        0
    ].probs
    wanted = log_softmax(np.sort(logits_after([5]))[::-1][:3])
    assert [lp for _, _, lp in told.top] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 200])
@pytest.mark.parametrize("n_predict", [0, 2])
def test_the_prompts_own_tokens_are_told_in_steps_of_few_rows(n, n_predict):
    prompt = tuple(1 + (7 * i) % 250 for i in range(n))
    engine = make()
    for _ in range(2):  # the second time nothing may come from the cache
        request = GenerationRequest(
            prompt, GREEDY, n_predict=n_predict, n_probs=1, prompt_logprobs=True, cache_prompt=False
        )
        seen = events(engine, request)
        told = [p for e in seen if isinstance(e, PromptEvent) for p in e.probs]
        assert [p.id for p in told] == list(prompt[1:])
        for i, p in enumerate(told):
            assert p.logprob == pytest.approx(log_softmax(logits_after(prompt[: i + 1]))[prompt[i + 1]], abs=1e-4)
        assert len([e for e in seen if isinstance(e, TextEvent)]) == n_predict
    assert max(map(max, engine.model.steps)) <= 64


def test_progress_of_a_prompt():
    engine = make(n_ubatch=32, n_batch=32)
    prompt = tuple(1 + i % 250 for i in range(100))
    for n_cached in (0, 99):
        seen = events(engine, GenerationRequest(prompt, GREEDY, n_predict=1, return_progress=True))
        progress = [e for e in seen if isinstance(e, PromptEvent)]
        assert [e.n_done for e in progress] == ([0, 32, 64, 96, 100] if n_cached == 0 else [99, 100])
        assert {(e.n_total, e.n_cached, e.probs) for e in progress} == {(100, n_cached, ())}
        assert [e.elapsed_ms for e in progress] == sorted(e.elapsed_ms for e in progress)
    assert not any(isinstance(e, PromptEvent) for e in events(engine, GenerationRequest(prompt, GREEDY, n_predict=1)))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n_probs": -1}, "n_probs"),
        ({"n_probs": 1001}, "n_probs"),
        ({"n_probs": True}, "n_probs"),
        ({"prompt_logprobs": True, "cache_prompt": False}, "prompt_logprobs"),
        ({"prompt_logprobs": True, "n_probs": 0}, "prompt_logprobs"),
    ],
)
def test_what_cannot_be_told_is_refused(fields, param):
    with pytest.raises(RequestError) as refused:
        make().submit(GenerationRequest((5,), **fields))
    assert refused.value.param == param


def test_more_than_the_vocabulary_is_the_vocabulary():
    (told,) = events(make(), GenerationRequest((5,), GREEDY, n_predict=1, n_probs=1000))[0].probs
    assert len(told.top) == N_VOCAB and np.exp([lp for _, _, lp in told.top]).sum() == pytest.approx(1)
