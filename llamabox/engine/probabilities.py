"""How probable tokens were, by the logits alone or by what the samplers left of them. No loop over the vocabulary."""

from collections.abc import Callable, Sequence

import numpy as np

from llamabox.engine.request import TokenProbs
from llamabox.engine.sampling.candidates import Candidates

LOWEST = float(np.finfo(np.float32).min)  # stands for -inf, which JSON does not have


class Probabilities:
    """The report of one request.

    n_top    most probable tokens that are named beside each one
    sampled  after the samplers: their candidates only, those of probability 0 left out; else over the vocabulary
    piece    the bytes of a token
    """

    def __init__(self, n_top: int, sampled: bool, piece: Callable[[int], bytes]):
        self._n_top, self._sampled, self._piece = n_top, sampled, piece

    def of_answer(self, token: int, logits: np.ndarray, left: Candidates) -> TokenProbs:
        """A token that was chosen.  logits f32 (V,); left: the candidates that it was drawn from"""
        if not self._sampled:
            return self._report(token, Candidates(None, logits))
        probs = self._report(token, left)
        return TokenProbs(
            probs.id, probs.piece, probs.logprob, tuple(top for top in probs.top if np.exp(np.float32(top[2])) > 0)
        )

    def of_prompt(self, tokens: Sequence[int], logits: Sequence[np.ndarray]) -> tuple[TokenProbs, ...]:
        """Tokens of the prompt, each by the logits (V,) that came before it."""
        return tuple(self._report(id, Candidates(None, row)) for id, row in zip(tokens, logits, strict=True))

    def _report(self, token: int, c: Candidates) -> TokenProbs:
        total = log_sum_exp(c.logits)
        at = token if c.ids is None else int(np.flatnonzero(c.ids == token)[0])
        n_top = min(self._n_top, len(c))
        best = c.largest(n_top) if n_top > 0 else c.take(slice(0, 0), True)
        logprobs = np.maximum(best.logits.astype(np.float64) - total, LOWEST).tolist()
        ids = [best.token(i) for i in range(n_top)]
        top = tuple((id, self._piece(id), logprob) for id, logprob in zip(ids, logprobs, strict=True))
        return TokenProbs(token, self._piece(token), max(float(c.logits[at]) - total, LOWEST), top)


def log_sum_exp(logits: np.ndarray) -> float:
    """log of the sum of exp over all of them."""
    largest = float(logits.max())
    return largest + float(np.log(np.exp(logits - np.float32(largest)).sum(dtype=np.float64)))
