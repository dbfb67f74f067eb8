"""EngineOptions and the rule for -c."""

import logging

import pytest

from llamabox.engine import EngineOptions, RequestError, effective_context


def test_a_sequence_holds_its_share():
    assert EngineOptions(n_ctx=4096, n_parallel=4).n_seq == 1024
    assert EngineOptions(n_ctx=100, n_parallel=3).n_seq == 33


def test_without_continuous_batching_one_sequence_runs():
    options = EngineOptions(n_ctx=4096, n_parallel=4, continuous=False)
    assert (options.n_running, options.n_seq) == (1, 1024)


@pytest.mark.parametrize("name", ["n_ctx", "n_parallel", "n_batch", "n_ubatch", "max_queue", "max_step_s"])
def test_numbers_that_make_no_engine_are_refused(name):
    with pytest.raises(RequestError, match=f"{name}: found 0"):
        EngineOptions(**{"n_ctx": 512, name: 0})


def test_too_little_context_for_so_many_sequences_is_refused():
    with pytest.raises(RequestError, match="found 7 tokens for 4 sequences"):
        EngineOptions(n_ctx=7, n_parallel=4)


@pytest.mark.parametrize(
    "requested, rope, n_parallel, expected",
    [
        (0, False, 1, 2048),  # the model's own
        (1000, False, 1, 1000),
        (2048, False, 1, 2048),
        (4096, False, 1, 2048),  # capped
        (4096, False, 2, 4096),  # 2048 for each
        (4097, False, 2, 4097),
        (10_000, False, 4, 8192),
        (10_000, True, 1, 10_000),  # positions beyond the training context mean something
    ],
)
def test_effective_context(requested, rope, n_parallel, expected, caplog):
    with caplog.at_level(logging.WARNING):
        assert effective_context(requested, 2048, rope, n_parallel) == expected
    assert bool(caplog.records) == (expected < requested)


def test_a_negative_context_is_refused():
    with pytest.raises(RequestError, match="-c: found -1"):
        effective_context(-1, 2048, False)
