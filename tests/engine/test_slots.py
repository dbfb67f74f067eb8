"""Slots: which number a sequence gets, what a slot remembers, and what GET /slots tells of it."""

import pytest
from engine_fakes import FakeModel, FakeTokenizer

from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationRequest, RequestError, SamplingParams

GREEDY = SamplingParams(temperature=0.0)


def make(**options):
    options = {"n_ctx": 1024, "n_parallel": 4, "cache_type_k": "f32", "cache_type_v": "f32", **options}
    return Engine(FakeModel(), FakeTokenizer(), EngineOptions(**options))


def text(seed, n=40):
    return tuple(1 + (seed * 31 + i * 7) % 250 for i in range(n))


def submit(engine, prompt, **fields):
    return engine.submit(GenerationRequest(tuple(prompt), **{"sampling": GREEDY, "n_predict": 4, **fields}))


def end(engine, generation) -> FinishEvent:
    while not isinstance(event := generation.next_event(0), FinishEvent):
        if event is None:
            assert engine.step()
    return event


def slot_of(engine, prompt, **fields):
    return end(engine, submit(engine, prompt, **fields)).id_slot


def test_each_running_request_has_a_number_of_its_own_and_keeps_it():
    engine = make()
    generations = [submit(engine, text(i), n_predict=20) for i in range(4)]
    for _ in range(5):
        engine.step()
        slots = engine.slots()
        assert [s.request.prompt for s in slots] == [text(i) for i in range(4)]
        assert [s.id_task for s in slots] == [0, 1, 2, 3]
    assert [end(engine, g).id_slot for g in generations] == [0, 1, 2, 3]
    assert [s.request for s in engine.slots()] == [None] * 4


def test_the_least_recently_used_slot_comes_next():
    engine = make(n_parallel=3)
    assert [slot_of(engine, text(i)) for i in range(5)] == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("similarity, expected", [(0.5, 1), (0.9, 0), (0.0, 0)])
def test_a_prompt_goes_to_the_slot_whose_tokens_it_resembles(similarity, expected):
    """It begins with 3 fifths of what slot 1 holds; slot 0 is the least recently used."""
    engine = make(n_parallel=3, similarity=similarity)
    for i in range(3):
        slot_of(engine, text(i))
    assert slot_of(engine, (*text(1)[:24], *text(9)[:16])) == expected


def test_a_request_gets_the_slot_it_asks_for_and_waits_for_it_while_others_pass():
    engine = make(n_parallel=2)
    assert slot_of(engine, text(1), id_slot=1) == 1
    assert slot_of(engine, text(2), id_slot=1) == 1
    assert slot_of(engine, text(3), id_slot=7) == 1, "of 2 slots, 7 is the second"
    long = submit(engine, text(4), n_predict=50, id_slot=1)
    engine.step()
    waits, passes = submit(engine, text(5), id_slot=1), submit(engine, text(6))
    assert end(engine, passes).id_slot == 0
    assert engine.status().waiting == 1 and engine.slots()[1].request.prompt == text(4)
    long.cancel()
    assert end(engine, waits).id_slot == 1


@pytest.mark.parametrize("value", [-2, 2**31, True, 1.5, "1"])
def test_bad_slots_are_refused(value):
    with pytest.raises(RequestError, match="id_slot: found") as error:
        submit(make(), text(1), id_slot=value)
    assert error.value.param == "id_slot"


def test_what_a_slot_tells_of_its_request():
    engine = make()
    generation = submit(engine, text(1, 40), n_predict=9)
    for _ in range(4):
        engine.step()
    slot = engine.slots()[0]
    assert (slot.id, slot.state, slot.n_prompt, slot.n_computed, slot.n_predicted) == (0, "decode", 40, 43, 4)
    assert slot.n_cached == 0 and slot.has_new_line is False
    end(engine, generation)
    slot = engine.slots()[0]
    assert (slot.state, slot.request, slot.id_task, slot.n_computed) == ("idle", None, 0, 48)
    assert engine.slots()[1].id_task == -1 and engine.slots()[1].n_computed == 0
    again = submit(engine, text(1, 40), n_predict=9)
    engine.step()
    assert engine.slots()[0].n_cached == 39
    again.cancel()


def test_one_request_at_a_time_still_shows_all_slots():
    engine = make(continuous=False)
    for i in range(3):
        submit(engine, text(i))
    engine.step()
    assert [s.request is not None for s in engine.slots()] == [True, False, False, False]
