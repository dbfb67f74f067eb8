"""serve: bind first, load in a thread behind /health, run until a signal, then finish or cancel within 10 seconds."""

import logging
import signal
import threading
import time
from typing import Any

from llamabox.server.admission import Admission
from llamabox.server.app import create_app
from llamabox.server.context import ServerContext
from llamabox.server.loading import load_served
from llamabox.server.prefix import Prefixed
from llamabox.server.settings import ServerSettings
from llamabox.server.sockets import HTTPServer

GRACE_S, FLUSH_S = 6.0, 9.0  # after a signal: running requests may finish until GRACE_S, bytes may leave until FLUSH_S
log = logging.getLogger(__name__)


def serve(settings: ServerSettings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Call it on the main thread, which gets the signals.

    Errors:  OSError when the address cannot be bound; what load_served raises
    """
    admission = Admission(settings.n_threads, settings.n_parallel)
    context = ServerContext(admission, settings.defaults, settings.access, settings.endpoints)
    server = _bind(settings, context)
    stop = _Stop(server)
    loader = _Loader(context, settings, stop)
    address = f"http://{server.effective_host}:{server.effective_port}{settings.api_prefix}"
    if settings.announce:
        print(f"listening on {address}", flush=True)
    else:
        log.info("listening on %s", address)
    loader.start()
    while not stop.asked:
        server.loop_once()
    _shut_down(server, context)
    if loader.error is not None:
        raise loader.error
    return 0


def _bind(settings: ServerSettings, context: ServerContext) -> HTTPServer:
    app = create_app(context)
    try:
        return HTTPServer(
            Prefixed(app, settings.api_prefix) if settings.api_prefix else app,
            settings.host,
            settings.port,
            context.admission.n_threads,
            settings.timeout_s,
            settings.idle_s,
            settings.keepalive_s,
            settings.reuse_port,
        )
    except (OSError, ValueError) as error:  # waitress reports an unknown host as ValueError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OSError(f"cannot listen on {settings.host}:{settings.port}: {reason}") from None


class _Stop:
    """Set by a signal, or by the loader when it fails."""

    def __init__(self, server: HTTPServer):
        self.asked = False
        self._server = server
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def __call__(self) -> None:
        self.asked = True
        self._server.pull_trigger()

    def _on_signal(self, number: int, frame: Any) -> None:
        log.info("%s: shutting down", signal.Signals(number).name)
        self()


class _Loader(threading.Thread):
    """Loads the model while /health already answers; `error` says why it could not."""

    def __init__(self, context: ServerContext, settings: ServerSettings, stop: _Stop):
        super().__init__(name="loader", daemon=True)
        self.error: Exception | None = None
        self._context, self._settings, self._stop_server = context, settings, stop

    def run(self) -> None:
        started = time.monotonic()
        try:
            model = load_served(self._settings)
        except Exception as error:  # re-raised by serve(), on the main thread, where it becomes one line
            self.error = error
            self._stop_server()
            return
        self._context.model = model
        log.info(
            "ready after %.2f s: %s, %d sequences of %d tokens",
            time.monotonic() - started,
            model.alias,
            model.n_parallel,
            model.n_ctx,
        )


def _shut_down(server: HTTPServer, context: ServerContext) -> None:
    began = time.monotonic()
    context.admission.close()
    server.stop_accepting()
    while context.admission.open and time.monotonic() - began < GRACE_S:
        server.loop_once()
    if context.model is not None:
        context.model.engine.close(timeout_s=1.0)
    server.flush_and_close(began + FLUSH_S)
