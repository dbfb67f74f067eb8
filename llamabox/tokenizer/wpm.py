"""WPM, BERT's WordPiece: the text is normalised to words, each taken apart into its longest tokens, left to right.

Tokens that start a word carry U+2581 in front (GGUF's form; BERT itself marks the others with ##).
"""

import re
import unicodedata

from llamabox.tokenizer.base import ESCAPED_SPACE, Habits, Tokenizer
from llamabox.tokenizer.classes import WHITESPACE, category
from llamabox.tokenizer.vocab import Vocab
from llamabox.tokenizer.words import WordCache

ASCII_SYMBOLS = "$+<=>^`|~"
# Each of these is a word of its own. (The first bound of the sixth range is Hugging Face's slip, kept by llama.cpp.)
CHINESE = re.compile(
    "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f\U0002b920-\U0002ceaf"
    "\uf900-\ufaff\U0002f800-\U0002fa1f]"
)


class Normaliser(dict):
    """A table for `str.translate`, filled as characters come: what each character becomes in the normalised text.

    White space becomes a space, a word of its own gets spaces around, controls vanish. strip_accents: the first code
    point of the canonical decomposition stands for the character, and marks vanish.
    """

    def __init__(self, lowercase: bool, strip_accents: bool):
        super().__init__()
        self.lowercase, self.strip_accents = lowercase, strip_accents

    def __missing__(self, point: int) -> str:
        self[point] = result = self._normalised(chr(point))
        return result

    def _normalised(self, char: str) -> str:
        if self.strip_accents and category(char) != "U":
            char = unicodedata.normalize("NFD", char)[0]
        kind = category(char)
        if ord(char) in WHITESPACE:
            return " "
        if char in "\0\ufffd" or kind == "C" or (self.strip_accents and kind == "M"):
            return ""
        shown = lower(char) if self.lowercase and kind != "U" else char
        alone = kind == "P" or char in ASCII_SYMBOLS or CHINESE.match(char)
        return f" {shown} " if alone else shown


class WpmTokenizer(Tokenizer):
    """Tokenizer of vocabularies whose `tokenizer.ggml.model` is "bert"."""

    def __init__(self, metadata: dict):
        ids = {"bos": 101, "unk": 100, "sep": 102, "pad": 0, "mask": 103}
        super().__init__(Vocab(metadata), Habits(ids, add_bos=True, add_sep=True, clean_spaces=True))
        self._first, self._last, self._unknown = (self._needed(name) for name in ("bos", "sep", "unk"))
        lowercase = self.vocab.flag("normalizer.lowercase", True)
        strip_accents = self.vocab.flag("normalizer.strip_accents", lowercase)
        self._normaliser = Normaliser(lowercase, strip_accents)
        self._longest = max(map(len, self.vocab.texts))
        self._words = WordCache(self._encode_word)

    def _around(self) -> tuple[list[int], list[int]]:
        return [self._first], [self._last]

    def _prefixes_space(self) -> bool:
        return True

    def _encode_text(self, text: str, after_special: bool, ids: list[int]) -> None:
        for word in text.translate(self._normaliser).split(" "):
            if word:
                ids += self._words[word]

    def _encode_word(self, word: str) -> list[int]:
        """The longest token at every place; a word with a place where none fits is unknown as a whole."""
        word = ESCAPED_SPACE + word
        found = []
        start = 0
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                id = self.vocab.ids.get(word[start:end])
                if id is not None:
                    break
            else:
                return [self._unknown]
            found.append(id)
            start = end
        return found


def lower(char: str) -> str:
    """Unicode's simple lowercase mapping: always one character."""
    return "i" if char == "\u0130" else char.lower()
