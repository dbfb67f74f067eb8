"""From tokens to the text a client sees: whole characters, and nothing of a stop text, however tokens split it."""

from collections.abc import Iterable
from typing import Any, Protocol


class TextStream(Protocol):
    """What a tokenizer's stream offers; see docs/architecture.md."""

    def push(self, id: int) -> str: ...

    def flush(self) -> str: ...


class StopMatcher:
    """Passes text through, holds back what may be the beginning of a stop text, and ends at the first complete one.

    The stop text that is complete first wins (of several that end together, the one that begins first), so the answer
    does not depend on how the text is cut into pieces.
    """

    def __init__(self, stops: tuple[str, ...]):
        self._stops = stops
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """More text -> (text that can be shown, the stop text that was found or None)."""
        if not self._stops:
            return text, None
        text = self._held + text
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            _, at, stop = min(found)
            self._held = ""
            return text[:at], stop
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], None

    def flush(self) -> str:
        """What was held back, once no more text comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of text that is a beginning of stop, but not all of it."""
    for n in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:n]):
            return n
    return 0


def single_tokens(tokenizer: Any, texts: Iterable[str]) -> frozenset[int]:
    """The ids of those texts that are one token, control tokens among them."""
    encoded = [tokenizer.encode(text, add_special=False, parse_special=True) for text in texts]
    return frozenset(ids[0] for ids in encoded if len(ids) == 1)


class TextOutput:
    """The text of one answer. stream None: there is no tokenizer, and no text. hidden: tokens that leave no text.

    n_chars  characters of all its tokens, shown or held back
    """

    def __init__(self, stream: TextStream | None, stops: tuple[str, ...], hidden: frozenset[int]):
        self._stream, self._matcher = stream, StopMatcher(stops)
        self._hidden = hidden
        self.n_chars = 0

    def push(self, token: int) -> tuple[str, str | None]:
        """One more token -> (text that can be shown, the stop text that was found or None)."""
        if self._stream is None or token in self._hidden:
            return "", None
        text = self._stream.push(token)
        self.n_chars += len(text)
        return self._matcher.push(text)

    def flush(self) -> tuple[str, str | None]:
        """The rest, once no more tokens come; it may complete a stop text."""
        if self._stream is None:
            return "", None
        text, stop = self._matcher.push(self._stream.flush())
        return text + self._matcher.flush(), stop
