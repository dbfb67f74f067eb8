"""The line on a terminal that says that kernels are being compiled."""

import sys
from typing import TextIO

CLEAR = "\r\x1b[K"


class CompileLine:
    """A line that is there while a kernel is compiled and gone after, so that nothing else has to know of it."""

    def __init__(self, stream: TextIO):
        self._stream, self._count = stream, 0

    def __call__(self, name: str | None) -> None:
        text = ""
        if name is not None:
            self._count += 1
            text = f"compiling kernels for this CPU, which the first start does: {self._count} ({name})"
        self._stream.write(CLEAR + text)
        self._stream.flush()


def show_compiling() -> None:
    """Show the line from now on, if standard error is a terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        from llamabox.kernels import compiling

        compiling.listener = CompileLine(sys.stderr)
