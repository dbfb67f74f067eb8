"""The driver of a format: pieces of a model's answer in, deltas out."""

import secrets
import string
from collections.abc import Callable

from llamabox.chat.deltas import ContentDelta, Delta, ReasoningDelta, ToolArguments, ToolCallStart
from llamabox.chat.formats.reader import Reader, Reading

ID_LETTERS = string.ascii_letters + string.digits
ID_LENGTH = 24


def made_id() -> str:
    """An id for a call that the model gave none."""
    return "call_" + "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))


def short_id() -> str:
    """The same, as Mistral's templates demand it: nine letters and digits."""
    return "".join(secrets.choice(ID_LETTERS) for _ in range(9))


class Output:
    """Collects deltas; neighbours of one kind become one.

    separate  thoughts are told apart; otherwise they stay in the content, tags and all
    doubled   they stay there too
    """

    def __init__(self, new_id: Callable[[], str] = made_id, separate: bool = True, doubled: bool = False):
        self._deltas: list[tuple[type, list]] = []
        self._new_id = new_id
        self.separate, self.doubled = separate, doubled
        self.calls = 0
        self.is_empty = True  # nothing has been given out

    def content(self, text: str) -> None:
        self._add(ContentDelta, text)

    def thought(self, text: str) -> None:
        if self.separate:
            self._add(ReasoningDelta, text)
        self.tag(text)

    def tag(self, text: str) -> None:
        """What stands around thoughts."""
        if not self.separate or self.doubled:
            self._add(ContentDelta, text)

    def start(self, name: str, call_id: str = "") -> None:
        """A call begins; arguments after this are its own."""
        self._deltas.append((ToolCallStart, [self.calls, call_id or self._new_id(), name]))
        self.is_empty = False
        self.calls += 1

    def arguments(self, text: str) -> None:
        self._add(ToolArguments, text)

    def _add(self, kind: type, text: str) -> None:
        if not text:
            return
        self.is_empty = False
        if self._deltas and self._deltas[-1][0] is kind:
            self._deltas[-1][1].append(text)
        else:
            self._deltas.append((kind, [self.calls - 1, text] if kind is ToolArguments else [text]))

    def drain(self) -> list[Delta]:
        """The deltas since the last time."""
        deltas, self._deltas = self._deltas, []
        return [_delta(kind, fields) for kind, fields in deltas]


def _delta(kind: type, fields: list) -> Delta:
    if kind is ToolCallStart:
        return ToolCallStart(*fields)
    if kind is ToolArguments:
        return ToolArguments(fields[0], "".join(fields[1:]))
    return kind("".join(fields))


class ChatParser:
    """Reads one answer.

    push    the next piece of the model's text -> what became certain by it
    finish  after the last piece -> the rest
    Both together give the same however the text is cut. What does not fit the format is content; nothing raises.
    """

    def __init__(self, read: Callable[[Reader, Output], Reading], output: Output | None = None):
        self._reader, self._output = Reader(), Output() if output is None else output
        self._steps = read(self._reader, self._output)

    def push(self, text: str) -> list[Delta]:
        self._reader.feed(text)
        return self._advance()

    def finish(self) -> list[Delta]:
        self._reader.end()
        return self._advance()

    def _advance(self) -> list[Delta]:
        next(self._steps, None)
        return self._output.drain()
