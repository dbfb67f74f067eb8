"""-v, -lv, --log-colors and the request id in log lines."""

import logging
import re
from io import StringIO

import pytest

from llamabox.cli.logs import set_up_logging
from llamabox.logs import request_id


class TerminalOut(StringIO):
    def isatty(self):
        return True


def log_all(verbosity, colors=False, stream=None):
    stream = StringIO() if stream is None else stream
    set_up_logging(verbosity, colors, stream)
    log = logging.getLogger("llamabox.engine.scheduler")
    for level in ("debug", "info", "warning", "error"):
        getattr(log, level)("a %s", level)
    return stream.getvalue()


@pytest.mark.parametrize(
    "verbosity, letters",
    [(2147483647, "DIWE"), (1, "DIWE"), (0, "IWE"), (-1, "WE"), (-2, "E"), (-100, "E")],
)
def test_verbosity_is_a_threshold(verbosity, letters):
    assert "".join(re.findall(r"^[\d:. -]+ (\w) ", log_all(verbosity), re.MULTILINE)) == letters


def test_a_line_has_time_level_place_and_message():
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} E engine\.scheduler: a error\n", log_all(-2))


def test_lines_carry_the_request_id_of_their_thread_or_of_their_record():
    stream = StringIO()
    set_up_logging(0, False, stream)
    log = logging.getLogger("llamabox.server")
    token = request_id.set("req-7")
    try:
        log.info("one")
    finally:
        request_id.reset(token)
    log.info("two")
    log.info("three", extra={"request_id": "req-8"})
    assert [line.split(": ", 1)[1] for line in stream.getvalue().splitlines()] == [
        "one [req-7]",
        "two",
        "three [req-8]",
    ]


def test_colors_only_when_asked_and_on_a_terminal():
    assert "\x1b" not in log_all(0, colors=True)
    assert "\x1b" not in log_all(0, colors=False, stream=TerminalOut())
    lines = log_all(0, colors=True, stream=TerminalOut()).splitlines()
    assert not lines[0].startswith("\x1b")
    assert lines[1].startswith("\x1b[33m") and lines[1].endswith("\x1b[0m")
    assert lines[2].startswith("\x1b[31m")


def test_setting_up_twice_does_not_write_twice():
    set_up_logging(0, False, StringIO())
    assert log_all(-2).count("\n") == 1
