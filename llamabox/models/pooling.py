"""Pooling: from the hidden states of one sequence to its embedding or scores. Source: llama.cpp src/llama-graph.cpp"""

from typing import Any

import numpy as np

from llamabox.models.loading import POOLINGS, LoadedModel
from llamabox.models.metadata import ModelError


def pool(model: LoadedModel, hidden: Any, pooling: str | None = None) -> np.ndarray:
    """Pool the hidden states of one whole sequence; nothing is normalised.

    Shapes:  hidden (T, D) -> none (T, D); mean, cls (the first row), last (D,); rank (labels,): the classifier's scores
    pooling: None is the file's own
    Errors:  ModelError for an unknown name, and for "rank" of a model without a classifier
    """
    kind = model.pooling if pooling is None else pooling
    if kind not in POOLINGS:
        raise ModelError(f"pooling: found {kind!r}, expected one of {', '.join(POOLINGS)}")
    if kind == "rank":
        return _rank(model, hidden)
    x = model.ops.to_numpy(hidden)
    if kind == "mean":
        return x.mean(axis=0, dtype=np.float64).astype(np.float32)
    return {"none": x, "cls": x[0], "last": x[-1]}[kind]


def _rank(model: LoadedModel, hidden: Any) -> np.ndarray:
    """The classifier of the first row; of the last one where only that has seen the whole sequence."""
    rank = getattr(model.module, "rank", None)
    if rank is None or model.weights.cls_output is None and model.weights.cls is None:
        raise ModelError(f'pooling: found "rank", but this {model.arch} model has no classifier')
    row = hidden[-1:] if model.causal else hidden[:1]  # (1, D)
    return model.ops.to_numpy(rank(model.ops, model.weights, model.config, row))[0]
