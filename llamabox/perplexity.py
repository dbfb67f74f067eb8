"""Perplexity: how well a model predicts a text, chunk by chunk, as llama-perplexity computes it.

The text is cut into chunks of n_ctx tokens, each read by itself, its first token replaced by BOS where the tokenizer
adds one. The second half of a chunk counts, so that every token that counts has at least n_ctx / 2 before it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from llamabox.api import Model
from llamabox.kernels import BLOCK, Rows, make_step
from llamabox.models import ModelError, adapter_set


@dataclass(frozen=True)
class Estimate:
    """What is known after `chunk` of `chunks` chunks.

    count             tokens that were predicted
    mean, mean_square of their negative log-likelihoods, in nats
    """

    chunk: int
    chunks: int
    count: int
    mean: float
    mean_square: float

    @property
    def perplexity(self) -> float:
        return math.exp(self.mean)

    @property
    def uncertainty(self) -> float:
        """The standard error of perplexity."""
        if self.count < 2:
            return math.inf
        variance = max(0.0, self.mean_square - self.mean * self.mean)
        return math.sqrt(variance / (self.count - 1)) * self.perplexity


def perplexity(
    model: Model, text: str, n_ctx: int = 512, n_ubatch: int = 512, chunks: int | None = None
) -> Iterator[Estimate]:
    """An Estimate after each chunk; the last one is that of the whole text.

    n_ctx     tokens a chunk
    n_ubatch  most rows computed at once
    chunks    read at most so many; None: all
    Errors:   ModelError for a model that predicts nothing or has no vocabulary, or a text shorter than 2 n_ctx tokens
    Source:   llama.cpp's tools/perplexity; https://huggingface.co/docs/transformers/perplexity
    """
    if model.model.is_encoder or not model.model.causal:
        raise ModelError(f"perplexity: {model.model.arch} does not predict the next token")
    if model.tokenizer is None:
        raise ModelError("perplexity: the file has no vocabulary")
    if not 3 <= n_ctx <= model.n_ctx:  # of fewer, no token would count
        raise ModelError(f"perplexity: found chunks of {n_ctx} tokens, expected 3 to {model.n_ctx}")
    if n_ubatch < 1 or (chunks is not None and chunks < 1):
        raise ModelError(f"perplexity: found n_ubatch {n_ubatch} and chunks {chunks}, expected 1 or more")
    tokens = np.array(model.tokenizer.encode(text), np.int32)
    if len(tokens) < 2 * n_ctx:
        raise ModelError(f"perplexity: found a text of {len(tokens)} tokens, expected at least {2 * n_ctx}")
    total = len(tokens) // n_ctx if chunks is None else min(chunks, len(tokens) // n_ctx)
    losses = np.zeros(0)
    for i in range(total):
        chunk = tokens[i * n_ctx : (i + 1) * n_ctx].copy()
        if model.tokenizer.add_bos:
            chunk[0] = model.tokenizer.bos
        losses = np.concatenate([losses, _losses(model, chunk, n_ubatch)])
        yield Estimate(i + 1, total, len(losses), float(losses.mean()), float(np.square(losses).mean()))


def _losses(model: Model, chunk: np.ndarray, n_ubatch: int) -> np.ndarray:
    """Negative log-likelihoods of the tokens after the middle of a chunk, f64 (n_ctx - n_ctx // 2 - 1,)."""
    table = np.arange(-(-len(chunk) // BLOCK), dtype=np.int32)
    cache = model.model.ops.kv_cache(model.config.kv_shapes(), len(table), *model.cache_types)
    losses, first, end = [], len(chunk) // 2, len(chunk) - 1
    adapters = [adapter_set(dict(enumerate(model.lora_scales)))]
    starts = [*range(0, first, n_ubatch), *range(first, end, n_ubatch), end]
    for start, stop in zip(starts[:-1], starts[1:], strict=True):
        step = make_step([Rows(start, stop - start, table, "all" if start >= first else "none")], cache)
        logits = model.model.ops.to_numpy(model.model.forward(chunk[start:stop], step, adapters))
        if start >= first:
            losses.append(_cross_entropy(logits, chunk[start + 1 : stop + 1]))
    return np.concatenate(losses)


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """-log softmax(logits)[target] of each row.  f32 (R, V), int (R,) -> f64 (R,)"""
    largest = logits.max(axis=1)
    total = np.exp(logits - largest[:, None]).sum(axis=1, dtype=np.float64)
    return np.log(total) + largest - logits[np.arange(len(targets)), targets]
