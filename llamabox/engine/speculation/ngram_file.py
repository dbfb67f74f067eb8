"""Files of n-grams and what followed them, as llama.cpp writes them (common/ngram-cache.cpp).

Records without a header, little-endian int32: 4 tokens of the n-gram, -1 beyond its end; number of followers, at least
1; then for each its token and its count, at least 1.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llamabox.engine.request import RequestError

NGRAM_WORDS, COUNT_MAX = 4, 2**31 - 1


class NgramFileError(RequestError):
    """A file that is no n-gram cache of this vocabulary."""


@dataclass(frozen=True, eq=False)
class Records:
    """The records of a file: (n-gram, {token: count}) each.

    ngrams  int32 (R, 4), -1 beyond the end of an n-gram
    starts  int64 (R + 1,) followers of record r are pairs[starts[r]:starts[r + 1]]
    pairs   int32 (N, 2)   token and count
    """

    ngrams: np.ndarray
    starts: np.ndarray
    pairs: np.ndarray

    def __iter__(self) -> Iterator[tuple[tuple[int, ...], dict[int, int]]]:
        for r, ngram in enumerate(self.ngrams.tolist()):
            yield tuple(token for token in ngram if token >= 0), self.followers(r)

    def followers(self, r: int) -> dict[int, int]:
        """Those of record r; of a token that is there twice, the first counts."""
        pairs = self.pairs[self.starts[r] : self.starts[r + 1]].tolist()
        return dict(reversed(pairs)) if len(dict(pairs)) < len(pairs) else dict(pairs)


def read_ngrams(path: str | Path, n_vocab: int) -> Records:
    """The whole file, checked.

    Errors:  NgramFileError for a file that cannot be read, is cut off, or holds counts or token ids that cannot be
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise NgramFileError(f"n-gram cache {path}: {error.strerror or error}") from None
    if len(data) % 4 != 0:
        raise NgramFileError(f"n-gram cache {path}: found {len(data)} bytes, expected a multiple of 4")
    words = np.frombuffer(data, "<i4").astype(np.int32, copy=False)
    starts = _record_starts(path, words)
    sizes = words[starts + NGRAM_WORDS].astype(np.int64)
    ends = np.zeros(len(starts) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    is_pair = np.ones(len(words), bool)
    is_pair[(starts[:, None] + np.arange(NGRAM_WORDS + 1)).reshape(-1)] = False
    records = Records(words[starts[:, None] + np.arange(NGRAM_WORDS)], ends, words[is_pair].reshape(-1, 2))
    _check(path, records, n_vocab)
    return records


def _record_starts(path: str | Path, words: np.ndarray) -> np.ndarray:
    """The word at which each record begins."""
    view, at, starts = memoryview(words), 0, []
    while at < len(view):
        n = view[at + NGRAM_WORDS] if at + NGRAM_WORDS < len(view) else 0
        if n < 1 or at + NGRAM_WORDS + 1 + 2 * n > len(view):
            left = len(view) - at - NGRAM_WORDS - 1
            raise NgramFileError(
                f"n-gram cache {path}: the record at byte {4 * at} has {n} followers, "
                f"expected 1 to {max(left, 0) // 2}, for which the file has room"
            )
        starts.append(at)
        at += NGRAM_WORDS + 1 + 2 * n
    return np.array(starts, np.int64)


def _check(path: str | Path, records: Records, n_vocab: int) -> None:
    ngrams, tokens, counts = records.ngrams, records.pairs[:, 0], records.pairs[:, 1]
    used = ngrams >= 0
    whole = (ngrams >= -1).all(1) & used[:, 0] & (used[:, :-1] >= used[:, 1:]).all(1) & (ngrams < n_vocab).all(1)
    if not whole.all():
        found = ngrams[np.argmin(whole)].tolist()
        raise NgramFileError(
            f"n-gram cache {path}: found the n-gram {found}, expected token ids from 0 to {n_vocab - 1}, then -1"
        )
    good = (tokens >= 0) & (tokens < n_vocab) & (counts > 0)
    if not good.all():
        token, count = records.pairs[np.argmin(good)].tolist()
        raise NgramFileError(
            f"n-gram cache {path}: found token {token}, {count} times, "
            f"expected token ids from 0 to {n_vocab - 1} and counts of 1 or more"
        )


def write_ngrams(path: str | Path, items: Iterable[tuple[tuple[int, ...], Mapping[int, int]]]) -> None:
    """Write (n-gram, {token: count}) each; the file is replaced as a whole, or stays as it was.

    Errors:  OSError
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for ngram, followers in items:
                words = [*ngram, *[-1] * (NGRAM_WORDS - len(ngram)), len(followers)]
                for token, count in followers.items():
                    words += [token, min(count, COUNT_MAX)]
                file.write(np.array(words, "<i4").tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
