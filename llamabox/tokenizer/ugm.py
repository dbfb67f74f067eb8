"""UGM, SentencePiece's unigram model (T5, XLM-R): the split with the highest sum of scores (Viterbi's algorithm).

Before that the text is normalised by the file's own rules (`charsmap`), and its spaces become U+2581.
"""

import numpy as np

from llamabox.tokenizer.base import ESCAPED_SPACE, Habits, Tokenizer
from llamabox.tokenizer.charsmap import NAME, Charsmap
from llamabox.tokenizer.errors import TokenizerError
from llamabox.tokenizer.rewriter import Rewriter
from llamabox.tokenizer.vocab import Kind, Vocab
from llamabox.tokenizer.words import WordCache, lengths_by_first, safe_cut

UNKNOWN_PENALTY = np.float32(10)


class UgmTokenizer(Tokenizer):
    """Tokenizer of vocabularies whose `tokenizer.ggml.model` is "t5"."""

    def __init__(self, metadata: dict):
        super().__init__(Vocab(metadata), Habits({"eos": 1, "unk": 2, "pad": 0}, add_eos=True))
        self._unknown = self._needed("unk")
        self._merge_spaces = self.vocab.flag("remove_extra_whitespaces", False)
        self._rewriter = self._make_rewriter()
        self._collect_tokens()
        self._word_start = safe_cut(self._tokens)
        self._words = WordCache(self._encode_word)

    def _make_rewriter(self) -> Rewriter | None:
        blob = self.vocab.metadata.get(NAME)
        if blob is None:
            return None
        if not isinstance(blob, np.ndarray) or blob.dtype not in (np.int8, np.uint8):
            raise TokenizerError(f"{NAME}: expected an array of bytes, found {type(blob).__name__}")
        kept = [self.vocab.texts[id] for id in self.vocab.ids_given_as(Kind.USER_DEFINED)]
        return Rewriter(Charsmap(blob.tobytes()), kept)

    def _collect_tokens(self) -> None:
        """Token text -> id, id -> score, and first character -> lengths of the tokens it starts, shortest first."""
        vocab = self.vocab
        normal = (vocab.given_kinds & Kind.NORMAL) != 0
        lowest = vocab.scores[normal].min() if normal.any() else np.float32(0)
        self._unknown_score = float(lowest - UNKNOWN_PENALTY)
        self._scores = np.where(vocab.kinds & Kind.USER_DEFINED, 0, vocab.scores).tolist()
        ids = vocab.ids_given_as(Kind.NORMAL | Kind.USER_DEFINED | Kind.UNUSED)
        self._tokens = dict(zip(map(vocab.texts.__getitem__, ids), ids, strict=True))
        self._lengths = lengths_by_first(self._tokens)

    def _encode_text(self, text: str, after_special: bool, ids: list[int]) -> None:
        first = len(ids)
        for word in self._word_start.split(self._normalised(text)):
            found = self._words[word] if word else []
            joins_unknown = len(ids) > first and ids[-1] == self._unknown and found[:1] == [self._unknown]
            ids += found[1:] if joins_unknown else found

    def _normalised(self, text: str) -> str:
        if self._rewriter is not None:
            text = self._rewriter.rewrite(text)
        if self._merge_spaces:
            return "".join(ESCAPED_SPACE + word for word in text.split(" ") if word)
        body = text.lstrip(" ")
        if self.add_space_prefix and body:
            body = " " + body
        return (" " * (len(text) - len(text.lstrip(" "))) + body).replace(" ", ESCAPED_SPACE)

    def _encode_word(self, word: str) -> list[int]:
        """The best tokens for `word`. A character that is no token costs the unknown score; a run of those is one."""
        best = [0.0] + [-np.inf] * len(word)
        came_by: list[tuple[int, int]] = [(0, 0)] * (len(word) + 1)  # where the best token to here starts, and its id
        for start, char in enumerate(word):
            has_single = False
            for length in self._lengths.get(char, ()):
                end = start + length
                if end > len(word):
                    break
                id = self._tokens.get(word[start:end])
                if id is None:
                    continue
                has_single |= length == 1
                score = best[start] + self._scores[id]
                if score > best[end]:
                    best[end], came_by[end] = score, (start, id)
            if not has_single and best[start] + self._unknown_score > best[start + 1]:
                best[start + 1], came_by[start + 1] = best[start] + self._unknown_score, (start, self._unknown)
        return self._trace_back(came_by)

    def _trace_back(self, came_by: list[tuple[int, int]]) -> list[int]:
        ids: list[int] = []
        end = len(came_by) - 1
        while end:
            end, id = came_by[end]
            if not (ids and id == ids[-1] == self._unknown):
                ids.append(id)
        return ids[::-1]
