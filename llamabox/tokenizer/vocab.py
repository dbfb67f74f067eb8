"""A vocabulary as a GGUF's metadata gives it: token texts, scores, kinds, and the lookups that encoding needs."""

import numpy as np

from llamabox.tokenizer.errors import TokenizerError

PREFIX = "tokenizer.ggml."


class Kind:
    """What a token is, as bits. Most tokens have one; end tokens found by their text and stripping tokens have more."""

    UNDEFINED = 0
    UNKNOWN = 1
    UNUSED = 2
    NORMAL = 4
    CONTROL = 8
    USER_DEFINED = 16
    BYTE = 32
    LSTRIP = 128
    RSTRIP = 256


# By the numbers of `tokenizer.ggml.token_type`; numbers beyond are UNDEFINED too.
TYPES = [Kind.UNDEFINED, Kind.NORMAL, Kind.UNKNOWN, Kind.CONTROL, Kind.USER_DEFINED, Kind.UNUSED, Kind.BYTE]


class Vocab:
    """texts: list of str; ids: text -> id; scores: float32 (n,); kinds: uint16 (n,) of Kind.

    `specials` changes kinds; given_kinds stay as the file has them.
    """

    def __init__(self, metadata: dict):
        self.metadata = metadata
        self.texts = self._texts()
        count = len(self.texts)
        self.ids = dict(zip(self.texts, range(count), strict=True))
        self.scores = self._numbers("scores", count, np.float32, 0)
        types = self._numbers("token_type", count, np.int64, 1)
        table = np.array(TYPES, np.uint16)
        self.given_kinds = table[np.where((types < 0) | (types >= len(table)), 0, types)]
        self.kinds = self.given_kinds.copy()

    def _texts(self) -> list[str]:
        texts = self.strings("tokens")
        if texts is None or not texts:
            raise TokenizerError(f"{PREFIX}tokens: expected a list of token texts, found {texts!r}")
        return [text if text else f"[EMPTY_{id}]" for id, text in enumerate(texts)] if "" in texts else list(texts)

    def strings(self, name: str) -> list[str] | None:
        """The list of strings under `tokenizer.ggml.<name>`, None where there is none."""
        value = self.metadata.get(PREFIX + name)
        if value is None:
            return None
        if not isinstance(value, list) or not set(map(type, value)) <= {str}:
            raise TokenizerError(f"{PREFIX}{name}: expected an array of strings, found {type(value).__name__}")
        return value

    def _numbers(self, name: str, count: int, dtype, default) -> np.ndarray:
        value = self.metadata.get(PREFIX + name)
        if value is None:
            return np.full(count, default, dtype)
        kinds = "iu" if dtype is np.int64 else "iuf"
        if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in kinds:
            what = "integers" if kinds == "iu" else "numbers"
            raise TokenizerError(f"{PREFIX}{name}: expected an array of {what}, found {_name(value)}")
        if len(value) < count:
            raise TokenizerError(f"{PREFIX}{name}: {len(value)} values for {count} tokens")
        return value[:count].astype(dtype)

    def flag(self, name: str, default: bool) -> bool:
        """The bool under `tokenizer.ggml.<name>`."""
        value = self.metadata.get(PREFIX + name, default)
        if not isinstance(value, (bool, np.bool_)):
            raise TokenizerError(f"{PREFIX}{name}: expected a bool, found {value!r}")
        return bool(value)

    def text(self, name: str, default: str = "") -> str:
        """The string under `tokenizer.ggml.<name>`."""
        value = self.metadata.get(PREFIX + name, default)
        if not isinstance(value, str):
            raise TokenizerError(f"{PREFIX}{name}: expected a string, found {value!r}")
        return value

    def is_kind(self, id: int, kind: int) -> bool:
        """Whether the token is of at least one of the kinds in `kind`."""
        return self.kinds.item(id) & kind != 0

    def ids_of_kind(self, kind: int) -> list[int]:
        """The ids of all tokens that are of one of the kinds, rising."""
        return np.flatnonzero(self.kinds & kind).tolist()

    def ids_given_as(self, kind: int) -> list[int]:
        """The ids of all tokens that the file has as one of the kinds, rising."""
        return np.flatnonzero(self.given_kinds & kind).tolist()


def _name(value) -> str:
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
