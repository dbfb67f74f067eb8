"""Lookup: drafts from n-grams of the sequence itself, of earlier answers and of a large text.

The rules are llama.cpp's (common/ngram-cache.cpp, common_ngram_cache_draft). Each token of a draft is what followed, in
most cases, the longest n-gram before it: of this sequence (context), else of earlier answers (dynamic, with stricter
limits). A static cache weighs their candidates, and is asked itself when they have none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llamabox.engine.speculation.ngrams import (
    NGRAM_MAX,
    NGRAM_STATIC,
    Followers,
    FrozenBigrams,
    NgramTable,
    ngram_key,
)


@dataclass(frozen=True)
class Limits:
    """For the shortest n-gram in use, the next longer one, ...: how often it must have been seen, and in how many
    percent of the cases the same token must have followed."""

    counts: tuple[int, ...]
    percents: tuple[int, ...]


LAX = Limits((2, 2, 1, 1), (66, 50, 50, 50))
STRICT = Limits((4, 3, 2, 2), (75, 66, 66, 66))
STATIC_COUNT, STATIC_PERCENT = LAX.counts[NGRAM_STATIC - 1], LAX.percents[NGRAM_STATIC - 1]
STATIC_WEIGHT = 100  # how much more a token weighs that the static cache knows


@dataclass(frozen=True, eq=False)
class Lookup:
    """Shared by all sequences. n_min: the shortest n-grams of context and dynamic tables that count."""

    n_min: int
    dynamic: NgramTable
    static: FrozenBigrams | None = None

    def draft(self, tokens: Sequence[int], n_draft: int, context: NgramTable) -> tuple[int, ...]:
        """At most n_draft guesses of what follows tokens.  context: the table of these tokens"""
        if len(tokens) < NGRAM_STATIC:
            return ()
        recent, draft = list(tokens[-NGRAM_MAX:]), []
        while len(draft) < n_draft:
            token = self._guess(recent, context)
            if token is None:
                break
            draft.append(token)
            recent = [*recent[-NGRAM_MAX + 1 :], token]
        return tuple(draft)

    def _guess(self, recent: list[int], context: NgramTable) -> int | None:
        known = None if self.static is None else self.static.find(ngram_key(recent[-NGRAM_STATIC:]))
        token = self._from_table(context, recent, known, LAX)
        if token is None:
            token = self._from_table(self.dynamic, recent, known, STRICT)
        if token is None and known is not None:
            enough = known.total >= STATIC_COUNT and 100 * known.best_count >= STATIC_PERCENT * known.total
            token = known.best if enough else None
        return token

    def _from_table(self, table: NgramTable, recent: list[int], known: Followers | None, limits: Limits) -> int | None:
        """What the longest n-gram that passes the limits says."""
        for n in range(min(NGRAM_MAX, len(recent)), self.n_min - 1, -1):
            found = table.find(n, ngram_key(recent[-n:]))
            if found is None:
                continue
            token, i = _choose(found, known), n - self.n_min
            if found.total >= limits.counts[i] and 100 * found.counts[token] >= limits.percents[i] * found.total:
                return token
        return None


def _choose(found: Followers, known: Followers | None) -> int:
    """The most frequent follower, those that the static cache knows weighed by it."""
    if known is None:
        return found.best
    few, many = sorted((found.counts, known.counts), key=len)
    best, weight = found.best, found.best_count
    for token in few:
        if token in many and found.counts[token] * known.counts[token] * STATIC_WEIGHT > weight:
            best, weight = token, found.counts[token] * known.counts[token] * STATIC_WEIGHT
    return best
