"""make_step packs ragged batches; refuses parts that cannot be."""

import numpy as np
import pytest

from llamabox.kernels import BLOCK, KVCache, KVShape, Rows, make_step


@pytest.fixture
def kv():
    return KVCache([KVShape(1, 8, 8)], 10)


def test_the_example_of_the_docstring(kv):
    step = make_step([Rows(0, 3, [4], "none"), Rows(9, 1, [2]), Rows(40, 1, [7, 5])], kv)
    assert step.seq.tolist() == [0, 0, 0, 1, 2]
    assert step.pos.tolist() == [0, 1, 2, 9, 40]
    assert step.row_start.tolist() == [0, 3, 4, 5]
    assert step.kv_len.tolist() == [3, 10, 41]
    assert step.tables.tolist() == [[4, -1], [2, -1], [7, 5]]
    assert step.cells.tolist() == [4 * BLOCK, 4 * BLOCK + 1, 4 * BLOCK + 2, 2 * BLOCK + 9, 5 * BLOCK + 40 - BLOCK]
    assert step.out_rows.tolist() == [3, 4]
    assert step.causal and step.kv is kv
    assert {a.dtype for a in (step.pos, step.seq, step.row_start, step.kv_len, step.tables, step.out_rows)} == {
        np.dtype(np.int32)
    }


def test_which_rows_are_wanted():
    parts = [Rows(0, 2, want="all"), Rows(5, 3, want="last"), Rows(0, 1, want="none"), Rows(0, 4, want="first")]
    assert make_step(parts, None).out_rows.tolist() == [0, 1, 4, 6]


@pytest.mark.parametrize("parts", [[], [Rows(0, 0)], [Rows(-1, 2)]], ids=str)
def test_empty_parts_and_negative_starts_are_refused(parts):
    with pytest.raises(ValueError, match="at least one row and a start of 0 or more"):
        make_step(parts, None)


def test_a_table_that_is_too_short_is_refused(kv):
    make_step([Rows(BLOCK - 2, 2, [0])], kv)
    with pytest.raises(ValueError, match=f"1 blocks cannot hold {BLOCK + 1} cells"):
        make_step([Rows(BLOCK - 1, 2, [0])], kv)


def test_an_unknown_wish_is_refused():
    with pytest.raises(ValueError, match="want is 'some'"):
        make_step([Rows(0, 1, want="some")], None)
