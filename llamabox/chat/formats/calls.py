"""What all formats do around a call: try to read one, keep its text when it is none, hand its arguments over."""

import re
from collections.abc import Callable, Generator, Sequence

from llamabox.chat.formats.base import Format
from llamabox.chat.formats.json_text import JsonCopy
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import MismatchError, Reader, Reading, Stops, TextEndError
from llamabox.chat.formats.tools import Tools

OBJECT_BEGINS = ('"', "'", "}")


def attempt(reader: Reader, out: Output, steps: Reading, lead: str = "") -> Generator[None, None, bool]:
    """Runs steps that read calls. Where they fail, what they read is content, as far as it was not given out.

    lead    what was read before them and is content too when there is no call at all
    A call that the end of the text cuts off before its arguments is left out, unless it would be the whole answer.
    """
    calls = out.calls
    reader.record()
    try:
        yield from steps
    except TextEndError:
        reader.take_rest()
        if out.is_empty:
            out.content(lead + reader.recorded())
        return False
    except MismatchError:
        text = reader.recorded()
        out.content(lead + text if out.calls == calls else text)
        return False
    reader.recorded()
    return True


def expect_object(reader: Reader) -> Reading:
    """Makes sure that a JSON object begins here, reading nothing of it."""
    brace = yield from reader.expect("{")
    space = yield from reader.spaces()
    char = yield from reader.char()
    if not char:
        raise TextEndError
    if char not in OBJECT_BEGINS:
        raise MismatchError
    reader.unread(brace + space)


def copy_arguments(reader: Reader, emit: Callable[[str], None]) -> Reading:
    """Hands over a call's arguments as JSON. Where they stop being JSON, they are completed before MismatchError."""
    copy = JsonCopy(emit)
    try:
        yield from copy.copy(reader)
    except TextEndError:
        raise
    except MismatchError:
        emit(copy.completion())
        raise
    finally:
        reader.record()  # what comes next is no part of the arguments


class MarkedCalls(Format):
    """A format whose calls stand in sections that begin with a marker; everything else is content.

    dropped  words that only mark what is content
    """

    dropped: tuple[str, ...] = ()

    def markers(self, tools: Tools) -> tuple[str, ...]:
        """The words that begin a section."""
        raise NotImplementedError

    def section(self, reader: Reader, out: Output, tools: Tools, marker: str) -> Reading:
        """Reads what follows a marker, to the end of its section. Raises MismatchError."""
        raise NotImplementedError

    def read(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        markers = self.markers(tools) if tools else ()
        stops = Stops((*markers, *self.dropped))
        while (marker := (yield from reader.until(stops, out.content))) is not None:
            while marker in markers and (
                yield from attempt(reader, out, self.section(reader, out, tools, marker), marker)
            ):
                space = yield from reader.spaces(None)
                marker = yield from reader.literal(*markers)
                if marker is None and not reader.finished:
                    out.content(space)

    def triggers(self, tools: Tools) -> Sequence[str]:
        return tuple(map(re.escape, self.markers(tools)))
