"""Text that arrives in pieces, read by coroutines.

A format is written as if the whole text were there: its methods are generators that `yield` when they need more of it.
`Reader` keeps only what is not yet read, so the pieces may be cut anywhere and reading stays linear in their length.
"""

import re
from collections.abc import Callable, Generator, Iterable

Reading = Generator[None, None, None]  # what a reading method without a result is
MAX_SPACES = 256  # white space that a format skips at one place
SPACES = re.compile(r"[ \t\r\n]+")


class MismatchError(Exception):
    """The text is not what the format expects here. Never leaves this package."""


class TextEndError(MismatchError):
    """The text ends inside of something."""


class Stops:
    """Words that end a free text."""

    def __init__(self, words: Iterable[str]):
        self.words = tuple(dict.fromkeys(words))
        self._found = re.compile("|".join(map(re.escape, sorted(self.words, key=len, reverse=True))) or r"(?!)")
        self._longest = max(map(len, self.words), default=0)

    def find(self, text: str, start: int) -> re.Match | None:
        return self._found.search(text, start)

    def begun(self, text: str, start: int) -> int:
        """Where a word that the end of the text cuts off begins; len(text) if there is none."""
        for i in range(max(start, len(text) - self._longest + 1), len(text)):
            if any(word.startswith(text[i:]) for word in self.words):
                return i
        return len(text)


class Reader:
    """The unread text, and a tape of what was read since `record`."""

    def __init__(self) -> None:
        self._text, self._at = "", 0
        self._tape: list[str] | None = None
        self.ended = False

    def feed(self, text: str) -> None:
        self._text, self._at = self._text[self._at :] + text, 0

    def end(self) -> None:
        self.ended = True

    def record(self) -> None:
        self._tape = []

    def recorded(self) -> str:
        """The text read since `record`, once."""
        tape, self._tape = self._tape, None
        return "".join(tape or ())

    def take(self, end: int) -> str:
        """The text up to a position, which is read by this."""
        text, self._at = self._text[self._at : end], end
        if self._tape is not None and text:
            self._tape.append(text)
        return text

    def take_rest(self) -> str:
        return self.take(len(self._text))

    def take_char(self) -> str:
        return self.take(self._at + 1)

    def take_chars(self, count: int) -> str:
        return self.take(self._at + count)

    @property
    def waits(self) -> bool:
        """Whether nothing is left to read for now."""
        return self._at == len(self._text)

    @property
    def finished(self) -> bool:
        return self.ended and self.waits

    def char(self) -> Generator[None, None, str]:
        """The next character, not read; "" at the end."""
        while self.waits:
            if self.ended:
                return ""
            yield
        return self._text[self._at]

    def ahead(self, count: int) -> Generator[None, None, str]:
        """The next characters, not read; fewer at the end."""
        while len(self._text) - self._at < count and not self.ended:
            yield
        return self._text[self._at : self._at + count]

    def unread(self, text: str) -> None:
        """Gives back what was just read; meant for short texts."""
        self._text, self._at = text + self._text[self._at :], 0
        if self._tape is not None:
            self._tape = ["".join(self._tape)[: -len(text) or None]]

    def optional(self, text: str) -> Reading:
        """Reads of this text, character by character, what is there."""
        for char in text:
            yield from self.literal(char)

    def literal(self, *words: str) -> Generator[None, None, str | None]:
        """Reads the longest of these words that comes next; None when none does."""
        longest = sorted(words, key=len, reverse=True)
        while True:
            here = self._text[self._at : self._at + len(longest[0])]
            for word in longest:
                if here.startswith(word):
                    self.take(self._at + len(word))
                    return word
                if word.startswith(here) and not self.ended:  # it may still become this one
                    break
            else:
                return None
            yield

    def maybe(self, *words: str) -> Generator[None, None, str | None]:
        """`literal` inside of a call. TextEndError when the text ends within a word."""
        word = yield from self.literal(*words)
        if word is None and self.ended and any(word.startswith(self._text[self._at :]) for word in words):
            raise TextEndError
        return word

    def expect(self, *words: str) -> Generator[None, None, str]:
        """Reads one of these words, which has to be there."""
        word = yield from self.maybe(*words)
        if word is None:
            raise MismatchError
        return word

    def match(self, pattern: re.Pattern) -> Generator[None, None, re.Match | None]:
        """Reads what matches of what is there, without waiting for more of it; None when nothing does."""
        yield from self.char()
        found = pattern.match(self._text, self._at)
        if found is not None:
            self.take(found.end())
        return found

    def word(self, pattern: re.Pattern, limit: int | None) -> Generator[None, None, str]:
        """Reads a whole run of characters, at most `limit`; the pattern matches a part of a run."""
        parts, length = [], 0
        while (found := (yield from self.match(pattern))) is not None:
            parts.append(found[0])
            length += len(found[0])
            if limit is not None and length > limit:
                raise MismatchError
        return "".join(parts)

    def spaces(self, limit: int | None = MAX_SPACES) -> Generator[None, None, str]:
        """Reads white space. MismatchError beyond the limit."""
        return (yield from self.word(SPACES, limit))

    def until(self, stops: Stops, emit: Callable[[str], None], whole: bool = True) -> Generator[None, None, str | None]:
        """Hands the text over as it comes, up to the first of these words, which is read; None when the text ends.

        whole   a word that the end of the text cuts off is text; otherwise it is left unread
        """
        while True:
            found = stops.find(self._text, self._at)
            if found is not None:
                self._hand_over(found.start(), emit)
                return self.take(found.end())
            whole_text = self.ended and whole
            self._hand_over(len(self._text) if whole_text else stops.begun(self._text, self._at), emit)
            if self.ended:
                return None
            yield

    def _hand_over(self, end: int, emit: Callable[[str], None]) -> None:
        if end > self._at:
            emit(self.take(end))
