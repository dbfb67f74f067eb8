"""A fake model for the commands that generate text."""

from dataclasses import dataclass, field
from io import StringIO
from types import SimpleNamespace

import pytest


@dataclass
class FakeModel:
    """Answers every prompt with the next of `answers`, in pieces; remembers what it was asked."""

    answers: list = field(default_factory=lambda: [["Hello", ", ", "world"]])
    prompts: list = field(default_factory=list)
    arguments: list = field(default_factory=list)
    closed: bool = False

    def generate(self, prompt, **arguments):
        self.prompts.append(prompt)
        self.arguments.append(arguments)
        for piece in self.answers[min(len(self.prompts), len(self.answers)) - 1]:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def close(self):
        self.closed = True


class Terminal(StringIO):
    """Standard input that is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def fake_model():
    return FakeModel()


@pytest.fixture
def terminal(monkeypatch):
    """Standard input is a terminal with nothing typed."""
    monkeypatch.setattr("sys.stdin", Terminal())


@pytest.fixture
def pipe(monkeypatch):
    """pipe(text): standard input is a pipe that holds the text."""
    return lambda text: monkeypatch.setattr("sys.stdin", StringIO(text))


@pytest.fixture(autouse=True)
def no_llama_environment(monkeypatch):
    """Tests see no LLAMA_* variable of the machine, and leave no log handlers behind."""
    import logging
    import os

    for name in [name for name in os.environ if name.startswith(("LLAMA_", "LLAMABOX_"))]:
        monkeypatch.delenv(name)
    yield
    for name in ("llamabox", "waitress"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate, logger.level = [], True, logging.NOTSET


@pytest.fixture
def files(tmp_path):
    """A file that exists, for -m."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"")
    return SimpleNamespace(model=str(path), folder=str(tmp_path))
