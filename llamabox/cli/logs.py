"""Logging of the command line: -v, -lv and the --log-... options."""

import json
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from llamabox.logs import request_id

if TYPE_CHECKING:
    from llamabox.cli.options import Options

COLORS = {
    logging.DEBUG: "\x1b[2m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[31m",
}
RESET = "\x1b[0m"
LOGGERS = ("llamabox", "waitress")


def level_of(verbosity: int) -> int:
    """A verbosity threshold -> a logging level: errors are -2, warnings -1, information 0, debug messages 1."""
    if verbosity >= 1:
        return logging.DEBUG
    return {0: logging.INFO, -1: logging.WARNING}.get(verbosity, logging.ERROR)


def log_as_asked(options: "Options", verbosity: int, stream: TextIO | None = None) -> None:
    """Send the log of llamabox and of its HTTP server where the --log-... options say; by default to `stream`
    (standard error), one line a message.

    Errors:  OSError when the file of --log-file cannot be opened
    """
    if options.log_disable:
        return _send(verbosity, [logging.NullHandler()])
    handlers: list[logging.Handler] = []
    parts = (options.log_timestamps, options.log_prefix)
    if options.log_jsonl:
        handlers.append(logging.StreamHandler(sys.stdout))
        handlers[0].setFormatter(JSONFormatter())
    else:
        handlers.append(_to_stream(stream, options.log_colors, *parts))
    if options.log_file is not None:
        handlers.append(logging.FileHandler(options.log_file, encoding="utf-8"))
        handlers[1].setFormatter(JSONFormatter() if options.log_jsonl else LineFormatter(False, *parts))
    _send(verbosity, handlers)


def _to_stream(stream: TextIO | None, colors: bool | str, *parts: bool) -> logging.Handler:
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(colors == "always" or (bool(colors) and stream.isatty()), *parts))
    return handler


def _send(verbosity: int, handlers: Sequence[logging.Handler]) -> None:
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = list(handlers)
        logger.propagate = False
        logger.setLevel(level_of(verbosity))


class LineFormatter(logging.Formatter):
    """`2026-11-23 08:15:30.123 W server: message [request id]`, without time or level and place if so wished"""

    default_msec_format = "%s.%03d"

    def __init__(self, colors: bool, timestamps: bool = True, prefix: bool = True) -> None:
        before = ("%(asctime)s " if timestamps else "") + ("%(letter)s %(where)s: " if prefix else "")
        super().__init__(f"{before}%(message)s%(request)s")
        self.colors = colors

    def format(self, record: logging.LogRecord) -> str:
        request = _request(record)
        record.letter = record.levelname[0]
        record.where = record.name.removeprefix("llamabox.")
        record.request = f" [{request}]" if request else ""
        line = super().format(record)
        color = COLORS.get(record.levelno) if self.colors else None
        return f"{color}{line}{RESET}" if color else line


class JSONFormatter(logging.Formatter):
    """{"time": seconds since 1970, "level": "warning", "where": "server", "message": ..., "request_id": ...}"""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": record.created, "level": record.levelname.lower(), "where": record.name}
        entry["message"] = record.getMessage()
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry | {"request_id": _request(record)}, ensure_ascii=False)


def _request(record: logging.LogRecord) -> str:
    return getattr(record, "request_id", "") or request_id.get()
