"""Candidates: the tokens a sampler may still choose, and the few operations on them that all filters share."""

from dataclasses import dataclass

import numpy as np

SPAN = 1024  # weights are summed by spans before one is looked for
PIECE = 64  # the largest are looked for among the maxima of pieces


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
        return self if self.ordered else self.take(order(-self.logits), True)

    def largest(self, k: int) -> "Candidates":
        """The k largest, in descending order; of equal ones the first."""
        if self.ordered or k >= len(self):
            return self.sort().take(slice(0, k), True)
        bound = _below_the(k, self.logits)
        if bound > -np.inf:
            index = np.flatnonzero(self.logits >= bound)  # k, or some more
        else:
            index = _possible_first(k, self.logits)
        return self.take(index[order(-self.logits[index])[:k]], True)


def _below_the(k: int, x: np.ndarray) -> np.float32:
    """At most the k-th largest of x, and near it: of many values, the k-th largest among the maxima of short pieces."""
    n_pieces = len(x) // PIECE
    if k > n_pieces // 4:
        return np.partition(x, len(x) - k)[len(x) - k]
    maxima = x[: n_pieces * PIECE].reshape(n_pieces, PIECE).max(axis=1)
    return np.partition(maxima, n_pieces - k)[n_pieces - k]


def _possible_first(k: int, x: np.ndarray) -> np.ndarray:
    """Indices of all that are not -inf, and of as many others as it takes to make k."""
    possible = np.flatnonzero(x > -np.inf)
    if len(possible) >= k:
        return possible
    return np.sort(np.concatenate([possible, np.flatnonzero(x == -np.inf)[: k - len(possible)]]))


def order(x: np.ndarray) -> np.ndarray:
    """Indices of x f32 (C,) in ascending order; equal ones keep their order.

    Sorts integers made of a value's bits (which order like the values once negative ones are turned round) and its
    index: NumPy sorts those several times faster than it finds a stable order.
    """
    bits = (x + np.float32(0)).view(np.int32)  # -0 becomes 0
    bits ^= bits >> 31 & 0x7FFFFFFF  # negative ones turned round
    keys = bits.astype(np.int64)
    keys <<= 32
    keys |= np.arange(len(x))
    keys.sort()
    keys &= 0xFFFFFFFF
    return keys


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, f32 (C,)."""
    e = np.exp(logits - logits.max())
    return e / e.sum()


def draw(c: Candidates, rng: np.random.Generator) -> int:
    """The index of a candidate chosen by its probability; takes one number from rng."""
    weights = c.logits - c.logits.max()
    np.exp(weights, out=weights)
    sums = np.cumsum(np.add.reduceat(weights, np.arange(0, len(c), SPAN)), dtype=np.float64)  # (spans,)
    target = rng.random() * sums[-1]
    span = _first_above(sums, target)
    before = sums[span - 1] if span > 0 else 0.0
    inside = np.cumsum(weights[span * SPAN : (span + 1) * SPAN], dtype=np.float64)
    return span * SPAN + _first_above(inside, target - before)


def _first_above(cumulative: np.ndarray, target: float) -> int:
    """Where a running sum first exceeds target; where it reaches its end, if rounding lets it exceed it nowhere."""
    return int(np.searchsorted(cumulative, min(target, np.nextafter(cumulative[-1], 0)), side="right"))
