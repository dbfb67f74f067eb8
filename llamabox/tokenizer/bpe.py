"""Byte-level BPE ("gpt2" and its kin): the text is split into words, and each word merged by the file's list of merges.

Words are written in GPT-2's byte alphabet, 256 visible characters for the 256 bytes; a few models merge the characters
themselves and have <0xNN> tokens for the rest.
"""

from functools import cached_property

from llamabox.tokenizer.base import ESCAPED_SPACE, SHOWN_ON_REQUEST, Habits, Tokenizer, byte_of, to_bytes
from llamabox.tokenizer.compiled import CompiledMerges, compile_merges
from llamabox.tokenizer.errors import TokenizerError
from llamabox.tokenizer.merging import merge
from llamabox.tokenizer.pretokenizers import STAGES, find_pretokenizer
from llamabox.tokenizer.stages import split
from llamabox.tokenizer.vocab import PREFIX, Kind, Vocab
from llamabox.tokenizer.words import WordCache

COMPILED_AFTER = 200_000  # characters merged in Python before the compiled merger is built: about as long as it takes


def _byte_alphabet() -> list[str]:
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) if byte in visible else chr(256 + hidden.index(byte)) for byte in range(256)]


BYTE_TO_CHAR = dict(enumerate(_byte_alphabet()))
CHAR_TO_BYTE = {char: byte for byte, char in BYTE_TO_CHAR.items()}


class BpeTokenizer(Tokenizer):
    """Tokenizer of vocabularies whose `tokenizer.ggml.model` is "gpt2"."""

    default_ids: dict[str, int | None] = {"bos": 11, "eos": 11}
    fixed_pre: str | None = None

    def __init__(self, metadata: dict):
        vocab = Vocab(metadata)
        name = self.fixed_pre or vocab.text("pre")
        self.pre = pre = find_pretokenizer(name)
        habits = Habits(
            self.default_ids | ({"bos": None} if pre.clear_bos else {}),
            add_bos=pre.add_bos,
            add_sep=pre.add_sep,
            clean_spaces=pre.clean_spaces,
            force_bos=pre.force_bos,
        )
        super().__init__(vocab, habits)
        merges = vocab.strings("merges")
        if merges is None and name != "kimi-k2":
            raise TokenizerError(f"{PREFIX}merges: missing; a {vocab.text('model')!r} vocabulary needs it")
        self._merges = merges if merges is not None else []
        last = len(self._merges) - 1
        self._ranks = dict(zip(reversed(self._merges), range(last, -1, -1), strict=True))  # of equal merges the first
        self._merged_chars = 0
        self._words = WordCache(self._encode_word)

    @cached_property
    def _compiled(self) -> CompiledMerges | None:
        return compile_merges(self.vocab, self._merges)

    def _encode_text(self, text: str, after_special: bool, ids: list[int]) -> None:
        if self.pre.escape_spaces:
            text = text.replace(" ", ESCAPED_SPACE)
        words = self._words
        for word in split(text, STAGES[self.pre.stages]):
            ids += words[word]

    def _encode_word(self, word: str) -> list[int]:
        if not self.pre.raw_bytes:
            word = word.encode().decode("latin-1").translate(BYTE_TO_CHAR)
        is_whole = self.pre.ignore_merges or (self.pre.whole_newlines and word[0] == "\n")
        if is_whole and word in self.vocab.ids:
            return [self.vocab.ids[word]]
        ids: list[int] = []
        for part, found in self._merged(word):
            ids += self._fallback(part) if found is None else found
        return ids

    def _merged(self, word: str):
        """The merged parts of `word`, each with its ids, None where it has none."""
        self._merged_chars += len(word)
        if self._merged_chars >= COMPILED_AFTER and self._compiled:
            return self._compiled.pieces(word)
        ids = self.vocab.ids
        return ((part, [ids[part]] if part in ids else None) for part in merge(list(word), self._ranks, " "))

    def _fallback(self, part: str) -> list[int]:
        """Byte tokens for a part that is no token; bytes without one vanish, as in llama.cpp."""
        if self.pre.raw_bytes:
            texts = [f"<0x{byte:02X}>" for byte in part.encode()]
        else:
            texts = [bytes([byte]).decode("utf-8", "surrogateescape") for byte in part.encode()]
        return [self.vocab.ids[text] for text in texts if text in self.vocab.ids]

    def _bytes_of(self, id: int) -> bytes:
        text = self.vocab.texts[id]
        if self.vocab.is_kind(id, SHOWN_ON_REQUEST | Kind.USER_DEFINED):
            return to_bytes(text)
        if self.vocab.is_kind(id, Kind.NORMAL):
            return to_bytes(text.replace(ESCAPED_SPACE, " ")) if self.pre.escape_spaces else from_byte_alphabet(text)
        if self.vocab.is_kind(id, Kind.BYTE):
            return byte_of(text)
        return b""


def from_byte_alphabet(text: str) -> bytes:
    """The bytes that a token text in GPT-2's alphabet stands for; what is not in it is shown as llama.cpp shows it."""
    result = b""
    for char in text:
        if char in CHAR_TO_BYTE:
            result += bytes([CHAR_TO_BYTE[char]])
        else:
            result += b"[UNK_BYTE_0x" + to_bytes(char).hex().encode() + to_bytes(text) + b"]"
    return result
