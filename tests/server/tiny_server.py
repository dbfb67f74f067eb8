"""A server on a real socket with the chat model that ships, for the tests that need a model."""

from contextlib import contextmanager
from pathlib import Path

from test_sockets import running

from llamabox.assets import tiny_chat_path
from llamabox.engine import SamplingParams
from llamabox.server.admission import Admission
from llamabox.server.context import ServerContext
from llamabox.server.loading import load_served
from llamabox.server.requests import Defaults
from llamabox.server.settings import ServerSettings

TEMPLATES = Path(__file__).resolve().parents[2] / "conformance" / "templates"
QWEN3 = (TEMPLATES / "Qwen-Qwen3-0.6B.jinja").read_text(encoding="utf-8")


@contextmanager
def tiny_context(**settings):
    """Yields a ServerContext with the model loaded; settings: those of ServerSettings."""
    own = {"defaults": Defaults(SamplingParams()), "n_parallel": 2, "load": {"backend": "numpy"}, "warmup": False}
    chosen = ServerSettings(str(tiny_chat_path()), **{**own, **settings})
    context = ServerContext(Admission(-1, chosen.n_parallel), chosen.defaults)
    context.model = load_served(chosen)
    yield context
    context.model.engine.close(timeout_s=5)


@contextmanager
def tiny_server(**settings):
    """Yields the port of a server; settings: those of ServerSettings."""
    with tiny_context(**settings) as context, running(context) as port:
        yield port
