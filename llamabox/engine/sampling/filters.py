"""The filters that look at nothing but the candidates: each takes Candidates and returns fewer, or other logits.

What each one means is llama.cpp's (src/llama-sampler.cpp); conformance/sampling.py compares them with it. No loop runs
over the vocabulary, and a filter that needs order sorts no more of it than it must.
"""

import numpy as np

from llamabox.engine.sampling.candidates import Candidates, order, softmax

HEADS = (256, 8192)  # how many of the largest are tried before a whole vocabulary is sorted
TINY, HUGE = 1e-37, 1e37  # temperatures beyond these are taken as these: f32 ends soon after


def top_k(c: Candidates, k: int) -> Candidates:
    """The k largest, in order; k <= 0: all, as they are.  arXiv:1805.04833"""
    return c if k <= 0 else c.largest(min(k, len(c)))


def top_n_sigma(c: Candidates, n: float) -> Candidates:
    """Those more than n standard deviations of all logits below the largest become impossible; n <= 0: none.

    Source:  arXiv:2411.07641. As in llama.cpp they still count as candidates, of probability 0.
    """
    if n <= 0 or len(c) < 2:
        return c
    possible = c.logits[c.logits > -np.inf]
    least = c.logits.max() - np.float32(n) * possible.std()
    return c.with_logits(np.where(c.logits < least, np.float32(-np.inf), c.logits), c.ordered)


def top_p(c: Candidates, p: float, min_keep: int = 0) -> Candidates:
    """The fewest of the largest whose probabilities sum to p or more, at least min_keep; p >= 1: all.

    Source:  arXiv:1904.09751
    """
    if p >= 1:
        return c
    total = np.exp(c.logits - c.logits.max()).sum()
    for size in HEADS:
        head = c.largest(min(size, len(c)))
        n_kept = max(_reaching(np.exp(head.logits - head.logits[0]) / total, p), min_keep)
        if n_kept <= len(head) or len(head) == len(c):
            return head.take(slice(0, n_kept), True)
    negated = -c.logits
    falling = np.sort(negated)  # from the largest on; then in place, since this handles whole vocabularies
    np.subtract(falling[0], falling, out=falling)
    np.exp(falling, out=falling)
    falling /= total
    return c.take(_smallest(negated, min(max(_reaching(falling, p), min_keep), len(c))), False)


def _reaching(probabilities: np.ndarray, p: float) -> int:
    """How many of them, from the first, it takes to sum to p or more; one too many when all do not."""
    return int(np.searchsorted(np.cumsum(probabilities), np.float32(p), side="left")) + 1


def min_p(c: Candidates, p: float, min_keep: int = 0) -> Candidates:
    """Those at least p times as probable as the most probable one, and at least min_keep; p <= 0: all.

    Source:  arXiv:2407.01082
    """
    if p <= 0:
        return c
    keep = np.flatnonzero(c.logits >= c.logits.max() + np.log(np.float32(p)))
    if len(keep) < max(min_keep, 1):  # p > 1: llama.cpp keeps the most probable one
        return c.largest(min(max(min_keep, 1), len(c)))
    return c.take(keep, c.ordered)


def typ_p(c: Candidates, p: float, min_keep: int = 0) -> Candidates:
    """Locally typical: those whose surprise is nearest to the entropy, until they sum to more than p and are min_keep.

    p >= 1: all.  Source:  arXiv:2202.00666. The result is in order of typicality, not of logits.
    """
    if p >= 1:
        return c
    possible = np.flatnonzero(c.logits > -np.inf)
    if len(possible) < len(c):
        c = c.take(possible, c.ordered)
    shifted = c.logits - c.logits.max()
    probabilities = np.exp(shifted)
    total = probabilities.sum()
    probabilities /= total
    surprise = np.log(total) - shifted  # -log of each probability
    distance = np.abs(surprise - (probabilities * surprise).sum())
    near = _smallest(distance, min(max(16 * HEADS[0], min_keep), len(c)))
    if probabilities[near].sum() <= p:
        near = np.arange(len(c))
    near = near[order(distance[near])]
    n_kept = int(np.searchsorted(np.cumsum(probabilities[near]), np.float32(p), side="right")) + 1
    return c.take(near[: max(n_kept, min_keep)], False)


def xtc(c: Candidates, probability: float, threshold: float, rng: np.random.Generator, min_keep: int = 0) -> Candidates:
    """Exclude top choices: with this probability, drop all but the least of those at or above the threshold, unless
    fewer than min_keep would be left.

    Takes one number from rng, unless the filter is off (probability <= 0 or threshold > 0.5) or has no choice.
    """
    if probability <= 0 or threshold > 0.5 or len(c) < 2 or rng.random() > probability:
        return c
    p = softmax(c.logits)
    above = np.flatnonzero(p >= threshold)
    if len(above) < 2 or len(c) - len(above) + 1 < min_keep:
        return c
    least = above[::-1][np.argmin(p[above[::-1]])]  # of equal ones the last
    keep = np.ones(len(c), bool)
    keep[above] = False
    keep[least] = True
    return c.take(np.flatnonzero(keep), c.ordered)


def temperature(c: Candidates, t: float) -> Candidates:
    """Logits divided by t; t <= 0: only the largest remains possible."""
    if t <= 0:
        return c.take(np.array([np.argmax(c.logits)]), True)
    scale = np.float32(min(max(t, TINY), HUGE))
    logits = c.logits / scale
    if not np.isfinite(logits.max()):  # too large for f32, but only differences matter
        logits = (c.logits - c.logits.max()) / scale
    return c.with_logits(logits, c.ordered)


def dynamic_temperature(c: Candidates, t: float, spread: float, exponent: float) -> Candidates:
    """Temperature between t - spread and t + spread, higher the nearer the entropy is to that of a uniform choice."""
    if spread <= 0:
        return temperature(c, t)
    if len(c) < 2:
        return c
    p = softmax(c.logits)
    p = p[p > 0]
    normalized = float(-(p * np.log(p)).sum()) / float(np.log(np.float32(len(c))))
    low, high = max(0.0, t - spread), t + spread
    return temperature(c, low + (high - low) * min(max(0.0, normalized), 1.0) ** exponent)


def _smallest(x: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k smallest, in no order; of equal ones the first."""
    threshold = np.partition(x, k - 1)[k - 1]
    below, equal = np.flatnonzero(x < threshold), np.flatnonzero(x == threshold)
    return np.concatenate([below, equal[: k - len(below)]])
