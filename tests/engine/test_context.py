"""The end of the context: shifts, chunks moved to another place, and KV memory that all sequences share."""

import logging

import numpy as np
import pytest
from engine_fakes import FakeModel, FakeTokenizer

from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationRequest, RequestError, SamplingParams
from llamabox.engine.shifting import shifting
from llamabox.kernels import BLOCK

GREEDY = SamplingParams(temperature=0.0)


class BosTokenizer(FakeTokenizer):
    add_bos = True


def make(model=None, tokenizer=None, **options):
    options = {"n_ctx": 100, "cache_type_k": "f32", "cache_type_v": "f32", **options}
    model, tokenizer = (
        model if model is not None else FakeModel(),
        tokenizer if tokenizer is not None else FakeTokenizer(),
    )
    return Engine(model, tokenizer, EngineOptions(**options))


def submit(engine, prompt, **fields):
    return engine.submit(GenerationRequest(tuple(prompt), **{"sampling": GREEDY, "n_predict": 30, **fields}))


def answer(engine, *generations):
    """-> [(tokens, FinishEvent), ...]"""
    results = []
    for generation in generations:
        tokens = []
        while not isinstance(event := generation.next_event(0), FinishEvent):
            if event is None:
                assert engine.step()
            else:
                tokens += event.tokens
        results.append((tokens, event))
    return results


def expected(prompt, n_predict, n_ctx, n_keep, n_discard=0):
    """What FakeModel says when its text loses tokens as llama-server's rules have it; how often it did."""
    model, text, answer, shifts = FakeModel(), list(prompt), [], 0
    while True:
        token = int(np.argmax(model._logits(np.array(text))))
        answer.append(token)
        if len(answer) == n_predict:
            return answer, shifts
        if len(text) + 1 >= n_ctx:
            n_left = len(text) - n_keep
            drop = n_discard if n_discard else n_left // 2
            del text[n_keep : n_keep + min(drop, n_left - 1)]
            shifts += 1
        text.append(token)


PROMPT = [1 + (7 * i) % 250 for i in range(60)]


@pytest.mark.parametrize(
    "fields, n_keep, n_discard",
    [
        ({}, 0, 0),
        ({"n_keep": 7}, 7, 0),
        ({"n_keep": 40}, 40, 0),
        ({"n_keep": -1}, 60, 0),
        ({"n_keep": 5000}, 96, 0),
        ({"n_keep": 33, "n_discard": 5}, 33, 5),
        ({"n_discard": 10**6}, 0, 10**6),
    ],
    ids=str,
)
@pytest.mark.parametrize("cache_prompt", [True, False])
def test_a_full_context_drops_tokens_and_goes_on(fields, n_keep, n_discard, cache_prompt):
    engine = make(context_shift=True)
    tokens, end = answer(engine, submit(engine, PROMPT, n_predict=200, cache_prompt=cache_prompt, **fields))[0]
    wanted, n_shifts = expected(PROMPT, 200, 100, n_keep, n_discard)
    assert n_shifts > 1 and tokens == wanted
    assert (end.reason, end.truncated, end.n_predicted) == ("limit", True, 200)
    assert end.timings.n_prompt == 60
    status = engine.status()
    assert status.prompt_tokens == 60 and status.predicted_tokens == 200


def test_a_bos_that_the_model_wants_is_kept_too():
    engine = make(tokenizer=BosTokenizer(), context_shift=True)
    tokens, _ = answer(engine, submit(engine, PROMPT, n_predict=100, n_keep=3))[0]
    assert tokens == expected(PROMPT, 100, 100, 4)[0] != expected(PROMPT, 100, 100, 3)[0]


def test_without_shift_or_with_n_predict_minus_2_a_full_context_ends_the_answer():
    for options, n_predict in (({}, -1), ({"context_shift": True}, -2)):
        engine = make(**options)
        tokens, end = answer(engine, submit(engine, PROMPT, n_predict=n_predict))[0]
        assert (len(tokens), end.reason, end.truncated) == (40, "limit", True)


def test_an_answer_that_fits_is_not_truncated():
    engine = make(context_shift=True)
    _, end = answer(engine, submit(engine, PROMPT, n_predict=39))[0]
    assert not end.truncated


