"""What all tokenizers share: special tokens around and inside the text, token ids back to bytes and text."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from llamabox.tokenizer.errors import TokenizerError
from llamabox.tokenizer.partition import find_cut_out, make_specials, partition
from llamabox.tokenizer.specials import find_specials, set_stripping
from llamabox.tokenizer.stream import TextStream
from llamabox.tokenizer.vocab import Kind, Vocab

SURROGATE = re.compile("[\ud800-\udfff]")
ESCAPED_SPACE = "\u2581"
SHOWN_ON_REQUEST = Kind.UNKNOWN | Kind.CONTROL


@dataclass
class Habits:
    """What a kind of tokenizer does unless the metadata say otherwise. ids: default special ids, by `specials.KEYS`."""

    ids: Mapping[str, int | None] = field(default_factory=dict)
    add_bos: bool = False
    add_eos: bool = False
    add_sep: bool = False
    add_space_prefix: bool = False
    clean_spaces: bool = False
    force_bos: bool = False


class Tokenizer:
    """Text to token ids and back. Subclasses say how a plain text is encoded and what bytes a token has.

    n_vocab: number of tokens. bos, eos, eot, sep, pad, unk: ids or None. end_ids: every end-of-generation token.
    fim: ids of the fill-in-the-middle tokens by "pre", "suf", "mid", "pad", "rep", "sep", as far as there are any.
    add_bos, add_eos: what `encode` puts around a text. add_sep: whether a pair of texts is joined by `sep`.
    Safe to use from several threads.
    """

    def __init__(self, vocab: Vocab, habits: Habits):
        self.vocab = vocab
        self.n_vocab = len(vocab.texts)
        specials = find_specials(vocab, habits.ids)
        ids = specials.ids
        self.bos, self.eos, self.eot, self.eom = ids["bos"], ids["eos"], ids["eot"], ids["eom"]
        self.sep, self.pad, self.unk, self.mask = ids["sep"], ids["pad"], ids["unk"], ids["mask"]
        self.fim = {name[4:]: id for name, id in ids.items() if name.startswith("fim_") and id is not None}
        self.end_ids = frozenset(specials.end_ids)
        self.add_bos = (vocab.flag("add_bos_token", habits.add_bos) or habits.force_bos) and self.bos is not None
        self.add_eos = vocab.flag("add_eos_token", habits.add_eos) and self.eos is not None
        self.add_sep = vocab.flag("add_sep_token", habits.add_sep)
        self.add_space_prefix = vocab.flag("add_space_prefix", habits.add_space_prefix)
        self.clean_spaces = habits.clean_spaces

        cut_out = find_cut_out(vocab)
        set_stripping(vocab, cut_out)
        self._specials = make_specials(vocab, cut_out)
        self._always_specials = [special for special in self._specials if special.always]
        self._shown_pieces: dict[int, bytes] = {}
        self._plain_pieces: dict[int, bytes] = {}

    @property
    def control_ids(self) -> list[int]:
        """The tokens that `decode` leaves out unless it is told to show them, rising."""
        return self.vocab.ids_of_kind(SHOWN_ON_REQUEST)

    def encode(self, text: str, add_special: bool = True, parse_special: bool = False) -> list[int]:
        """The token ids of `text`.

        add_special: put the vocabulary's BOS, EOS or separator around it. parse_special: the text of a control token
        becomes that token; user-defined tokens always do. A lone surrogate counts as U+FFFD.
        Errors: TokenizerError when text is no string.
        """
        if not isinstance(text, str):
            raise TokenizerError(f"encode: expected a string, found {type(text).__name__}")
        if not text.isascii():
            text = SURROGATE.sub("\ufffd", text)
        before, after = self._around() if add_special else ([], [])
        ids = list(before)
        after_special = True
        for part in partition(text, self._specials if parse_special else self._always_specials):
            if isinstance(part, int):
                ids.append(part)
            else:
                self._encode_text(part, after_special, ids)
            after_special = isinstance(part, int)
        return ids + after

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """The text of `ids`: their pieces in a row, invalid UTF-8 as U+FFFD. special: render control tokens too.

        After a BOS at the front, the space that encoding put before the text is dropped.
        Errors: TokenizerError for an id outside the vocabulary.
        """
        next_bytes = self._reader(special)
        return b"".join([next_bytes(id) for id in ids]).decode("utf-8", "replace")

    def stream(self, special: bool = False, shown: frozenset[int] = frozenset()) -> TextStream:
        """A stream for ids that come one at a time; its pieces together equal `decode` of all the ids.

        shown: control tokens that are rendered although `special` is not set.
        """
        return TextStream(self._reader(special, shown))

    def piece(self, id: int, special: bool = True) -> bytes:
        """The bytes of one token; b"" for a control token unless `special`. Errors: TokenizerError for a bad id."""
        pieces = self._shown_pieces if special else self._plain_pieces
        piece = pieces.get(id) if type(id) is int else None
        if piece is None:
            id = self._checked(id)
            is_hidden = not special and self.vocab.is_kind(id, SHOWN_ON_REQUEST)
            piece = pieces[id] = b"" if is_hidden else self._bytes_of(id)
        return piece

    def _around(self) -> tuple[list[int], list[int]]:
        """The ids before and after a text that is encoded with add_special."""
        before = [self.bos] if self.add_bos and self.bos is not None else []
        after = [self.eos] if self.add_eos and self.eos is not None else []
        return before, after

    def _encode_text(self, text: str, after_special: bool, ids: list[int]) -> None:
        """Append the ids of a plain text. after_special: it starts the input or follows a special token."""
        raise NotImplementedError

    def _bytes_of(self, id: int) -> bytes:
        """The bytes of a token, control tokens included: here as SentencePiece vocabularies have them."""
        text = self.vocab.texts[id]
        if self.vocab.is_kind(id, SHOWN_ON_REQUEST | Kind.USER_DEFINED):
            return to_bytes(text)
        if self.vocab.is_kind(id, Kind.NORMAL):
            return to_bytes(text.replace(ESCAPED_SPACE, " "))
        if self.vocab.is_kind(id, Kind.BYTE):
            return byte_of(text)
        return b""

    def _checked(self, id: int) -> int:
        try:
            number = operator.index(id)
        except TypeError:
            raise TokenizerError(f"token id: expected an integer, found {type(id).__name__}") from None
        if not 0 <= number < self.n_vocab:
            raise TokenizerError(f"token id {number}: expected 0 to {self.n_vocab - 1}")
        return number

    def _reader(self, special: bool, shown: frozenset[int] = frozenset()) -> Callable[[int], bytes]:
        is_first = True
        drop_space = False

        def next_bytes(id: int) -> bytes:
            nonlocal is_first, drop_space
            piece = self.piece(id, special or id in shown)
            if is_first:
                is_first, drop_space = False, self._prefixes_space() and id == self.bos
            elif drop_space and piece:
                drop_space = False
                return piece.removeprefix(b" ")
            return piece

        return next_bytes

    def _needed(self, name: str) -> int:
        """The id of a special token that this kind of vocabulary cannot do without. Errors: TokenizerError."""
        id = getattr(self, name)
        if id is None:
            raise TokenizerError(f"a {self.vocab.text('model')!r} vocabulary needs a {name} token, found none")
        return id

    def _prefixes_space(self) -> bool:
        """Whether encoding puts a space before a text."""
        return self.add_space_prefix


def to_bytes(text: str) -> bytes:
    """The bytes of a text from the metadata (invalid UTF-8 comes as surrogates)."""
    return text.encode("utf-8", "surrogateescape")


def byte_of(text: str) -> bytes:
    """The byte that a token like <0x0A> stands for; as strtol reads it, b"\\0" where the text has another form."""
    try:
        return bytes([int(text[3:5], 16)])
    except ValueError:
        return b"\0"
