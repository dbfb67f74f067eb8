"""Scheduler: order, fairness, prefixes that are computed once. Sequences are real, forward passes are not needed."""

import pytest

from llamabox.engine.generation import Generation
from llamabox.engine.kv_memory import KVMemory, common_prefix
from llamabox.engine.request import GenerationRequest, SamplingParams
from llamabox.engine.sampling import Sampler
from llamabox.engine.scheduler import Scheduler
from llamabox.engine.sequence import Sequence
from llamabox.engine.stopping import TextOutput
from llamabox.kernels import BLOCK


def sequence(prompt, cache_prompt=True):
    request = GenerationRequest(tuple(prompt), cache_prompt=cache_prompt)
    sampler = Sampler(SamplingParams(), prompt, 1000, 4096)
    output = TextOutput(None, (), frozenset())
    return Sequence(Generation(request, lambda: None), sampler, output, frozenset(), 4096)


def scheduler(n_running=4, n_blocks=512):
    return Scheduler(KVMemory(n_blocks, lambda *blocks: None), n_running)


def run_step(s, n_rows):
    """One step without a model -> {sequence: rows}; those that sample get token 5."""
    s.admit()
    works = s.plan(n_rows)
    for work in works:
        s.computed(work)
        if work.samples:
            work.sequence.accept(5)
    return {work.sequence: work.count for work in works}


def test_first_come_first_served_up_to_the_number_that_may_run():
    s = scheduler(n_running=2)
    queue = [sequence([i] * 10) for i in range(1, 5)]
    for q in queue:
        s.add(q)
    assert list(run_step(s, 100)) == queue[:2]
    s.remove(queue[0])
    run_step(s, 100)
    assert s.running == [queue[1], queue[2]] and list(s.waiting) == [queue[3]]


def test_all_that_decode_run_in_every_step_beside_a_bounded_chunk_of_prefill():
    s = scheduler()
    short, long = sequence([1] * 10), sequence([2] * 1000)
    s.add(short)
    run_step(s, 100)
    s.add(long)
    for _ in range(10):
        assert run_step(s, 100) == {short: 1, long: 100}
    assert run_step(s, 100) == {short: 1, long: 1}, "and then both decode"


def test_prompts_share_the_chunk_and_a_short_one_leaves_the_rest_to_the_others():
    s = scheduler()
    a, b, c = sequence([1] * 1000), sequence([2] * 20), sequence([3] * 1000)
    for q in (a, b, c):
        s.add(q)
    assert run_step(s, 120) == {b: 20, a: 50, c: 50}


def test_a_prefix_that_is_just_being_computed_is_waited_for_and_computed_once():
    s = scheduler(n_running=8)
    prefix = list(range(2000))
    queue = [sequence([*prefix, 3000 + i]) for i in range(8)]
    for q in queue:
        s.add(q)
    rows = 0
    while not all(q.is_decoding for q in queue):
        rows += sum(n for q, n in run_step(s, 256).items() if not q.n_predicted > 1)
    assert rows < 2000 + 8 * (2 * BLOCK + 1)
    assert all(q.n_cached >= 2000 // BLOCK * BLOCK for q in queue[1:])


def test_one_that_waits_for_a_prefix_keeps_its_place_and_others_pass_only_into_other_places():
    s = scheduler(n_running=2)
    a, b, c = sequence(range(500)), sequence([*range(480), 7, 8]), sequence([9] * 10)
    for q in (a, b, c):
        s.add(q)
    run_step(s, 100)
    assert s.running == [a] and list(s.waiting) == [b, c], "the second place is b's"
    for _ in range(5):
        run_step(s, 100)
    assert s.running == [a, b]
    assert b.n_cached == 480


def test_when_the_one_that_computes_the_prefix_is_cancelled_the_next_takes_over():
    s = scheduler()
    a, b = sequence(range(500)), sequence(range(500))
    s.add(a)
    s.add(b)
    run_step(s, 100)
    s.remove(a)
    assert run_step(s, 100) == {b: 100}
    assert b.n_cached == 100, "to the token"


@pytest.mark.parametrize("which", [0, 1])
def test_a_request_that_shares_nothing_waits_for_nobody(which):
    s = scheduler()
    share = [True, True]
    share[which] = False
    a, b = (sequence(range(500), cache_prompt=c) for c in share)
    s.add(a)
    s.add(b)
    assert run_step(s, 100) == {a: 50, b: 50}


def test_without_a_free_block_a_sequence_waits_for_one():
    s = scheduler(n_running=2, n_blocks=4)
    a, b = sequence([1] * 120), sequence([2] * 30)
    s.add(a)
    s.add(b)
    run_step(s, 500)
    assert a.is_decoding != b.is_decoding
    first, second = (a, b) if a.is_decoding else (b, a)
    s.remove(first)
    run_step(s, 500)
    assert second.is_decoding


def test_common_prefix_counts_equal_tokens():
    text = list(range(100))
    assert common_prefix(text, text) == 100
    assert common_prefix(text[:96], text) == 96
    assert common_prefix(text, text[:40] + [7] * 60) == 40
    assert common_prefix(text, [7, *text[1:]]) == 0
    assert common_prefix([1], []) == 0
