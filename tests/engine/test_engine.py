"""Engine on a model whose next token depends on every KV cell: a misplaced, stale or foreign block changes the text."""

import math
import random
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from engine_fakes import END, N_VOCAB, FakeModel, FakeTokenizer

from llamabox.engine import (
    ContextLengthError,
    Engine,
    EngineBusyError,
    EngineOptions,
    FinishEvent,
    GenerationError,
    GenerationRequest,
    RequestError,
    SamplingParams,
    TextEvent,
)

GREEDY = SamplingParams(temperature=0.0)
TOKENIZER = FakeTokenizer()


def make(model=None, tokenizer=TOKENIZER, **options):
    options = {"n_ctx": 2048, "n_parallel": 4, "cache_type_k": "f32", "cache_type_v": "f32", **options}
    model = model if model is not None else FakeModel()
    return Engine(model, tokenizer, EngineOptions(**options))


def request(prompt, **fields):
    return GenerationRequest(tuple(prompt), **{"sampling": GREEDY, "n_predict": 12, **fields})


def finish(engine, *generations):
    """Step until all of these are over -> [(tokens, text, FinishEvent), ...]"""
    results = []
    for generation in generations:
        tokens, text = [], ""
        while not isinstance(event := generation.next_event(0), FinishEvent):
            if event is None:
                assert engine.step()
            else:
                tokens += event.tokens
                text += event.text
        results.append((tokens, text, event))
    return results


def alone(prompt, **fields):
    """The answer of an engine that has served nobody else."""
    engine = make()
    return finish(engine, engine.submit(request(prompt, **fields)))[0]


PROMPTS = [[1 + (7 * i + j) % 250 for j in range(n)] for i, n in enumerate((1, 5, 31, 32, 33, 64, 90, 200))]


def test_the_answer_is_the_same_alone_and_among_others():
    engine = make(n_parallel=8, n_ctx=4096)
    generations = [engine.submit(request(p)) for p in PROMPTS]
    for p, (tokens, _, _) in zip(PROMPTS, finish(engine, *generations), strict=True):
        assert tokens == alone(p)[0], f"prompt of {len(p)} tokens"
    assert any(len(rows) == 8 for rows in engine.model.steps), "they did run together"


def test_a_seed_gives_the_same_answer_alone_and_among_others():
    sampling = SamplingParams(seed=5, temperature=1.5, top_k=0)
    engine = make()
    generations = [engine.submit(request(PROMPTS[4], sampling=sampling)) for _ in range(3)]
    answers = [tokens for tokens, _, _ in finish(engine, *generations)]
    assert answers == [alone(PROMPTS[4], sampling=sampling)[0]] * 3
    other = alone(PROMPTS[4], sampling=SamplingParams(seed=6, temperature=1.5, top_k=0))[0]
    assert other != answers[0]


def test_a_cached_prefix_changes_nothing_but_the_work():
    engine = make()
    first = finish(engine, engine.submit(request(PROMPTS[7])))[0]
    before = engine.model.n_rows
    again = finish(engine, engine.submit(request(PROMPTS[7])))[0]
    assert again[0] == first[0]
    assert engine.model.n_rows - before == 12, "one row of prompt, then eleven of decoding"
    assert (again[2].timings.n_cached, again[2].timings.n_prompt) == (199, 1)
    longer = PROMPTS[7] + first[0] + [3, 4]
    assert finish(engine, engine.submit(request(longer)))[0][0] == alone(longer)[0]


def test_cache_prompt_false_neither_uses_nor_leaves_anything():
    engine = make()
    finish(engine, engine.submit(request(PROMPTS[7])))
    for _ in range(2):
        _, _, end = finish(engine, engine.submit(request(PROMPTS[7], cache_prompt=False)))[0]
        assert (end.timings.n_cached, end.timings.n_prompt) == (0, 200)


def test_many_turns_evict_old_blocks_and_stay_right():
    engine = make(n_ctx=512, n_parallel=2)
    r = random.Random(3)
    texts = [[r.randrange(1, N_VOCAB) for _ in range(60)] for _ in range(4)]
    for turn in range(60):
        prompt = r.choice(texts)[: r.randrange(1, 60)] * r.randrange(1, 4)
        tokens, _, _ = finish(engine, engine.submit(request(prompt)))[0]
        assert tokens == alone(prompt)[0], turn


def test_eight_requests_with_one_prefix_compute_it_once():
    engine = make(n_parallel=8, n_ctx=8 * 2200)
    prefix = [1 + i % 200 for i in range(2000)]
    generations = [engine.submit(request([*prefix, 201 + i], n_predict=1)) for i in range(8)]
    finish(engine, *generations)
    assert engine.model.n_rows < 2000 + 8 * 66


