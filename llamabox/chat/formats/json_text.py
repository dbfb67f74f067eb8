"""JSON out of what a model writes for JSON, copied as it comes.

Models write JSON, and now and then Python: 'single quotes', True, None, a comma before the closing bracket. The copy is
JSON text, character for character the model's own where that was JSON. What is not yet certain to be part of it (white
space, a comma, a colon) waits for what follows, so that at any point a few characters complete the copy.
"""

import json
import re
from collections.abc import Callable, Generator

from llamabox.chat.formats.reader import MismatchError, Reader, Reading, TextEndError

MAX_DEPTH = 200
MAX_NUMBER = 400  # characters
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
WORD_PART = re.compile(r"[A-Za-z0-9_+.\-]+")
WORDS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}
PLAIN = {'"': re.compile(r'[^"\\\x00-\x1f]+'), "'": re.compile(r"[^'\"\\\x00-\x1f]+")}
HEX = re.compile(r"[0-9a-fA-F]{4}")
HIGH_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")
SURROGATE = re.compile("[\ud800-\udfff]")
CLOSING = {"{": "}", "[": "]"}


class JsonCopy:
    """Copies one value. `emit` receives the pieces of the copy."""

    def __init__(self, emit: Callable[[str], None]):
        self._emit = emit
        self._held = ""
        self._open: list[str] = []  # the brackets that close what is open
        self._missing = ""  # what completes the innermost value or member
        self._first = False  # whether the innermost container is still empty

    def completion(self) -> str:
        """What makes JSON of a copy that stopped in the middle."""
        return self._missing + "".join(reversed(self._open))

    def copy(self, reader: Reader) -> Reading:
        """Reads a value. Raises MismatchError where it is not one any more, TextEndError where the text ends."""
        yield from self._value(reader)
        while self._open:
            yield from self._member(reader)

    def _member(self, reader: Reader) -> Reading:
        """What may come inside a container: its end, or one more element."""
        char = yield from self._next(reader)
        if char == self._open[-1]:
            reader.take_char()
            self._held = self._held.replace(",", "", 1)  # Python's comma before the end
            self._put(self._open.pop())
            self._first = False
            return
        if self._first:
            self._first = False
        elif "," not in self._held:
            if char != ",":
                raise MismatchError
            self._held += reader.take_char()
            return
        if self._open[-1] == "}":
            yield from self._key(reader, char)
        yield from self._value(reader)

    def _key(self, reader: Reader, char: str) -> Reading:
        if char not in PLAIN:
            raise MismatchError
        yield from self._string(reader, key=True)
        if (yield from self._next(reader)) != ":":
            raise MismatchError
        self._held += reader.take_char()

    def _value(self, reader: Reader) -> Reading:
        char = yield from self._next(reader)
        if char in CLOSING:
            if len(self._open) >= MAX_DEPTH:
                raise MismatchError
            self._put(reader.take_char())
            self._open.append(CLOSING[char])
            self._first = True
        elif char in PLAIN:
            yield from self._string(reader)
        else:
            word = yield from reader.word(WORD_PART, MAX_NUMBER)
            if not NUMBER.fullmatch(word) and word not in WORDS:
                if word and reader.finished:
                    self._put(word)
                    raise TextEndError
                reader.unread(word)
                raise MismatchError
            self._put(WORDS.get(word, word))

    def _string(self, reader: Reader, key: bool = False) -> Reading:
        quote = reader.take_char()
        self._put('"', '":null' if key else '"')
        while (char := (yield from reader.char())) != quote:
            found = yield from reader.match(PLAIN[quote])
            if found is not None:
                self._emit(found[0])
            elif char == "\\":
                yield from self._escape(reader)
            elif char == "":
                raise TextEndError
            else:  # a control character or a quote of the other kind
                self._emit(json.dumps(reader.take_char())[1:-1])
        reader.take_char()
        self._put('"', ":null" if key else "")

    def _escape(self, reader: Reader) -> Reading:
        pair = yield from reader.ahead(2)
        if pair == "\\u":
            code = yield from reader.ahead(6)
            if len(code) < 6:
                raise TextEndError if HEX.fullmatch((code[2:] + "0000")[:4]) else MismatchError
            if not HEX.fullmatch(code[2:]):
                raise MismatchError
            self._emit(reader.take_chars(6))
        elif len(pair) < 2:
            raise TextEndError
        else:
            reader.take_chars(2)
            known = pair[1] in '"\\/bfnrt'
            self._emit(pair if known else pair[1] if pair[1] == "'" else "\\\\" + json.dumps(pair[1])[1:-1])

    def _next(self, reader: Reader) -> Generator[None, None, str]:
        self._held += yield from reader.spaces()
        char = yield from reader.char()
        if not char:
            self._emit(self._held.rstrip())
            raise TextEndError
        return char

    def _put(self, text: str, missing: str = "") -> None:
        self._emit(self._held + text)
        self._held, self._missing = "", missing


def read_text(reader: Reader, emit: Callable[[str], None]) -> Reading:
    """Reads a JSON string; `emit` receives the text it stands for."""
    half = ""  # the first \\u of a pair

    def decode(piece: str) -> None:
        nonlocal half
        if piece != '"':
            half, waiting = (piece, half) if HIGH_SURROGATE.fullmatch(piece) else ("", half)
            text = json.loads(f'"{waiting}{"" if half else piece}"')
            emit(SURROGATE.sub("\ufffd", text))
        elif half:
            emit("\ufffd")

    if (yield from reader.char()) not in PLAIN:
        raise MismatchError
    yield from JsonCopy(decode).copy(reader)


def to_json(text: str) -> str | None:
    """The JSON text of a whole value; None when it is none."""
    reader = Reader()
    parts: list[str] = []
    reader.feed(text)
    reader.end()

    def whole() -> Reading:
        yield from JsonCopy(parts.append).copy(reader)
        yield from reader.spaces()

    try:
        for _ in whole():
            pass
    except MismatchError:
        return None
    return "".join(parts) if reader.waits else None
