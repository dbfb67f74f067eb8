"""PLaMo 2: the cheapest way to spell a text in tokens, found from its end; what no token covers is spelled in bytes.

A token's score counts in units of 1e-4, an unknown character costs 1e7 of them.
"""

import numpy as np

from llamabox.tokenizer.base import Habits, Tokenizer, byte_of, to_bytes
from llamabox.tokenizer.errors import TokenizerError
from llamabox.tokenizer.vocab import Kind, Vocab
from llamabox.tokenizer.words import lengths_by_first

UNKNOWN_SCORE = -10_000_000
LOWEST_SCORE = -20_000_000  # tokens at or below it are never used


class Plamo2Tokenizer(Tokenizer):
    """Tokenizer of vocabularies whose `tokenizer.ggml.model` is "plamo2". It never adds BOS or EOS."""

    def __init__(self, metadata: dict):
        super().__init__(Vocab(metadata), Habits({"bos": 1, "eos": 2, "unk": 0, "pad": 3}))
        self._bytes = self._byte_tokens()
        self._scores, self._lengths = self._usable_tokens()

    def _byte_tokens(self) -> list[int]:
        ids = []
        for text in (f"<0x{byte:02X}>" for byte in range(256)):
            id = self.vocab.ids.get(text)
            if id is None or not self.vocab.is_kind(id, Kind.BYTE):
                raise TokenizerError(f"a plamo2 vocabulary needs a byte token {text}, found none")
            ids.append(id)
        return ids

    def _usable_tokens(self) -> tuple[dict[str, int], dict[str, list[int]]]:
        """Token text -> score; first character -> lengths of the tokens it starts, longest first."""
        finite = np.isfinite(self.vocab.scores)
        scaled = np.where(finite, self.vocab.scores, -np.inf).astype(np.float64) * 1e4
        rounded = np.trunc(scaled + np.copysign(0.5, scaled))  # halves away from zero
        is_byte = (self.vocab.given_kinds & Kind.BYTE) != 0
        usable = np.flatnonzero((rounded > LOWEST_SCORE) & ~is_byte)
        scores = {self.vocab.texts[id]: int(rounded[id]) for id in usable.tolist()}
        return scores, {char: lengths[::-1] for char, lengths in lengths_by_first(scores).items()}

    def _around(self) -> tuple[list[int], list[int]]:
        return [], []

    def _encode_text(self, text: str, after_special: bool, ids: list[int]) -> None:
        text = text.removeprefix("\ufeff")
        steps = self._cheapest_steps(text)
        start = 0
        while start < len(text):
            piece = text[start : start + abs(steps[start])]
            ids += [self.vocab.ids[piece]] if steps[start] > 0 else [self._bytes[byte] for byte in piece.encode()]
            start += len(piece)

    def _cheapest_steps(self, text: str) -> list[int]:
        """For every place the length of the best token there, -1 where the character is spelled in bytes."""
        costs = [0] * (len(text) + 1)
        steps = [0] * len(text)
        for start in range(len(text) - 1, -1, -1):
            best, step = 1 << 60, 0
            for length in self._lengths.get(text[start], ()):
                score = self._scores.get(text[start : start + length])
                if score is not None and start + length <= len(text) and costs[start + length] - score < best:
                    best, step = costs[start + length] - score, length
            if costs[start + 1] - UNKNOWN_SCORE < best:
                best, step = costs[start + 1] - UNKNOWN_SCORE, -1
            costs[start], steps[start] = best, step
        return steps

    def _bytes_of(self, id: int) -> bytes:
        text = self.vocab.texts[id]
        is_byte = self.vocab.is_kind(id, Kind.BYTE) and len(text) == 6 and text.startswith("<0x") and text[-1] == ">"
        return byte_of(text) if is_byte else to_bytes(text)