def test_events_are_one_for_each_token_then_the_end():
    engine = make()
    generation = engine.submit(request(PROMPTS[1], n_predict=4))
    while engine.step():
        pass
    events = list(generation)
    assert [type(e) for e in events] == [TextEvent] * 4 + [FinishEvent]
    assert all(len(e.tokens) == 1 and len(e.text) == 1 for e in events[:4])
    end = events[4]
    assert (end.reason, end.n_prompt, end.n_predicted, end.truncated) == ("limit", 5, 4, False)
    assert generation.next_event() is end, "after the end it is the end that comes"


def test_n_predict_0_computes_the_prompt_and_says_nothing():
    engine = make()
    tokens, text, end = finish(engine, engine.submit(request(PROMPTS[7], n_predict=0)))[0]
    assert (tokens, text, end.reason, end.n_predicted) == ([], "", "limit", 0)
    assert finish(engine, engine.submit(request(PROMPTS[7])))[0][2].timings.n_cached == 199


@pytest.mark.parametrize("n_predict", [-1, -2, 10**6])
def test_a_full_context_ends_the_answer(n_predict):
    engine = make(n_ctx=100, n_parallel=2)
    tokens, _, end = finish(engine, engine.submit(request(PROMPTS[4], n_predict=n_predict)))[0]
    assert (end.reason, end.truncated, len(tokens)) == ("limit", True, 50 - 33)


class EndingModel(FakeModel):
    """Wants to end after a number of tokens."""

    def __init__(self, length):
        super().__init__()
        self.length = length

    def _logits(self, text):
        logits = super()._logits(text)
        if len(text) >= self.length:
            logits[END] += 200
        return logits


def test_an_end_token_ends_the_answer_without_showing():
    engine = make(EndingModel(8))
    tokens, text, end = finish(engine, engine.submit(request(PROMPTS[1])))[0]
    assert (end.reason, end.n_predicted, len(text), tokens[-1]) == ("eos", 4, 3, END)


def test_ignore_eos_bans_it():
    engine = make(EndingModel(8))
    tokens, _, end = finish(engine, engine.submit(request(PROMPTS[1], ignore_eos=True)))[0]
    assert (end.reason, len(tokens), END in tokens) == ("limit", 12, False)


def test_a_stop_text_over_several_tokens_ends_the_answer_and_is_not_shown():
    _, text, _ = alone(PROMPTS[2])
    engine = make()
    stop = text[4:7]
    _, shown, end = finish(engine, engine.submit(request(PROMPTS[2], stop=("zzzzz", stop))))[0]
    assert shown == text[: text.index(stop)]
    assert (end.reason, end.stopping_word) == ("word", stop)


def test_held_back_text_comes_when_the_answer_ends():
    _, text, _ = alone(PROMPTS[2])
    engine = make()
    _, shown, end = finish(engine, engine.submit(request(PROMPTS[2], stop=(text[-2:] + "#",))))[0]
    assert (shown, end.reason) == (text, "limit")


def test_a_model_without_vocabulary_gives_tokens_and_no_text():
    engine = make(tokenizer=None)
    tokens, text, _ = finish(engine, engine.submit(request(PROMPTS[2])))[0]
    assert tokens == alone(PROMPTS[2])[0] and text == ""


@pytest.mark.parametrize("steps", [0, 1, 3, 8])
def test_cancel_frees_everything_within_a_step(steps):
    """0: queued; 1, 3: in prefill, which goes in chunks of 64; 8: while it decodes."""
    engine = make(n_ubatch=64, n_ctx=1024, n_parallel=1)
    victim = engine.submit(request(PROMPTS[7] + PROMPTS[7], n_predict=-1))
    other = engine.submit(request(PROMPTS[3]))
    for _ in range(steps):
        engine.step()
    expected = {0: 0, 1: 1, 3: 1, 8: 1}[steps]
    assert engine.status().running == expected
    victim.cancel()
    victim.cancel()
    engine.step()
    assert [s.n_prompt for s in engine.status().sequences] == [32], "only the other runs"
    assert finish(engine, other)[0][0] == alone(PROMPTS[3])[0]
    assert finish(engine, victim)[0][2].reason == "cancelled"
    assert engine.status().kv_used == 0


def test_no_continuous_batching_runs_one_request_at_a_time():
    engine = make(continuous=False)
    finish(engine, *[engine.submit(request(p)) for p in PROMPTS[:4]])
    assert all(len(rows) == 1 for rows in engine.model.steps)


def test_a_batch_size_bounds_every_chunk_of_prefill():
    for options in ({"n_batch": 20}, {"n_ubatch": 20}):
        engine = make(**options)
        finish(engine, *[engine.submit(request(p)) for p in PROMPTS])
        assert max(sum(rows) for rows in engine.model.steps) <= 20 + 3


