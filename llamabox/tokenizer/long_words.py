"""Merging long words in compiled code: the BPE of the `tokenizers` package, where it gives the same ids as ours.

It takes a third of a second to build for 150,000 merges, so it is built when the first long word comes.
"""

from collections.abc import Iterable
from itertools import groupby

from llamabox.tokenizer.vocab import Vocab


class LongWords:
    """The ids of one word, by the vocabulary's merges.

    A character that is no token stands alone, since no merge can name it; the word is taken apart there.
    """

    def __init__(self, vocab: Vocab, merges: list[tuple[str, str]]):
        from tokenizers.models import BPE

        self._model = BPE(vocab.ids, merges, cache_capacity=0)
        self._known = {text for text in vocab.ids if len(text) == 1}

    def pieces(self, word: str) -> Iterable[tuple[str, list[int] | None]]:
        """The parts of `word` with the ids each merges to; None for a run of characters that are no tokens."""
        for is_known, chars in groupby(word, self._known.__contains__):
            piece = "".join(chars)
            yield piece, [token.id for token in self._model.tokenize(piece)] if is_known else None


def build_long_words(vocab: Vocab, merges: list[str]) -> LongWords | None:
    """A merger for this vocabulary, or None where the compiled one would differ: it wants every part to be a token."""
    ids = vocab.ids
    pairs = []
    for merge in dict.fromkeys(merges):  # of equal merges the first counts
        left, _, right = merge.partition(" ")
        if left not in ids or right not in ids or left + right not in ids:
            return None
        pairs.append((left, right))
    if any("\ud800" <= char <= "\udfff" for char in set("".join(ids))):
        return None
    return LongWords(vocab, pairs)
