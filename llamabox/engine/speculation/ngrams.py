"""How often each token followed each n-gram: a table that grows token by token, and one that is only read.

An n-gram is a key: its last token in the lowest 32 bits, the one before it in the next, so that the key of a longer
n-gram goes on where the key of a shorter one ends.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from llamabox.engine.speculation.ngram_file import Records

NGRAM_MAX, NGRAM_STATIC = 4, 2  # longest n-gram; the length of those that a static cache is asked for
TOKEN_BITS = 32
MAX_NGRAMS = 1 << 20  # about 200 MB; a table with so many counts on, but takes in no new ones


def ngram_key(tokens: Sequence[int]) -> int:
    """The key of an n-gram."""
    key = 0
    for token in tokens:
        key = key << TOKEN_BITS | token
    return key


class Followers:
    """The tokens that followed one n-gram. counts: token -> times; best: of the most frequent the one seen last."""

    __slots__ = ("best", "best_count", "counts", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.total, self.best, self.best_count = 0, -1, 0

    def add(self, token: int, count: int) -> None:
        """The token was seen so many more times."""
        now = self.counts[token] = self.counts.get(token, 0) + count
        self.total += count
        if now >= self.best_count:
            self.best, self.best_count = token, now


class NgramTable:
    """Counts what follows the n-grams of n_min to NGRAM_MAX tokens.

    Most n-grams have one follower; a packed integer, count and token, stands for those.
    """

    def __init__(self, n_min: int = 1, records: Records | None = None):
        self._n_min = n_min
        self._entries: list[dict[int, int | Followers]] = [{} for _ in range(NGRAM_MAX + 1)]
        if records is not None:
            self._load(records)

    def __len__(self) -> int:
        return sum(map(len, self._entries))

    def count(self, tokens: Sequence[int], start: int) -> None:
        """Count tokens[start:], each as what followed the n-grams before it."""
        room = MAX_NGRAMS - len(self)
        for i in range(start, len(tokens)):
            key, token = 0, tokens[i]
            for n in range(1, min(NGRAM_MAX, i) + 1):
                key |= tokens[i - n] << TOKEN_BITS * (n - 1)
                if n >= self._n_min:
                    room -= self._add(n, key, token, 1, room > 0)

    def find(self, n: int, key: int) -> Followers | None:
        """What followed the n-gram of n tokens."""
        entry = self._entries[n].get(key)
        return _unpacked(entry) if isinstance(entry, int) else entry

    def items(self) -> Iterator[tuple[tuple[int, ...], Mapping[int, int]]]:
        """(n-gram, {token: times}) of all."""
        mask = (1 << TOKEN_BITS) - 1
        for n, entries in enumerate(self._entries):
            for key, entry in entries.items():
                ngram = tuple(key >> TOKEN_BITS * (n - 1 - i) & mask for i in range(n))
                yield ngram, (_unpacked(entry) if isinstance(entry, int) else entry).counts

    def _add(self, n: int, key: int, token: int, count: int, may_grow: bool) -> bool:
        """True when the n-gram is new."""
        entries = self._entries[n]
        entry = entries.get(key)
        if entry is None:
            if may_grow:
                entries[key] = count << TOKEN_BITS | token
            return may_grow
        if isinstance(entry, int):
            if entry & ((1 << TOKEN_BITS) - 1) == token:
                entries[key] = entry + (count << TOKEN_BITS)
                return False
            entry = entries[key] = _unpacked(entry)
        entry.add(token, count)
        return False

    def _load(self, records: Records) -> None:
        """What a file holds; of an n-gram or follower that is there twice, the first counts."""
        for ngram, followers in records:
            entries, key = self._entries[len(ngram)], ngram_key(ngram)
            if key not in entries:
                for token, count in followers.items():
                    self._add(len(ngram), key, token, count, True)


class FrozenBigrams:
    """What a file says of n-grams of NGRAM_STATIC tokens, in arrays: such files are made from large texts."""

    def __init__(self, records: Records):
        of_two = np.flatnonzero((records.ngrams[:, 1] >= 0) & (records.ngrams[:, 2] < 0))
        first, second = records.ngrams[of_two, 0].astype(np.int64), records.ngrams[of_two, 1]
        self._keys, index = np.unique(first << TOKEN_BITS | second, return_index=True)
        self._places, self._records = of_two[index], records
        self.find = lru_cache(maxsize=4096)(self._find)

    def _find(self, key: int) -> Followers | None:
        """What followed the two tokens of a key."""
        at = int(np.searchsorted(self._keys, key))
        if at == len(self._keys) or self._keys[at] != key:
            return None
        followers = Followers()
        for token, count in self._records.followers(int(self._places[at])).items():
            followers.add(token, count)
        return followers


def _unpacked(entry: int) -> Followers:
    followers = Followers()
    followers.add(entry & ((1 << TOKEN_BITS) - 1), entry >> TOKEN_BITS)
    return followers
