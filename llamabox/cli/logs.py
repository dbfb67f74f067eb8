"""Logging of the command line: -v, -lv and --log-colors."""

import logging
import sys
from typing import TextIO

from llamabox.logs import request_id

COLORS = {
    logging.DEBUG: "\x1b[2m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[31m",
}
RESET = "\x1b[0m"


def level_of(verbosity: int) -> int:
    """A verbosity threshold -> a logging level: errors are -2, warnings -1, information 0, debug messages 1."""
    if verbosity >= 1:
        return logging.DEBUG
    return {0: logging.INFO, -1: logging.WARNING}.get(verbosity, logging.ERROR)


def set_up_logging(verbosity: int = 0, colors: bool = False, stream: TextIO | None = None) -> None:
    """Send the log of llamabox and of its HTTP server to `stream` (standard error), one line a message.

    colors  used only when the stream is a terminal
    """
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(colors and stream.isatty()))
    for name in ("llamabox", "waitress"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level_of(verbosity))


class LineFormatter(logging.Formatter):
    """`2026-11-23 08:15:30.123 W server: message [request id]`"""

    default_msec_format = "%s.%03d"

    def __init__(self, colors: bool) -> None:
        super().__init__("%(asctime)s %(letter)s %(where)s: %(message)s%(request)s")
        self.colors = colors

    def format(self, record: logging.LogRecord) -> str:
        request = getattr(record, "request_id", "") or request_id.get()
        record.letter = record.levelname[0]
        record.where = record.name.removeprefix("llamabox.")
        record.request = f" [{request}]" if request else ""
        line = super().format(record)
        color = COLORS.get(record.levelno) if self.colors else None
        return f"{color}{line}{RESET}" if color else line
