"""Pace, with a made-up clock: steps cost `fixed` seconds and so many a row."""

import pytest

from llamabox.engine.pace import FIRST_ROWS, Pace


def prefill(pace, n_tokens, n_decoding, fixed, per_row, growth=0.0):
    """Run a prompt through -> the duration of each step."""
    seconds, done = [], 0
    while done < n_tokens:
        rows = min(pace.prefill_rows(n_decoding), n_tokens - done)
        seconds.append(fixed + rows * (per_row + growth * done) + n_decoding * per_row)
        pace.measured(rows, n_decoding, seconds[-1])
        done += rows
    return seconds


@pytest.mark.parametrize("per_row", [1e-4, 2e-3, 1e-2, 0.1])
@pytest.mark.parametrize("n_decoding", [1, 8])
def test_no_step_is_longer_than_the_gap_while_others_decode(per_row, n_decoding):
    pace = Pace(512, 0.5)
    prefill(pace, 300, 0, 0.02, per_row)  # somebody's prompt, alone
    for _ in range(20):
        pace.measured(0, n_decoding, 0.02 + n_decoding * per_row)
    decode = 0.02 + n_decoding * per_row
    seconds = prefill(pace, 2000, n_decoding, 0.02, per_row)
    assert max(seconds) <= max(0.5, 1.6 * decode)


def test_it_keeps_up_as_a_row_gets_dearer_with_the_context():
    pace = Pace(512, 0.5)
    prefill(pace, 300, 0, 0.02, 2e-3)
    seconds = prefill(pace, 8000, 2, 0.02, 2e-3, growth=2e-6)  # nine times as dear at the end
    assert max(seconds) <= 0.5
    assert sum(seconds) / len(seconds) > 0.2, "and uses the time it has"


def test_a_short_prompt_does_not_slow_down_the_next_long_one():
    pace = Pace(512, 0.5)
    prefill(pace, 2000, 1, 0.05, 1e-3)
    before = pace.prefill_rows(1)
    prefill(pace, 3, 1, 0.05, 1e-3)
    assert pace.prefill_rows(1) == before


def test_it_recovers_from_one_very_slow_step():
    pace = Pace(512, 0.5)
    pace.measured(64, 0, 30.0)  # kernels were compiled
    assert pace.prefill_rows(1) < 8
    prefill(pace, 3000, 0, 0.01, 1e-3)
    assert pace.prefill_rows(0) == 512


def test_where_decoding_alone_takes_longer_than_the_aim_prefill_still_moves():
    pace = Pace(512, 0.5)
    for _ in range(20):
        pace.measured(0, 4, 0.8)
    seconds = prefill(pace, 600, 4, 0.8, 1e-3)
    assert len(seconds) < 40


def test_the_batch_size_bounds_the_chunk_from_the_first_step_on():
    assert Pace(16, 0.5).prefill_rows(0) == 16
    assert Pace(512, 0.5).prefill_rows(0) == FIRST_ROWS
    pace = Pace(100, 0.5)
    prefill(pace, 5000, 0, 0.0, 1e-6)
    assert pace.prefill_rows(0) == 100
