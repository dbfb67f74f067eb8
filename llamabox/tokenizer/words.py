"""What makes encoding by words fast: a memory of words, and where a text may be cut into them."""

import re
from collections.abc import Callable, Iterable
from operator import itemgetter

from llamabox.tokenizer.base import ESCAPED_SPACE

LONGEST_KEPT, MOST_KEPT = 64, 50_000


class WordCache(dict):
    """word -> ids; `cache[word]` encodes a new word. Short words are kept, and forgotten when it is full."""

    def __init__(self, encode_word: Callable[[str], list[int]]):
        super().__init__()
        self._encode_word = encode_word

    def __missing__(self, word: str) -> list[int]:
        ids = self._encode_word(word)
        if len(word) <= LONGEST_KEPT:
            if len(self) >= MOST_KEPT:
                self.clear()
            self[word] = ids
        return ids


def safe_cut(texts: Iterable[str]) -> re.Pattern:
    """Where a text may be split so that no token of `texts` spans the cut.

    That is before U+2581, after a character that no token has in front of one. What is found for each part alone is
    then what would be found for the whole.
    """
    befores = set(re.findall(f"(?s)([^{ESCAPED_SPACE}\0]){ESCAPED_SPACE}", "\0".join(texts)))
    never = re.escape("".join(sorted(befores)) + ESCAPED_SPACE + "\0")
    return re.compile(f"(?<=[^{never}])(?={ESCAPED_SPACE})")


def lengths_by_first(texts: Iterable[str]) -> dict[str, list[int]]:
    """First character -> the lengths of the texts that start with it, rising."""
    texts = list(texts)
    lengths: dict[str, list[int]] = {}
    for first, length in sorted(set(zip(map(itemgetter(0), texts), map(len, texts), strict=True))):
        lengths.setdefault(first, []).append(length)
    return lengths
