"""RWKV World: at every place the longest token that fits, over bytes. Token texts are Python-escaped byte strings."""

from llamabox.tokenizer.base import Habits, Tokenizer, to_bytes
from llamabox.tokenizer.errors import TokenizerError
from llamabox.tokenizer.vocab import Vocab

ESCAPES = {ord("t"): b"\t", ord("n"): b"\n", ord("r"): b"\r"}


class RwkvTokenizer(Tokenizer):
    """Tokenizer of vocabularies whose `tokenizer.ggml.model` is "rwkv". It never adds BOS or EOS."""

    def __init__(self, metadata: dict):
        super().__init__(Vocab(metadata), Habits())
        self._ids = {unescape(text): id for id, text in enumerate(self.vocab.texts)}
        lengths: dict[bytes, set[int]] = {}
        for token in self._ids:
            lengths.setdefault(token[:2], set()).add(len(token))
        self._lengths = {start: sorted(found, reverse=True) for start, found in lengths.items()}

    def _around(self) -> tuple[list[int], list[int]]:
        return [], []

    def _encode_text(self, text: str, after_special: bool, ids: list[int]) -> None:
        data = text.encode()
        start = 0
        while start < len(data):
            start = self._next_token(data, start, ids)

    def _next_token(self, data: bytes, start: int, ids: list[int]) -> int:
        """Append the longest token at `start`; returns where it ends."""
        for prefix in (data[start : start + 2], data[start : start + 1]):
            for length in self._lengths.get(prefix, ()):
                id = self._ids.get(data[start : start + length])
                if id is not None:
                    ids.append(id)
                    return start + length
        if self.unk is None:
            raise TokenizerError(f"the vocabulary has no token for byte 0x{data[start]:02X} and no unknown token")
        ids.append(self.unk)
        return start + 1

    def _bytes_of(self, id: int) -> bytes:
        return unescape(self.vocab.texts[id])


def unescape(text: str) -> bytes:
    """The bytes of a token text, with \\\\t \\\\n \\\\r \\\\xNN and a backslash before anything else resolved."""
    data = to_bytes(text)
    if b"\\" not in data:
        return data
    result = bytearray()
    at = 0
    while at < len(data):
        if data[at] != ord("\\"):
            result.append(data[at])
            at += 1
        elif data[at + 1 : at + 2] == b"x":
            result += _hex_byte(data[at + 2 : at + 4], text)
            at += 4
        else:
            result += ESCAPES.get(data[at + 1], data[at + 1 : at + 2]) if at + 1 < len(data) else b""
            at += 2
    return bytes(result)


def _hex_byte(digits: bytes, text: str) -> bytes:
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        raise TokenizerError(f"token {text!r}: expected two hexadecimal digits after \\x") from None
