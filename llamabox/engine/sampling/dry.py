"""DRY: penalise a token that would continue a repetition, exponentially in the repetition's length.

Source: koboldcpp pull request 982 by pi6am; llama.cpp's `dry` sampler, whose results this reproduces.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from llamabox.engine.sampling.candidates import Candidates
from llamabox.engine.sampling.penalties import indices_of

MAX_BREAKER_BYTES = 40
MAX_TAIL_TOKENS = 20
MAX_LOG = 88.7228391  # log of the largest f32

Breakers = Mapping[int, Sequence[tuple[int, ...]]]  # first token -> what may follow it; (): it breaks alone


class Dry:
    """Follows the text; `apply` penalises the tokens that would repeat what an equal passage went on with."""

    def __init__(
        self,
        text: Sequence[int],
        multiplier: float,
        base: float,
        allowed_length: int,
        last_n: int,
        breakers: Breakers,
    ):
        self._multiplier, self._base = np.float32(multiplier), np.float32(base)
        self._allowed_length, self._last_n, self._breakers = allowed_length, last_n, breakers
        text = text[-last_n:]
        self._n = len(text)
        room = np.zeros(256, np.int32)
        self._tokens = np.concatenate([np.array(text, np.int32), room])
        # runs[i]: how many tokens up to i equal as many at the end of the text; the last one's own is never used
        self._runs = np.concatenate([np.array(_runs(text), np.int32), room])
        self._last_break = (-1, 0)  # index of a breaker's first token; none so far: before the text
        self._find_break(self._n)

    def accept(self, token: int) -> None:
        """The text goes on with this token. O(length of the text), vectorised."""
        n = self._n
        if n == len(self._tokens):
            self._tokens = np.concatenate([self._tokens, np.zeros_like(self._tokens)])
            self._runs = np.concatenate([self._runs, np.zeros_like(self._runs)])
        runs, equal = self._runs, self._tokens[:n] == token
        runs[1:n] = np.where(equal[1:], runs[: n - 1] + 1, 0) if n > 1 else 0
        if n > 0:
            runs[0] = equal[0]
        self._tokens[n] = token
        self._n = n + 1
        self._find_break(MAX_TAIL_TOKENS + 1)

    def apply(self, c: Candidates) -> Candidates:
        """Candidates with penalised logits."""
        n = min(self._n, self._last_n)
        limit = self._limit(n)
        if n <= self._allowed_length or limit < self._allowed_length:
            return c
        window = self._tokens[self._n - n : self._n]
        runs = self._runs[self._n - n : self._n - 1]  # (n - 1,): the last token has nothing after it
        lengths = np.minimum(np.minimum(runs, np.arange(1, n)), limit)  # no run reaches out of the window
        repeating = np.flatnonzero(lengths >= self._allowed_length)
        ids, inverse = np.unique(window[repeating + 1], return_inverse=True)
        longest = np.zeros(len(ids), np.int32)
        np.maximum.at(longest, inverse, lengths[repeating])
        allowed = np.array([() not in self._breakers.get(int(id), ()) for id in ids], bool)
        return self._penalise(c, ids[allowed], longest[allowed])

    def _penalise(self, c: Candidates, ids: np.ndarray, lengths: np.ndarray) -> Candidates:
        exponent = lengths - self._allowed_length
        if self._base > 1.000001:
            exponent = np.minimum(exponent, int(np.float32(MAX_LOG) / np.log(self._base)))
        index, found = indices_of(c, ids)
        logits = c.logits.copy()
        logits[index] -= self._multiplier * self._base ** exponent[found].astype(np.float32)
        return c.with_logits(logits, False)

    def _limit(self, n: int) -> int:
        """How long a repetition may count: the tokens after the last sequence breaker among the last n."""
        head, n_tail = self._last_break
        return n if head < self._n - n else self._n - 1 - head - n_tail

    def _find_break(self, n_recent: int) -> None:
        """Remember the newest token that begins a breaker, and how many more that takes, among the n_recent last."""
        recent = self._tokens[max(0, self._n - n_recent) : self._n][::-1].tolist()  # the newest first
        for i, head in enumerate(recent):
            tails = [t for t in self._breakers.get(head, ()) if len(t) <= i and list(t) == recent[i - len(t) : i][::-1]]
            if tails:
                self._last_break = self._n - 1 - i, max(len(t) for t in tails)
                return


def _runs(text: Sequence[int]) -> list[int]:
    """For each i < n - 1, how many tokens up to i equal as many at the end: the Z-algorithm on the reversed text."""
    z, n = list(reversed(text)), len(text)
    lengths, left, right = [0] * n, 0, 0  # z[left:right] is a beginning of z
    for k in range(1, n):
        length = min(lengths[k - left], right - k) if k < right else 0
        while k + length < n and z[length] == z[k + length]:
            length += 1
        lengths[k] = length
        if k + length > right:
            left, right = k, k + length
    return lengths[::-1]


def find_breakers(texts: Iterable[str], pieces: Sequence[bytes], encode) -> dict[int, list[tuple[int, ...]]]:
    """Every way in which tokens can spell a sequence breaker: {first token: [the tokens after it, ...]}.

    pieces  the bytes of each token of the vocabulary. llama.cpp drops a space that begins a token of an SPM vocabulary,
            so that a breaker " the" never meets the token " the" there; here it does
    encode  text -> token ids, without special tokens
    """
    found: dict[int, list[tuple[int, ...]]] = {}
    for text in texts:
        breaker = text.encode("utf-8", "surrogateescape")[:MAX_BREAKER_BYTES]
        tails: dict[
            int, tuple[int, ...]
        ] = {}  # how many bytes of the breaker the first token holds -> the rest's tokens
        for id in _may_begin(breaker, pieces):
            piece = pieces[id]
            if breaker in piece:
                _add(found, id, ())
                continue
            for at in range(len(piece)):
                n = min(len(piece) - at, len(breaker))
                if piece[at : at + n] == breaker[:n]:
                    if n not in tails:
                        rest = breaker[n:].decode("utf-8", "replace")
                        tails[n] = tuple(encode(rest))[:MAX_TAIL_TOKENS]
                    _add(found, id, tails[n])
    return found


def _may_begin(breaker: bytes, pieces: Sequence[bytes]) -> list[int]:
    first = breaker[:1]
    return [id for id, piece in enumerate(pieces) if first in piece] if first else []


def _add(found: dict[int, list[tuple[int, ...]]], id: int, tail: tuple[int, ...]) -> None:
    tails = found.setdefault(id, [])
    if tail not in tails:
        tails.append(tail)
