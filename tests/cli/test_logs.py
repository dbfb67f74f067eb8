"""-v, -lv, --log-colors and the request id in log lines."""

import json
import logging
import re
from io import StringIO

import pytest

from llamabox.cli.logs import log_as_asked
from llamabox.cli.options import parse_options
from llamabox.logs import request_id


class TerminalOut(StringIO):
    def isatty(self):
        return True


def log_all(verbosity, colors=False, stream=None):
    stream = StringIO() if stream is None else stream
    log_as_asked(parse_options([]).replace(log_colors=colors), verbosity, stream)
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
    log_as_asked(parse_options([]), 0, stream)
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
    log_as_asked(parse_options([]), 0, StringIO())
    assert log_all(-2).count("\n") == 1


def as_asked(capsys, *argv):
    log_as_asked(parse_options(argv, {}), 0)
    logging.getLogger("llamabox.server").warning("a %s", "word")
    return capsys.readouterr()


def test_a_log_may_be_without_time_and_place_or_not_be_at_all(capsys, tmp_path):
    assert re.fullmatch(r"\d{4}-.* W server: a word\n", as_asked(capsys).err)
    assert as_asked(capsys, "--no-log-timestamps").err == "W server: a word\n"
    assert re.fullmatch(r"\d{4}-[^W]* a word\n", as_asked(capsys, "--no-log-prefix").err)
    assert as_asked(capsys, "--no-log-prefix", "--no-log-timestamps").err == "a word\n"
    assert "".join(as_asked(capsys, "--log-disable", "--log-file", str(tmp_path / "x"))) == ""
    assert (
        as_asked(capsys, "--no-log-prefix", "--no-log-timestamps", "--log-colors", "on").err
        == "\x1b[33ma word\x1b[0m\n"
    )


def test_a_log_goes_to_a_file_too(capsys, tmp_path):
    for _ in range(2):
        assert as_asked(capsys, "--log-file", str(tmp_path / "log"), "--no-log-timestamps").err == "W server: a word\n"
    assert (tmp_path / "log").read_text() == "W server: a word\n" * 2
    with pytest.raises(OSError, match="no such folder|No such file"):
        as_asked(capsys, "--log-file", str(tmp_path / "none" / "log"))


def test_a_log_of_json_objects(capsys, tmp_path):
    token = request_id.set("r-1")
    try:
        out, err = as_asked(capsys, "--log-jsonl", "--log-file", str(tmp_path / "log"))
    finally:
        request_id.reset(token)
    entry = json.loads(out)
    assert err == "" and out.count("\n") == 1 and (tmp_path / "log").read_text() == out
    assert entry.pop("time") > 1e9
    assert entry == {"level": "warning", "where": "llamabox.server", "message": "a word", "request_id": "r-1"}
    assert as_asked(capsys, "--log-jsonl", "--no-log-jsonl").out == ""
