"""The line that says that kernels are being compiled: on a terminal, and only while they are."""

import io
import sys

from llamabox.cli.compiling import CLEAR, CompileLine, show_compiling
from llamabox.kernels import compiling


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_comes_and_goes(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(compiling, "listener", None)
    monkeypatch.setattr(sys, "stderr", terminal)
    show_compiling()
    for name in ("Q4_0 one row", "rms_norm"):
        with compiling.telling(name):
            assert terminal.getvalue().endswith(f"({name})")
        assert terminal.getvalue().endswith(CLEAR)
    assert "2 (rms_norm)" in terminal.getvalue() and "\n" not in terminal.getvalue()


def test_a_file_gets_none(monkeypatch):
    monkeypatch.setattr(compiling, "listener", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    show_compiling()
    assert compiling.listener is None


def test_it_goes_when_compiling_fails(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(compiling, "listener", CompileLine(terminal))
    try:
        with compiling.telling("broken"):
            raise RuntimeError
    except RuntimeError:
        pass
    assert terminal.getvalue().endswith(CLEAR)


def test_kernels_are_told_of_when_they_are_compiled_and_not_when_they_are_loaded(monkeypatch, tmp_path):
    from llamabox.kernels.cpu import machine_code

    told = []
    monkeypatch.setattr(compiling, "listener", told.append)
    monkeypatch.setattr(machine_code, "kernel_cache_dir", lambda: tmp_path)
    for _ in range(2):
        assert machine_code.load("nothing", "void(int64)", lambda: nothing) != 0
    assert told == ["nothing", None]


def nothing(args):
    pass
