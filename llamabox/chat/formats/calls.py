"""What all formats do around a call: try to read one, keep its text when it is none, hand its arguments over."""

from collections.abc import Callable, Generator

from llamabox.chat.formats.json_text import JsonCopy
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import MismatchError, Reader, Reading, TextEndError

OBJECT_BEGINS = ('"', "'", "}")


def attempt(reader: Reader, out: Output, steps: Reading, lead: str = "") -> Generator[None, None, bool]:
    """Runs steps that read calls. Where they fail, what they read is content, as far as it was not given out.

    lead    what was read before them and is content too when there is no call at all
    """
    calls = out.calls
    reader.record()
    try:
        yield from steps
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