def test_while_others_decode_a_long_prompt_does_not_make_them_wait():
    engine = make(FakeModel(seconds_per_row=1e-3), n_ctx=4096, n_parallel=2, max_step_s=0.1)
    finish(engine, engine.submit(request([2] * 300, n_predict=2)))
    steady = engine.submit(request([5] * 10, n_predict=-1))
    while steady.next_event(0) is None:
        engine.step()
    engine.submit(request([7] * 1000, n_predict=1))
    n_before = len(engine.model.steps)
    while engine.status().requests < 2:
        engine.step()
        assert steady.next_event(0) is not None, "a token in every step"
    rows = [sum(rows) for rows in engine.model.steps[n_before:]]
    assert max(rows) <= 100, "no step takes longer than max_step_s"
    assert len(rows) < 100, "and they do not shrink for nothing"


def test_nan_logits_end_that_request_and_no_other():
    model = FakeModel()
    model.break_when = lambda text: "nan" if text[0] == 99 and len(text) > 40 else None
    engine = make(model)
    good, bad = engine.submit(request(PROMPTS[2])), engine.submit(request([99] * 38))
    assert finish(engine, good)[0][0] == alone(PROMPTS[2])[0]
    events = []
    with pytest.raises(GenerationError, match="result_output"):
        for event in bad:
            events.append(event)
    assert len(events) == 3
    assert engine.model.ops.listener is None
    assert finish(engine, engine.submit(request([99] * 20, n_predict=1)))[0][2].timings.n_cached == 0


def test_an_error_in_the_model_ends_those_it_concerns_and_the_engine_goes_on(caplog):
    model = FakeModel()
    engine = make(model, n_parallel=1)

    def fail(text):
        raise ZeroDivisionError("boom")

    model.break_when = fail
    bad, waiting = engine.submit(request(PROMPTS[2])), engine.submit(request(PROMPTS[3]))
    engine.step()
    with pytest.raises(GenerationError, match="ZeroDivisionError: boom"):
        bad.next_event(0)
    assert "Traceback" in caplog.text
    model.break_when = lambda text: None
    assert finish(engine, waiting)[0][0] == alone(PROMPTS[3])[0]
    assert engine.status().kv_used == 0


def test_when_no_token_can_be_chosen_the_request_ends_with_an_error():
    engine = make()
    ban = tuple((id, -math.inf) for id in range(N_VOCAB))
    generation = engine.submit(request(PROMPTS[0], sampling=SamplingParams(logit_bias=ban)))
    engine.step()
    with pytest.raises(GenerationError, match="no token can be chosen"):
        generation.next_event(0)


def test_logit_bias_decides():
    engine = make()
    sampling = SamplingParams(logit_bias=((42, 1000.0),))
    assert finish(engine, engine.submit(request(PROMPTS[0], sampling=sampling)))[0][0] == [42] * 12


def test_a_full_queue_refuses_and_a_long_prompt_is_named():
    engine = make(n_parallel=2, max_queue=3, n_ctx=200)
    for _ in range(5):
        engine.submit(request(PROMPTS[0]))
    with pytest.raises(EngineBusyError, match="5 requests"):
        engine.submit(request(PROMPTS[0]))
    with pytest.raises(ContextLengthError) as error:
        engine.submit(request([1] * 100))
    assert (error.value.n_prompt, error.value.n_ctx) == (100, 100)


def test_an_encoder_is_refused():
    model = FakeModel()
    model.is_encoder = True
    with pytest.raises(RequestError, match="fake gives embeddings"):
        make(model).submit(request([1, 2]))


def test_status_counts():
    engine = make()
    finish(engine, *[engine.submit(request(PROMPTS[7])) for _ in range(3)])
    finish(engine, engine.submit(request(PROMPTS[0], n_predict=0)))
    s = engine.status()
    assert (s.requests - 1, s.predicted_tokens, s.running, s.waiting, s.kv_used) == (3, 36, 0, 0, 0)
    assert s.prompt_tokens + s.cached_tokens == 601
    assert s.prompt_tokens < 300
    assert s.prompt_seconds > 0 and s.predicted_seconds > 0
    waiting = engine.submit(request(PROMPTS[0], request_id="abc"))
    assert engine.status().waiting == 1
    engine.step()
    (sequence,) = engine.status().sequences
    assert (sequence.request_id, sequence.state, sequence.n_predicted) == ("abc", "decode", 1)
    finish(engine, waiting)


def test_warm_up_leaves_no_trace():
    engine = make()
    engine.warm_up()
    assert engine.status() == make().status()
    assert any(rows == [1, 1] for rows in engine.model.steps) and [1] in engine.model.steps


