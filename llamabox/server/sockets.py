"""waitress with our time limits: --timeout, --conn-idle and --conn-keepalive act on each connection."""

import socket
import time

import msgspec
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher

from llamabox.server.bodies import MAX_BODY_BYTES
from llamabox.server.errors import error_body

LOOP_S = 0.5  # the longest the loop sleeps, and how often limits are checked
MAX_CONNECTIONS = 1024


class JSONErrorTask(ErrorTask):
    """What waitress refuses by itself (a malformed or too large request) as an OpenAI error body."""

    def execute(self) -> None:
        error = self.request.error
        body = msgspec.json.encode(error_body(error.code, f"{error.reason}: {error.body}", "invalid_request_error"))
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Channel(HTTPChannel):
    """A connection that knows whether it has been served yet."""

    error_task_class = JSONErrorTask
    served = False

    def service(self) -> None:
        super().service()
        self.served = True


class HTTPServer(TcpWSGIServer):
    """One listening socket. `loop_once()` serves for a moment; `stop_accepting()` closes the door only."""

    channel_class = Channel

    def __init__(
        self,
        app,
        host: str,
        port: int,
        n_threads: int,
        timeout_s: int,
        idle_s: int,
        keepalive_s: int,
        reuse_port: bool = False,
    ):
        """OSError when the address cannot be bound."""
        self._reuse_port = reuse_port
        self.timeout_s, self.idle_s, self.keepalive_s = timeout_s, idle_s, keepalive_s
        adjustments = Adjustments(
            host=host,
            port=port,
            threads=n_threads,
            ident="llamabox",
            channel_request_lookahead=1,  # else a hang-up goes unnoticed while nothing is being written
            max_request_body_size=MAX_BODY_BYTES,
            connection_limit=MAX_CONNECTIONS,
            backlog=MAX_CONNECTIONS,
            cleanup_interval=1,
            asyncore_use_poll=True,
        )
        dispatcher = ThreadedTaskDispatcher()
        super().__init__(app, map={}, dispatcher=dispatcher, adj=adjustments, sockinfo=adjustments.listen[0])
        dispatcher.set_thread_count(n_threads)

    def bind_server_socket(self) -> None:
        if self._reuse_port:
            if not hasattr(socket, "SO_REUSEPORT"):
                raise OSError("this system lets no two sockets share a port")
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().bind_server_socket()

    def maintenance(self, now: float) -> None:
        """Close what has been silent for too long; called about once a second."""
        for channel in list(self.active_channels.values()):
            limit = self._limit_s(channel)
            if limit is not None and now - channel.last_activity > limit:
                channel.will_close = True

    def _limit_s(self, channel: Channel) -> float | None:
        if channel.total_outbufs_len:
            return self.timeout_s  # the client does not read
        if channel.requests:
            return None  # we are at work on its request
        if channel.request is not None:
            return self.timeout_s  # half a request has come
        return self.keepalive_s if channel.served else self.idle_s

    def loop_once(self) -> None:
        wasyncore.loop(timeout=LOOP_S, map=self._map, use_poll=True, count=1)

    def stop_accepting(self) -> None:
        self.accepting = False
        self.del_channel(self._map)
        self.socket.close()

    def flush_and_close(self, deadline: float) -> None:
        """Let waiting bytes leave until the deadline (time.monotonic), then close all connections."""
        while time.monotonic() < deadline and any(c.requests or c.total_outbufs_len for c in self._channels()):
            self.loop_once()
        self.task_dispatcher.shutdown(timeout=max(0.0, deadline - time.monotonic()))
        wasyncore.close_all(self._map, ignore_all=True)

    def _channels(self) -> list[Channel]:
        return list(self.active_channels.values())
