"""SPM, SentencePiece's BPE ("llama"): the whole text is merged, a pair's rank being the score of the token it makes.

What is no token at the end is spelled in byte tokens.
"""

import numpy as np

from llamabox.tokenizer.base import ESCAPED_SPACE, Habits, Tokenizer
from llamabox.tokenizer.errors import TokenizerError
from llamabox.tokenizer.merging import merge
from llamabox.tokenizer.vocab import Vocab
from llamabox.tokenizer.words import WordCache, safe_cut


class SpmTokenizer(Tokenizer):
    """Tokenizer of vocabularies whose `tokenizer.ggml.model` is "llama"."""

    def __init__(self, metadata: dict):
        habits = Habits({"bos": 1, "eos": 2, "unk": 0}, add_bos=True, add_space_prefix=True)
        super().__init__(Vocab(metadata), habits)
        ranks = np.unique(-self.vocab.scores, return_inverse=True)[1]  # highest score first; equal scores, equal ranks
        self._ranks = dict(zip(self.vocab.texts, ranks.tolist(), strict=True))
        self._word_start = safe_cut(self.vocab.texts)
        self._words = WordCache(self._encode_word)

    def _encode_text(self, text: str, after_special: bool, ids: list[int]) -> None:
        if after_special and self.add_space_prefix:
            text = " " + text
        for word in self._word_start.split(text.replace(" ", ESCAPED_SPACE)):
            ids += self._words[word]

    def _encode_word(self, word: str) -> list[int]:
        ids = []
        for part in merge(list(word), self._ranks, ""):
            id = self.vocab.ids.get(part)
            ids += self._byte_ids(part) if id is None else [id]
        return ids

    def _byte_ids(self, part: str) -> list[int]:
        ids = self.vocab.ids
        found = []
        for byte in part.encode():
            id = ids.get(f"<0x{byte:02X}>")
            if id is None:
                id = ids.get(chr(byte)) if byte < 128 else None
            if id is None:
                raise TokenizerError(f"the vocabulary has no token for {part!r} and none for its byte <0x{byte:02X}>")
            found.append(id)
        return found