def test_a_model_whose_keys_cannot_be_moved_is_told_of_once(caplog):
    model = FakeModel()
    model.key_ropes = None
    with caplog.at_level(logging.WARNING):
        engine = make(model, context_shift=True)
    assert "context shift is off: fake keeps positions that cannot be moved" in caplog.text
    _, end = answer(engine, submit(engine, PROMPT, n_predict=-1))[0]
    assert (end.reason, end.truncated) == ("limit", True)
    assert answer(engine, submit(engine, PROMPT[5:], n_cache_reuse=1))[0][1].timings.n_cached == 0


def test_contexts_of_a_few_tokens_do_not_shift():
    assert shifting(1, 3, 0, 0, False) is None and shifting(2, 4, -1, 0, False) is not None
    engine = make(n_ctx=3, context_shift=True)
    assert answer(engine, submit(engine, [5], n_predict=-1))[0][1].truncated
    for n_ctx in (4, 5, 6):
        engine = make(n_ctx=n_ctx, context_shift=True)
        assert answer(engine, submit(engine, [5], n_predict=40))[0][0] == expected([5], 40, n_ctx, 0)[0]


def test_shared_blocks_are_left_alone_by_a_shift_and_shifted_ones_are_nobody_elses():
    """Four requests with one prompt shift at different times; then a fifth finds the prompt as it was."""
    engine = make(n_ctx=400, n_parallel=4, context_shift=True)
    keeps = (0, 40, 50, 64)
    generations = [submit(engine, PROMPT, n_predict=100 + i, n_keep=k) for i, k in enumerate(keeps)]
    for (tokens, _), i, n_keep in zip(answer(engine, *generations), range(4), keeps, strict=True):
        assert tokens == expected(PROMPT, 100 + i, 100, n_keep)[0]
    tokens, end = answer(engine, submit(engine, PROMPT))[0]
    assert tokens == expected(PROMPT, 30, 1000, 0)[0]


def test_what_was_computed_before_a_shift_is_not_found_by_the_text_after_it():
    engine = make(context_shift=True)
    tokens, _ = answer(engine, submit(engine, PROMPT, n_keep=40, n_predict=45))[0]
    whole = [*PROMPT, *tokens]
    after = [*whole[:40], *whole[40 + 29 : 99]]  # 99 were computed: 59 behind the kept ones, of which 29 were dropped
    tokens, end = answer(engine, submit(engine, after))[0]
    assert end.timings.n_cached == BLOCK, "the kept blocks"
    assert tokens == expected(after, 30, 1000, 0)[0]


@pytest.mark.parametrize("name, value", [("n_keep", -2), ("n_discard", -1), ("n_cache_reuse", -1), ("n_keep", 2**31)])
def test_bad_numbers_are_refused(name, value):
    with pytest.raises(RequestError, match=f"{name}: found") as error:
        submit(make(), PROMPT, **{name: value})
    assert error.value.param == name


# ---- chunks that are found again further on -------------------------------------------------------------------------


def test_chunks_of_the_slots_last_sequence_are_reused_in_another_place():
    engine = make(n_ctx=1000)
    head, chunk, tail = PROMPT[:20], [1 + (11 * i) % 240 for i in range(100)], [200, 201, 202]
    first = [*head, *PROMPT[30:50], *chunk, 9]
    second = [*head, *chunk, *tail]
    answer(engine, submit(engine, first, n_cache_reuse=50))
    tokens, end = answer(engine, submit(engine, second, n_cache_reuse=50))[0]
    assert end.timings.n_cached == 120 and end.timings.n_prompt == 3
    assert tokens == expected(second, 30, 10**6, 0)[0], "FakeModel's cells do not know what stood before them"
    for n_min, n_cached in ((101, 20), (0, 20)):
        engine = make(n_ctx=1000)
        answer(engine, submit(engine, first, n_cache_reuse=n_min))
        assert answer(engine, submit(engine, second, n_cache_reuse=n_min))[0][1].timings.n_cached == n_cached


