"""Mirostat 1 and 2: choose tokens so that their surprise stays near a target.  arXiv:2007.14966"""

import math

import numpy as np

from llamabox.engine.sampling.candidates import Candidates, softmax

M = 100  # how many of the most probable tokens estimate the exponent of Zipf's law, in version 1


class Mirostat:
    """version 1 or 2; tau: target surprise in bits; eta: learning rate. mu, twice tau at first, follows the text."""

    def __init__(self, version: int, tau: float, eta: float, n_vocab: int):
        self._cut = self._cut_1 if version == 1 else self._cut_2
        self._tau, self._eta, self._n_vocab = tau, eta, n_vocab
        self.mu = 2 * tau

    def candidates(self, c: Candidates) -> Candidates:
        """Those that mu allows, at least one."""
        return c if len(c) < 2 else self._cut(c)

    def observe(self, c: Candidates, index: int) -> None:
        """One of these candidates was chosen: mu moves by how surprising it was among them."""
        surprise = -math.log2(softmax(c.logits)[index])
        self.mu -= self._eta * (surprise - self._tau)

    def _cut_1(self, c: Candidates) -> Candidates:
        p = softmax(c.largest(min(M, len(c))).logits)
        p = p[p > 0]
        if len(p) < 2:
            return c.largest(1)
        ranks = np.arange(1, len(p), dtype=np.float32)
        t = np.log((ranks + 1) / ranks)
        s = float((t * np.log(p[:-1] / p[1:])).sum() / (t * t).sum())
        k = max(1, self._k(s))
        return c if k >= len(c) else c.largest(k)

    def _k(self, s: float) -> int:
        """How many tokens of a Zipf law with exponent s give a surprise of mu; the vocabulary's size at most."""
        epsilon = s - 1
        with np.errstate(all="ignore"):
            base = epsilon * np.float64(2) ** self.mu / (1 - np.float64(self._n_vocab) ** -epsilon)
            k = base ** (1 / np.float64(s))
        return int(k) if k < self._n_vocab else self._n_vocab

    def _cut_2(self, c: Candidates) -> Candidates:
        with np.errstate(divide="ignore"):
            keep = np.flatnonzero(-np.log2(softmax(c.logits)) <= self.mu)
        return c.take(keep, c.ordered) if len(keep) > 0 else c.largest(1)
