"""Speculator: n-grams before the draft model, the dynamic cache, and what a request allows."""

import logging
import random
from types import SimpleNamespace

import pytest
from speculation_runs import END, GREEDY, Cycle, FakeModel, Unsure, make, run, texts

from llamabox.engine import GenerationRequest, RequestError, SamplingParams, SpeculationOptions, SpeculativeParams
from llamabox.engine.speculation import NgramFileError
from llamabox.engine.speculation.ngram_file import read_ngrams, write_ngrams
from llamabox.engine.speculation.ngrams import NgramTable
from llamabox.engine.speculation.speculator import COUNT_AT_ONCE, Context

NGRAMS = {"ngram_min": 1, "n_max": 8, "n_min": 1}


def test_a_cycle_is_drafted_from_its_first_repetition_on():
    engine = make(NGRAMS, Cycle())
    answers = run(engine, [(5, 6), (1, 2, 3)], n_predict=100)
    assert texts(answers) == texts(run(make(target=Cycle()), [(5, 6), (1, 2, 3)], n_predict=100))
    for _, timings in answers:
        assert timings.n_accepted == timings.n_drafted > 70
    assert [9, 9] in engine.model.steps
    assert len(engine.model.steps) < 30


@pytest.mark.parametrize("sampling", [GREEDY, SamplingParams(seed=4, temperature=0.7, top_k=2)])
def test_answers_are_those_without_where_drafts_are_often_wrong(sampling):
    class Erratic(Cycle):
        def _logits(self, text):
            return super()._logits(text if len(text) % 5 > 0 else text[:-1]) + super()._logits(text) * 0.95

    prompts = [tuple(random.Random(i).choices(range(1, 6), k=120)) for i in range(4)]
    answers = run(make(NGRAMS, Erratic()), prompts, sampling=sampling, n_predict=60)
    assert texts(answers) == texts(run(make(target=Erratic()), prompts, sampling=sampling, n_predict=60))
    assert sum(t.n_drafted for _, t in answers) > sum(t.n_accepted for _, t in answers) > 0


def test_short_n_grams_can_be_left_out():
    prompt = (1, 2, 9, 1, 2, 8, 1, 2, 7)  # 1 is always followed by 2; no four tokens are there twice
    drafted = [run(make({**NGRAMS, "ngram_min": n}, Cycle()), [prompt], n_predict=5)[0][1].n_drafted for n in (1, 4)]
    assert drafted[0] >= 1 and drafted[1] == 0


def test_a_request_may_do_without():
    answers = run(make(NGRAMS, Cycle()), [(1, 2)], n_predict=50, speculative=SpeculativeParams(n_max=0))
    assert answers[0][1].n_drafted == 0
    few = make(NGRAMS, Cycle())
    run(few, [(1, 2)], n_predict=50, speculative=SpeculativeParams(n_max=3))
    assert max(rows[0] for rows in few.model.steps) == 4
    answers = run(make(NGRAMS, Cycle()), [(1, 2)], n_predict=50, speculative=SpeculativeParams(n_max=3, n_min=9))
    assert answers[0][1].n_drafted > 0, "n_min is at most n_max"


def test_n_grams_come_before_the_draft_model():
    draft = Unsure()
    engine = make({**NGRAMS, "model": draft}, Cycle())
    run(engine, [(1, 2)], n_predict=100)
    n_steps = len(draft.steps)
    run(engine, [(1, 2)], n_predict=200)
    assert n_steps > 1 and len(draft.steps) - n_steps < n_steps + 8, "once n-grams repeat it only follows"
    mixed = make({**NGRAMS, "model": Unsure(5), "n_max": 5}, FakeModel())
    assert texts(run(mixed)) == texts(run(make()))


def test_the_dynamic_cache_is_written_on_close_and_used_by_the_next(tmp_path):
    path = tmp_path / "dynamic"
    first = make({**NGRAMS, "dynamic": path}, Cycle())
    run(first, [(3,)], n_predict=60)
    assert not path.exists()
    first.close()
    counts = dict(read_ngrams(path, 300))
    assert counts[(2, 3)][4] >= 7 and (3,) in counts
    n_drafted = {}
    for name, cache in (("none", {}), ("dynamic", {"dynamic": path})):
        engine = make({**NGRAMS, **cache}, Cycle())
        n_drafted[name] = run(engine, [(2, 3)], n_predict=8)[0][1].n_drafted
    assert n_drafted["dynamic"] >= 6 and n_drafted["none"] == 0, "before anything repeats in the answer itself"


