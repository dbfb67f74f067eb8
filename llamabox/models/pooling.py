"""Pooling: from the hidden states of sequences to their embeddings or scores. Source: llama.cpp src/llama-graph.cpp"""

from typing import Any

import numpy as np

from llamabox.models.loading import LoadedModel
from llamabox.models.metadata import POOLINGS, ModelError

WANTED = {
    "none": "all",
    "mean": "all",
    "cls": "first",
    "last": "last",
}  # rows of a sequence, as kernels.Rows names them


def pool(model: LoadedModel, hidden: Any, pooling: str | None = None) -> np.ndarray:
    """Pool the hidden states of one whole sequence; nothing is normalised.

    Shapes:  hidden (T, D) -> none (T, D); mean, cls (the first row), last (D,); rank (labels,): the classifier's scores
    pooling: None is the file's own
    Errors:  ModelError for an unknown name, and for "rank" of a model without a classifier
    """
    kind = model.pooling if pooling is None else pooling
    rows = {"all": hidden, "first": hidden[:1], "last": hidden[-1:]}[wanted_rows(model, kind)]
    return pool_batch(model, rows, [len(rows)], kind)[0]


def wanted_rows(model: LoadedModel, kind: str) -> str:
    """Which rows of a sequence a pooling needs: "all", "first" or "last".

    Errors:  as pool
    """
    if kind not in POOLINGS:
        raise ModelError(f"pooling: found {kind!r}, expected one of {', '.join(POOLINGS)}")
    if kind == "rank" and not model.has_classifier:
        raise ModelError(f'pooling: found "rank", but this {model.arch} model has no classifier')
    return WANTED[model.rank_pooling if kind == "rank" else kind]


def pool_batch(model: LoadedModel, hidden: Any, counts: list[int], kind: str) -> list[np.ndarray]:
    """`pool` of several sequences, of which hidden holds the wanted rows only, counts[n] of sequence n."""
    x = model.ops.to_numpy(hidden)
    parts = np.split(x, np.cumsum(counts)[:-1])
    if kind == "none":
        return parts
    if (model.rank_pooling if kind == "rank" else kind) == "mean":
        x = np.stack([part.mean(axis=0, dtype=np.float64) for part in parts]).astype(np.float32)
    if kind == "rank":
        x = model.ops.to_numpy(model.module.rank(model.ops, model.weights, model.config, model.ops.array(x)))
    return list(x)
