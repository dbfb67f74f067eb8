"""Stepper: drafts are verified in one pass, and leave nothing behind but the tokens that were accepted."""

import pytest
from engine_fakes import END, FakeModel, FakeTokenizer

from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationRequest, SamplingParams

PROMPT = tuple(range(1, 41))
SAMPLING = {"greedy": SamplingParams(temperature=0.0), "sampled": SamplingParams(seed=3, temperature=2.0, top_k=0)}


def make(**options):
    options = {"n_ctx": 512, "n_parallel": 4, "cache_type_k": "f32", "cache_type_v": "f32", **options}
    return Engine(FakeModel(), FakeTokenizer(), EngineOptions(**options))


def answer(engine, draft=lambda tokens: (), prompt=PROMPT, n_predict=30, **fields):
    """The tokens of one request, whose sequence gets draft(its tokens) before each step; and its FinishEvent."""
    generation = engine.submit(GenerationRequest(prompt, n_predict=n_predict, **fields))
    tokens = []
    while not isinstance(event := generation.next_event(0), FinishEvent):
        if event is not None:
            tokens += event.tokens
            continue
        for sequence in engine._stepper.scheduler.running:
            if sequence.is_decoding:
                sequence.draft = tuple(draft(sequence.tokens))
        assert engine.step()
    return tokens, event


@pytest.mark.parametrize("sampling", SAMPLING.values(), ids=SAMPLING)
@pytest.mark.parametrize("n_right", [0, 1, 3, 5])
def test_the_answer_is_the_same_whatever_part_of_a_draft_is_right(sampling, n_right):
    plain, _ = answer(make(), sampling=sampling)
    whole = [*PROMPT, *plain]
    engine = make()

    def draft(tokens):
        right = whole[len(tokens) : len(tokens) + n_right]
        return (*right, *(1 + (whole[i] + 1) % 250 for i in range(5 - len(right))))

    tokens, end = answer(engine, draft, sampling=sampling)
    assert tokens == plain
    assert end.n_predicted == 30
    steps = [rows for rows in engine.model.steps if rows == [6]]
    assert len(steps) == -(-29 // (n_right + 1)), "n_right guesses and one more token in each step"
    drafted, accepted = 5 * len(steps), 30 - 1 - len(steps)
    assert end.timings.n_drafted == drafted
    assert accepted <= end.timings.n_accepted <= accepted + 1, "the last token may be a guess, with none after it"
    status = engine.status()
    assert (status.drafts, status.drafted_tokens) == (len(steps), drafted)
    assert status.accepted_tokens == end.timings.n_accepted == sum(status.accepted_by_position)
    assert len(status.accepted_by_position) == n_right
    again, end = answer(engine, sampling=sampling)
    assert again == plain, "rejected tokens are in no block that stays as cache"
    assert end.timings.n_cached == len(PROMPT) - 1
    longer = (*PROMPT, *plain, 7)
    more, end = answer(engine, prompt=longer, sampling=sampling)
    assert more == answer(make(), prompt=longer, sampling=sampling)[0]
    assert end.timings.n_cached - len(PROMPT) in (29, 30), "all computed tokens of the answer, and no other"


def test_an_answer_ends_inside_a_draft_at_its_limit_and_at_an_end_token():
    plain, _ = answer(make(), sampling=SAMPLING["greedy"])
    whole = [*PROMPT, *plain]
    tokens, end = answer(make(), lambda t: whole[len(t) : len(t) + 8], n_predict=4, sampling=SAMPLING["greedy"])
    assert (tokens, end.reason) == (plain[:4], "limit")
    sampling = SamplingParams(temperature=0.0, logit_bias=((END, 1e9),))
    tokens, end = answer(make(), lambda t: [END, 5, 6], sampling=sampling)
    assert (tokens, end.reason) == ([END], "eos")


def test_a_draft_that_finds_no_block_is_left_out():
    engine = make(n_ctx=64, n_parallel=1)
    plain, _ = answer(make(n_ctx=64, n_parallel=1), sampling=SAMPLING["greedy"])
    tokens, end = answer(engine, lambda t: [9] * 20, sampling=SAMPLING["greedy"])
    assert tokens == plain
    assert [21] in engine.model.steps and [1] in engine.model.steps