def test_the_dynamic_cache_holds_answers_and_neither_prompts_nor_those_who_want_no_trace(tmp_path):
    path = tmp_path / "dynamic"
    engine = make({**NGRAMS, "dynamic": path}, Cycle())
    run(engine, [(100, 101, 3)], n_predict=5)
    run(engine, [(200, 201, 3)], n_predict=5, cache_prompt=False)
    engine.close()
    ngrams = dict(read_ngrams(path, 300))
    assert (100,) not in ngrams and ngrams[(3,)] == {4: 1} and ngrams[(100, 101, 3)] == {4: 1}
    assert not any(200 in ngram or 201 in ngram for ngram in ngrams)


def test_a_cancelled_answer_counts_as_far_as_it_went(tmp_path):
    engine = make({**NGRAMS, "dynamic": tmp_path / "dynamic"}, Cycle())
    generation = engine.submit(GenerationRequest((1,), sampling=GREEDY))
    for _ in range(4):
        engine.step()
    generation.cancel()
    engine.close()
    assert dict(read_ngrams(tmp_path / "dynamic", 300))[(1,)] == {2: 1}


def test_a_static_cache_drafts_what_has_never_been_seen(tmp_path):
    table = NgramTable(2)
    table.count([1, 2, 3, 4, 5, 6, 7] * 3, 0)
    write_ngrams(tmp_path / "static", table.items())
    answers = run(make({**NGRAMS, "static": tmp_path / "static"}, Cycle()), [(2, 3)], n_predict=8)
    assert answers[0][1].n_accepted == answers[0][1].n_drafted >= 6


def test_a_bad_cache_file_is_an_error_at_the_start(tmp_path):
    (tmp_path / "bad").write_bytes(b"x" * 20)
    for name in ("static", "dynamic"):
        with pytest.raises(NgramFileError, match="bad"):
            make({**NGRAMS, name: tmp_path / "bad"})
    with pytest.raises(NgramFileError, match="No such file"):
        make({**NGRAMS, "static": tmp_path / "none"})
    with pytest.raises(NgramFileError, match="no folder"):
        make({**NGRAMS, "dynamic": tmp_path / "none" / "x"})


def test_a_cache_that_cannot_be_written_is_reported_and_no_more(tmp_path, caplog):
    folder = tmp_path / "folder"
    folder.mkdir()
    engine = make({**NGRAMS, "dynamic": folder / "dynamic"}, Cycle())
    run(engine, [(1,)])
    folder.rmdir()
    with caplog.at_level(logging.ERROR):
        engine.close()
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize(
    ("field", "value"),
    [("n_max", -1), ("n_min", -1), ("p_min", 1.5), ("p_min", float("nan")), ("ngram_min", 5), ("static", "x")],
)
def test_options_are_checked(field, value):
    with pytest.raises(RequestError, match=f"{field}: found") as error:
        SpeculationOptions(**{field: value})
    assert error.value.param == field


def test_a_long_prompt_is_counted_in_pieces():
    context, tokens = Context(1), list(range(COUNT_AT_ONCE + 10))
    sequence = SimpleNamespace(tokens=tokens, n_discarded=0)
    assert not context.count(sequence) and context.n_counted == COUNT_AT_ONCE
    assert context.count(sequence)
    whole = NgramTable(1)
    whole.count(tokens, 0)
    assert dict(context.table.items()).keys() == dict(whole.items()).keys()


def test_an_answer_may_end_inside_a_draft():
    class Ends(Cycle):
        def _logits(self, text):
            x = super()._logits(text)
            x[END] = 40.0 * (len(text) == 40)
            return x

    engine = make(NGRAMS, Ends())
    answers = run(engine, [(1, 2)], n_predict=80)
    assert texts(answers) == texts(run(make(target=Ends()), [(1, 2)], n_predict=80))
    assert answers[0][0][-1] == END and len(answers[0][0]) == 39
    assert engine.model.steps[-1][0] == 9, "the last step verified a draft that went on"