def test_those_who_want_no_chunks_never_get_blocks_that_have_some():
    engine = make(n_ctx=1000)
    first, second = [*PROMPT[:20], *PROMPT[5:50]], [*PROMPT[:10], *PROMPT[5:50]]
    answer(engine, submit(engine, first, n_cache_reuse=8))
    assert answer(engine, submit(engine, second, n_cache_reuse=8))[0][1].timings.n_cached > 40
    assert answer(engine, submit(engine, second))[0][1].timings.n_cached == 0
    assert answer(engine, submit(engine, second))[0][1].timings.n_cached == len(second) - 1


# ---- unified memory -------------------------------------------------------------------------------------------------


def test_a_sequence_holds_its_share_or_with_unified_memory_all():
    assert EngineOptions(n_ctx=1000, n_parallel=4).n_seq == 250
    assert EngineOptions(n_ctx=1000, n_parallel=4, kv_unified=True).n_seq == 1000
    engine = make(n_ctx=400, n_parallel=4, kv_unified=True)
    assert len(answer(engine, submit(engine, PROMPT, n_predict=-1))[0][0]) == 340


def test_when_shared_memory_is_full_the_youngest_gives_way_and_every_answer_is_the_same():
    engine = make(n_ctx=256, n_parallel=4, kv_unified=True)
    prompts = [[1 + (7 * i + 31 * n) % 250 for i in range(40 + n)] for n in range(6)]
    generations = [submit(engine, p, n_predict=120) for p in prompts]
    order = []
    results = answer(engine, *generations)
    for prompt, (tokens, end) in zip(prompts, results, strict=True):
        assert tokens == expected(prompt, 120, 10**6, 0)[0]
        assert end.n_predicted == 120 and end.timings.n_prompt == len(prompt)
        order.append(end)
    assert engine.model.n_rows > sum(len(p) + 119 for p in prompts), "some were computed anew"
    status = engine.status()
    assert status.kv_used == 0 and status.predicted_tokens == 6 * 120


def test_shared_memory_and_shifts_together():
    engine = make(n_ctx=128, n_parallel=3, kv_unified=True, context_shift=True)
    prompts = [[1 + (7 * i + 31 * n) % 250 for i in range(40 + n)] for n in range(3)]
    results = answer(engine, *[submit(engine, p, n_predict=200, n_keep=10) for p in prompts])
    assert results[0][0] == expected(prompts[0], 200, 128, 10)[0]
    assert all(end.n_predicted == 200 and end.truncated for _, end in results)


def test_nobody_passes_a_long_prompt_that_waits_for_memory():
    engine = make(n_ctx=256, n_parallel=4, kv_unified=True)
    first = submit(engine, PROMPT, n_predict=100)
    engine.step()
    long, short = submit(engine, [9] * 220), submit(engine, PROMPT[1:10], n_predict=1)
    for _ in range(50):
        engine.step()
    assert engine.status().waiting == 2
    assert len(answer(engine, first, long, short)) == 3


# ---- tokens per second ----------------------------------------------------------------------------------------------


def test_a_limit_on_tokens_per_second_holds_without_holding_up_others():
    engine = make(n_ctx=400, n_parallel=2)
    engine.start()
    slow = submit(engine, PROMPT, n_predict=11, tokens_per_second=50.0)
    fast = submit(engine, PROMPT[1:], n_predict=100)
    ends = {name: list(g)[-1] for name, g in (("fast", fast), ("slow", slow))}
    engine.close()
    assert 190 <= ends["slow"].timings.predicted_ms <= 400, "10 tokens after the first at 20 ms each"
    assert ends["fast"].timings.predicted_ms < 190


def test_a_limit_does_not_change_the_answer_and_idles_without_spinning():
    engine = make()
    generation = submit(engine, PROMPT, n_predict=4, tokens_per_second=20)
    steps, tokens = 0, []
    engine.start()
    for event in generation:
        tokens += getattr(event, "tokens", ())
    steps = len(engine.model.steps)
    engine.close()
    assert tokens == expected(PROMPT, 4, 1000, 0)[0] and steps <= 6


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "3"])
def test_bad_limits_are_refused(value):
    with pytest.raises(RequestError, match="tokens_per_second: found"):
        submit(make(), PROMPT, tokens_per_second=value)