# ---- with its thread ------------------------------------------------------------------------------------------------


def test_32_at_once_a_third_of_them_hanging_up_at_random():
    r = random.Random(1)
    prompts = [[r.randrange(1, N_VOCAB) for _ in range(r.randrange(1, 120))] for _ in range(32)]
    for i in range(0, 32, 4):
        prompts[i] = prompts[0][:40] + prompts[i]  # some share a prefix
    expected = [alone(p, n_predict=30)[0] for p in prompts]
    engine = make(FakeModel(seconds_per_row=2e-5), n_parallel=8, n_ctx=8 * 256, n_ubatch=64)
    engine.start()
    answers, hung_up = {}, set(r.sample(range(32), 11))

    def client(i):
        generation = engine.submit(request(prompts[i], n_predict=30))
        patience = r.randrange(20)
        tokens = []
        for event in generation:
            tokens += event.tokens if isinstance(event, TextEvent) else ()
            if i in hung_up and len(tokens) >= patience:
                generation.cancel()
        answers[i] = tokens

    clients = [threading.Thread(target=client, args=(i,)) for i in range(32)]
    for c in clients:
        c.start()
    for c in clients:
        c.join(30)
    engine.close()
    for i in set(range(32)) - hung_up:
        assert answers[i] == expected[i], i
    for i in hung_up:
        assert answers[i] == expected[i][: len(answers[i])]
    s = engine.status()
    assert (s.kv_used, s.running, s.waiting, s.requests) == (0, 0, 0, 32)


def test_the_thread_sleeps_when_there_is_nothing_to_do():
    engine = make()
    engine.start()
    list(engine.submit(request(PROMPTS[0])))
    time.sleep(0.05)
    before = time.thread_time(), time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before[1] < 0.05
    engine.close()


def test_close_finishes_what_is_open_within_its_time():
    engine = make()
    engine.start()
    generation = engine.submit(request(PROMPTS[5]))
    engine.close(timeout_s=10)
    assert [e.reason for e in generation if isinstance(e, FinishEvent)] == ["limit"]
    with pytest.raises(EngineBusyError, match="closing"):
        engine.submit(request(PROMPTS[5]))


@pytest.mark.parametrize("threaded", [True, False])
def test_close_cancels_what_takes_longer(threaded):
    engine = make(FakeModel(seconds_per_row=2e-3), n_ctx=100_000)
    if threaded:
        engine.start()
    generations = [engine.submit(request(p, n_predict=-1)) for p in PROMPTS]
    started = time.monotonic()
    engine.close(timeout_s=0.1)
    assert time.monotonic() - started < 2
    assert [finish(engine, g)[0][2].reason for g in generations] == ["cancelled"] * 8
    engine.close()


def test_a_defect_in_the_scheduler_ends_the_requests_with_an_error_instead_of_silence(monkeypatch):
    engine = make()
    plan = engine._stepper.scheduler.plan
    monkeypatch.setattr(engine._stepper.scheduler, "plan", lambda rows, resting: 1 / 0)
    generation = engine.submit(request(PROMPTS[0]))
    engine.start()
    with pytest.raises(GenerationError, match="ZeroDivisionError"):
        generation.next_event(5)
    monkeypatch.setattr(engine._stepper.scheduler, "plan", plan)
    assert isinstance(list(engine.submit(request(PROMPTS[0])))[-1], FinishEvent)
    engine.close()


class ControlTokenizer(FakeTokenizer):
    """Token 3 is the control token <call>; the end token is </s>."""

    def encode(self, text, add_special=True, parse_special=False):
        return {"<call>": [3], "</s>": [END]}.get(text, [4, 5])

    def stream(self, special=False, shown=frozenset()):
        texts = {3: "<call>", END: "</s>"}
        visible = (3, END) if special else shown
        push = lambda id: texts[id] if id in visible else "" if id in texts else "."  # noqa: E731
        return SimpleNamespace(push=push, flush=lambda: "")


@pytest.mark.parametrize(
    ("fields", "text"),
    [({}, ""), ({"preserved": ("<call>",)}, "<call>"), ({"preserved": ("<call>", "</s>", "<none>")}, "<call></s>")],
)
def test_preserved_control_tokens_are_rendered(fields, text):
    engine = make(tokenizer=ControlTokenizer())
    sampling = SamplingParams(temperature=0.0, logit_bias=((3, 200.0),))
    model_logits = engine.model._logits
    engine.model._logits = lambda cells: np.eye(N_VOCAB)[END] * 400 if len(cells) > 5 else model_logits(cells)
    [(tokens, answer, event)] = finish(engine, engine.submit(request([9] * 5, sampling=sampling, **fields)))
    assert (tokens, answer, event.reason) == ([3, END], text, "eos")
