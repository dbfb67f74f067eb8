"""Drafter: a draft model for all sequences at once, whose KV memory follows what became of its guesses."""

import numpy as np
import pytest
from speculation_runs import GREEDY, PROMPTS, FakeModel, Unsure, make, run, texts

from llamabox.engine import GenerationRequest, SamplingParams, SpeculativeParams
from llamabox.engine.speculation.drafter import TOP, _share

PLAIN = texts(run(make()))
SAMPLED = SamplingParams(seed=11, temperature=1.0, top_k=3)


def total(answers):
    return sum(t.n_drafted for _, t in answers), sum(t.n_accepted for _, t in answers)


@pytest.mark.parametrize("wrong_at", [1, 2, 3, 7, 10**9])
def test_answers_are_those_without_a_draft_model_however_good_it_is(wrong_at):
    engine = make({"model": Unsure(wrong_at), "n_max": 5, "n_min": 1})
    answers = run(engine)
    assert texts(answers) == PLAIN
    drafted, accepted = total(answers)
    status = engine.status()
    assert (status.drafted_tokens, status.accepted_tokens) == (drafted, accepted)
    if wrong_at == 1:
        assert drafted > 0 and accepted == 0
    elif wrong_at == 10**9:
        assert accepted == drafted, "the draft model always has every token in its cache"
        assert len(engine.model.steps) <= 1 + -(-39 // 6) + 1
    else:
        assert 0 < accepted < drafted


def test_sampled_answers_of_a_seed_are_those_without_a_draft_model():
    for seed in range(4):
        sampling = SamplingParams(seed=seed, temperature=1.0, top_k=3)
        answers = run(make({"model": Unsure(9), "n_max": 5, "n_min": 1}), sampling=sampling)
        assert texts(answers) == texts(run(make(), sampling=sampling))
        drafted, accepted = total(answers)
        assert 0 < accepted < drafted


def test_all_sequences_draft_in_one_pass_and_are_verified_in_one():
    draft = Unsure()
    engine = make({"model": draft, "n_max": 4, "n_min": 1})
    run(engine, [PROMPTS[2]] * 1 + [PROMPTS[3]] + [PROMPTS[1]])
    assert [1, 1, 1] in draft.steps
    assert [5, 5, 5] in engine.model.steps


def test_a_draft_ends_before_a_token_that_is_not_sure_enough():
    draft = {"model": Unsure(unsure_at=4), "n_max": 16, "n_min": 1}
    unsure = run(make({**draft, "p_min": 0.9}), [PROMPTS[2]])
    sure = run(make({**draft, "p_min": 0.5}), [PROMPTS[2]])
    assert texts(unsure) == texts(sure) == [PLAIN[2]]
    assert unsure[0][1].n_drafted < sure[0][1].n_drafted
    own = run(make({**draft, "p_min": 0.9}), [PROMPTS[2]], speculative=SpeculativeParams(p_min=0.5))
    assert own[0][1].n_drafted == sure[0][1].n_drafted, "a request may say so itself"


def test_short_drafts_are_not_used():
    draft = {"model": Unsure(unsure_at=4), "n_max": 16, "p_min": 0.9}
    assert run(make({**draft, "n_min": 4}), [PROMPTS[2]])[0][1].n_drafted == 0
    assert run(make({**draft, "n_min": 3}), [PROMPTS[2]])[0][1].n_drafted > 0
    own = run(make({**draft, "n_min": 4}), [PROMPTS[2]], speculative=SpeculativeParams(n_min=3))
    assert own[0][1].n_drafted > 0


def test_a_request_bounds_the_length_of_its_drafts():
    draft = {"model": Unsure(), "n_max": 8, "n_min": 1}
    for n_max, rows in ((0, 1), (2, 3), (100, 41)):
        engine = make(draft)
        answers = run(engine, [PROMPTS[2]], n_predict=42, speculative=SpeculativeParams(n_max=n_max))
        assert max(row[0] for row in engine.model.steps[1:]) == rows
        assert (answers[0][1].n_drafted == 0) == (n_max == 0)


def test_a_step_has_no_more_rows_than_it_may():
    engine = make({"model": Unsure(), "n_max": 100, "n_min": 1}, n_ubatch=64)
    answers = run(engine, [PROMPTS[0], PROMPTS[1], PROMPTS[2]], n_predict=100)
    assert texts(answers) == texts(run(make(), [PROMPTS[0], PROMPTS[1], PROMPTS[2]], n_predict=100))
    assert 60 <= max(map(sum, engine.model.steps)) <= 64


def test_the_draft_model_reuses_prefixes_and_keeps_what_was_computed():
    draft = Unsure(3)
    engine = make({"model": draft, "n_max": 5, "n_min": 1})
    first = run(engine, [PROMPTS[4]])
    before, steps = draft.n_rows, len(draft.steps)
    again = run(engine, [(*PROMPTS[4], *first[0][0][:30], 9)])
    assert texts(again) == texts(run(make(), [(*PROMPTS[4], *first[0][0][:30], 9)]))
    assert draft.n_rows - before < 100, "130 tokens of the prompt were there"
    assert draft.steps[steps][0] < 10
    before = draft.n_rows
    run(engine, [PROMPTS[4]], cache_prompt=False)
    assert draft.n_rows - before >= 100, "a request that reuses nothing"


def test_a_long_prompt_is_drafted_from_once_it_is_computed_in_pieces():
    prompt = tuple(1 + j % 200 for j in range(2000))
    draft = Unsure()
    engine = make({"model": draft, "n_max": 5, "n_min": 1}, n_ctx=8 * 2200, n_ubatch=100)
    answers = run(engine, [prompt])
    assert texts(answers) == texts(run(make(n_ctx=8 * 2200), [prompt]))
    assert max(map(sum, draft.steps)) <= 100
    assert answers[0][1].n_accepted > 20


def test_a_failing_draft_model_is_given_up_and_answers_go_on(caplog):
    draft = Unsure()
    draft.break_when = lambda text: 1 / 0 if len(text) > 60 else None
    assert texts(run(make({"model": draft, "n_max": 5, "n_min": 1}))) == PLAIN
    assert "draft model failed" in caplog.text
    draft = FakeModel()
    draft.break_when = lambda text: "nan"
    answers = run(make({"model": draft, "n_max": 5, "n_min": 1}))
    assert texts(answers) == PLAIN and total(answers) == (0, 0)


def test_cancelled_and_failed_sequences_leave_the_draft_models_memory():
    engine = make({"model": Unsure(), "n_max": 5, "n_min": 1})
    memory = engine._stepper._speculator._drafter._memory
    generation = engine.submit(GenerationRequest(PROMPTS[3], sampling=GREEDY))
    for _ in range(3):
        engine.step()
    assert memory.n_used > 0
    generation.cancel()
    run(engine, [PROMPTS[0]], n_predict=2)
    run(engine, [PROMPTS[0]], n_predict=2)
    assert memory.n_used <= 1


def test_tokens_that_one_of_the_two_vocabularies_has_not():
    draft = Unsure()
    draft.config.n_vocab = 200
    answers = run(make({"model": draft, "n_max": 5, "n_min": 1}))
    assert texts(answers) == PLAIN, "the target's own tokens from 200 on are not given to the draft model"
    assert max(max(t) for t in PLAIN) >= 200


def test_the_probability_is_the_share_among_the_ten_best():
    x = np.random.default_rng(2).normal(size=50).astype(np.float32)
    best = np.sort(x.astype(np.float64))[-TOP:]
    assert _share(x, x.max()) == pytest.approx(float(np.exp(best[-1]) / np.exp(best).sum()), rel=1e-5)
    assert _share(np.array([3.0, -50.0], np.float32), 3.0) == 1.0


def test_a_context_shift_is_followed(caplog):
    options = {"n_ctx": 128, "n_parallel": 1, "context_shift": True}
    plain = texts(run(make(**options), [PROMPTS[3]], n_predict=300))
    for speculation in ({"model": Unsure(7)}, {"ngram_min": 1}):
        engine = make({**speculation, "n_max": 5, "n_min": 1}, **options)
        answers = run(engine, [PROMPTS[3]], n_predict=300)
        assert texts(answers) == plain and len(plain[0]) == 300
        if "model" in speculation:
            assert answers[0][1].n_accepted > 100, "drafts go on after the shifts"
    assert "draft model failed" not in caplog.text
