"""TriggerSearch: where in a growing text a lazy grammar begins."""

import re
from collections.abc import Iterable

REACH = 4096  # characters that a match may reach back from the newest one


class TriggerSearch:
    """Searches patterns in a text that comes in pieces, without reading all of it again for each piece.

    Keeps the last REACH characters at least, and the tokens they came from.
    """

    def __init__(self, patterns: Iterable[re.Pattern[str]]):
        self._patterns = list(patterns)
        self._text = ""  # a character for each byte that is not UTF-8 (surrogateescape)
        self._is_whole = True  # the text is there from its beginning
        self._from = 0  # no match begins before
        self._pending = b""  # an unfinished character
        self._parts: list[tuple[int | None, bytes]] = []  # what the text and the unfinished character came from

    def push(self, token: int | None, piece: bytes) -> list[list[tuple[int | None, bytes]]]:
        """More text: a token, or with None a part of one. The parts of the text from the beginning of each match on,
        one list a pattern that matches, the earliest match first."""
        self._parts.append((token, piece))
        text, self._pending = _decode(self._pending + piece)
        self._text += text
        starts = set()
        for pattern in self._patterns:
            at = 0 if self._is_whole else 1  # so that "^" is the beginning of the whole text, not of what is left
            match = pattern.search(self._text, max(self._from, at))
            if match is not None:
                starts.add(match.start())
        found = [self._parts_from(start) for start in sorted(starts)]
        if starts:
            self._from = max(starts) + 1
        self._forget()
        return found

    def _parts_from(self, start: int) -> list[tuple[int | None, bytes]]:
        left = len(_encode(self._text[start:])) + len(self._pending)  # bytes
        found: list[tuple[int | None, bytes]] = []
        for token, piece in reversed(self._parts):
            if left <= 0:
                break
            found.append((token, piece) if len(piece) <= left else (None, piece[len(piece) - left :]))
            left -= len(piece)
        return found[::-1]

    def _forget(self) -> None:
        if len(self._text) < 2 * REACH:
            return
        n_dropped = len(self._text) - REACH
        self._text = self._text[n_dropped:]
        self._is_whole = False
        self._from = max(self._from - n_dropped, 0)
        self._parts = self._parts_from(0)


def _decode(data: bytes) -> tuple[str, bytes]:
    """(its whole characters, an unfinished one at its end)"""
    for n in range(1, min(4, len(data) + 1)):
        lead = data[-n]
        if lead >= 0xC0:
            is_unfinished = n < (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)
            if is_unfinished:
                return data[:-n].decode("utf-8", "surrogateescape"), data[-n:]
        if lead < 0x80 or lead >= 0xC0:
            break
    return data.decode("utf-8", "surrogateescape"), b""


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
