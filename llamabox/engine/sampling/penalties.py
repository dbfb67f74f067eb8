"""Repetition penalties: lower the logits of tokens that the text already holds."""

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from llamabox.engine.sampling.candidates import Candidates


class Penalties:
    """Counts the last `last_n` tokens (of prompt and answer) and penalises those.

    text      the tokens so far
    repeat     divides positive logits and multiplies the others; 1: off.  arXiv:1909.05858
    presence, frequency   subtracted once, and once for each occurrence; 0: off
    """

    def __init__(self, text: Sequence[int], last_n: int, repeat: float, presence: float, frequency: float):
        self._repeat, self._presence, self._frequency = (np.float32(x) for x in (repeat, presence, frequency))
        self._last_n = last_n
        self._window: deque[int] = deque(text[-last_n:])
        self._counts: Counter[int] = Counter(self._window)

    def accept(self, token: int) -> None:
        """The text goes on with this token."""
        self._window.append(token)
        self._counts[token] += 1
        if len(self._window) > self._last_n:
            old = self._window.popleft()
            self._counts[old] -= 1
            if self._counts[old] == 0:
                del self._counts[old]

    def apply(self, c: Candidates) -> Candidates:
        """Candidates with penalised logits."""
        ids = np.fromiter(self._counts.keys(), np.int64, len(self._counts))
        counts = np.fromiter(self._counts.values(), np.float32, len(self._counts))
        index, found = indices_of(c, ids)
        x, counts = c.logits[index], counts[found]
        x = np.where(x <= 0, x * self._repeat, x / self._repeat)
        logits = c.logits.copy()
        logits[index] = x - (counts * self._frequency + self._presence)
        return c.with_logits(logits, False)


def indices_of(c: Candidates, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where these token ids are among the candidates: (indices of candidates, indices into ids), both (found,)."""
    if c.ids is None:
        found = np.flatnonzero(ids < len(c))
        return ids[found], found
    order = np.argsort(c.ids, kind="stable")  # fast where they are in order already
    at = np.searchsorted(c.ids, ids, sorter=order)
    found = np.flatnonzero(at < len(c))
    found = found[c.ids[order[at[found]]] == ids[found]]
    return order[at[found]], found
