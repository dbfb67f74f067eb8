"""Rows of logits on their way from the backend to the samplers: whole, or the few values that a sampler looks at."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llamabox.engine.sampling import Candidates
from llamabox.kernels import Ops


def fetch(ops: Ops, logits: Any, needs: Sequence[int | None]) -> list[Candidates]:
    """Each row of logits (R, V) on the host.

    needs  of each row, how many of its largest values are wanted; None: all of them. Where the backend picks so many
           (`Ops.picks`) only those come, in descending order; a NaN, if the row has one, is the first
    """
    picked = [i for i, k in enumerate(needs) if k is not None and k <= ops.picks]
    whole = sorted(set(range(len(needs))) - set(picked))
    rows = dict(zip(whole, ops.to_numpy(_some(ops, logits, whole)), strict=True)) if whole else {}
    found = {i: Candidates(None, row) for i, row in rows.items()}
    if picked:
        counts = [needs[i] for i in picked]
        values, ids = map(ops.to_numpy, ops.largest(_some(ops, logits, picked), max(counts)))
        cut = zip(picked, counts, values, ids, strict=True)
        found |= {i: Candidates(row_ids[:k], row[:k], True) for i, k, row, row_ids in cut}
    return [found[i] for i in range(len(needs))]


def _some(ops: Ops, logits: Any, rows: list[int]) -> Any:
    """Some rows, where they are; logits itself for all of them."""
    return logits if len(rows) == len(logits) else ops.take_rows(logits, np.array(rows, np.int32))
