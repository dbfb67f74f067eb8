"""Candidates: the tokens a sampler may still choose, and the few operations on them that all filters share."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Candidates:
    """Token ids with their logits.

    ids      int (C,); None: token i is at index i, that is, nothing has been filtered or sorted yet
    logits   f32 (C,)
    ordered  True when the logits descend
    """

    ids: np.ndarray | None
    logits: np.ndarray
    ordered: bool = False

    def __len__(self) -> int:
        return len(self.logits)

    def take(self, index: np.ndarray | slice, ordered: bool) -> "Candidates":
        """The candidates at these indices, in that order."""
        if self.ids is not None:
            ids = self.ids[index]
        else:
            ids = np.arange(len(self.logits))[index] if isinstance(index, slice) else index
        return Candidates(ids, self.logits[index], ordered)

    def with_logits(self, logits: np.ndarray, ordered: bool) -> "Candidates":
        """The same tokens with other logits."""
        return Candidates(self.ids, logits, ordered)

    def token(self, index: int) -> int:
        """The id of one candidate."""
        return index if self.ids is None else int(self.ids[index])

    def sort(self) -> "Candidates":
        """In descending order of logits; equal ones keep their order."""
        if self.ordered:
            return self
        return self.take(np.argsort(-self.logits, kind="stable"), True)

    def largest(self, k: int) -> "Candidates":
        """The k largest, in descending order; of equal ones the first."""
        if self.ordered or k >= len(self):
            return self.sort().take(slice(0, k), True)
        threshold = np.partition(self.logits, len(self) - k)[len(self) - k]
        index = np.flatnonzero(self.logits >= threshold)  # k, or more when several equal the threshold
        order = np.argsort(-self.logits[index], kind="stable")[:k]
        return self.take(index[order], True)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, f32 (C,)."""
    e = np.exp(logits - logits.max())
    return e / e.sum()


def draw(c: Candidates, rng: np.random.Generator) -> int:
    """The index of a candidate chosen by its probability; takes one number from rng."""
    cumulative = np.cumsum(np.exp(c.logits - c.logits.max()), dtype=np.float64)
    index = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    return min(index, len(c) - 1)
