"""Three models that are BPE with something of their own around it."""

import re

from llamabox.tokenizer.bpe import BpeTokenizer
from llamabox.tokenizer.classes import WHITESPACE
from llamabox.tokenizer.wpm import lower

DNA = re.compile("<dna>(.*?)(?:(</dna>)|\\Z)", re.DOTALL)
KMER_MARK = "\ue000"  # ends the text of a DNA token, so that it differs from the same letters as a word
KMER = 6
SPACE = re.compile("[" + "".join(map(chr, WHITESPACE)) + "]+")


class Gemma4Tokenizer(BpeTokenizer):
    """Tokenizer of vocabularies whose model is "gemma4": always its own pre-tokenizer, and no default ids."""

    default_ids: dict[str, int | None] = {}
    fixed_pre = "gemma4"


class WhitespaceTokenizer(BpeTokenizer):
    """Tokenizer of vocabularies whose model is "whitespace": white space only separates, and may be lowercased."""

    def __init__(self, metadata: dict):
        super().__init__(metadata)
        self._lowercase = self.vocab.flag("normalizer.lowercase", self.vocab.text("pre") != "whitespace")

    def _encode_text(self, text: str, after_special: bool, ids: list[int]) -> None:
        for segment in SPACE.split(text):
            if segment:
                segment = "".join(map(lower, segment)) if self._lowercase else segment
                super()._encode_text(segment, after_special, ids)


class HybridDnaTokenizer(BpeTokenizer):
    """Tokenizer of vocabularies whose model is "hybriddna": between <dna> and </dna>, every six bases are a token."""

    def __init__(self, metadata: dict):
        super().__init__(metadata)
        ids = self.vocab.ids
        self._begin, self._end, self._unknown = (ids.get(text) for text in ("<dna>", "</dna>", "<oov>"))
        if self._unknown is not None:
            texts = self.vocab.texts
            for id in range(self._unknown + 1, self.n_vocab):
                if texts[id] != KMER_MARK:
                    texts[id] = texts[id].removesuffix(KMER_MARK)

    def _encode_text(self, text: str, after_special: bool, ids: list[int]) -> None:
        if self._begin is None or self._end is None or self._unknown is None:
            super()._encode_text(text, after_special, ids)
            return
        at = 0
        for match in DNA.finditer(text):
            super()._encode_text(text[at : match.start()], after_special, ids)
            ids.append(self._begin)
            ids += self._kmers(match[1], self._unknown)
            if match[2]:
                ids.append(self._end)
            at = match.end()
        super()._encode_text(text[at:], after_special, ids)

    def _kmers(self, bases: str, unknown: int) -> list[int]:
        """Six bytes a token, in capitals; the last one is filled up with A."""
        data = bases.encode().upper()
        data += b"A" * (-len(data) % KMER)
        kmers = [data[at : at + KMER].decode("utf-8", "surrogateescape") for at in range(0, len(data), KMER)]
        return [self.vocab.ids.get(kmer + KMER_MARK, unknown) for kmer in kmers]
