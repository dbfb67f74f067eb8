"""Server-sent events: chunk dicts as bytes, with pings, an error event, and a close() that frees the sequence."""

import time
from collections.abc import Iterable, Iterator

import msgspec

from llamabox.logs import request_id
from llamabox.server.errors import ClientGone, as_api_error, error_body
from llamabox.server.running import Running

PING_S = 30.0
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class EventStream:
    """A WSGI body. It is an object, since a bare generator closed before its first item never runs its `finally`."""

    def __init__(self, running: Running, chunks: Iterable[dict | None], id: str, done: bool = True):
        """chunks: dicts to send; None when nothing happened for a moment. done: end with data: [DONE]"""
        self._running = running
        self._id = id
        self._bytes = self._encode(iter(chunks), done)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = request_id.set(self._id)
        try:
            return next(self._bytes)
        finally:
            request_id.reset(token)

    def close(self) -> None:
        self._running.close()

    def _encode(self, chunks: Iterator[dict | None], done: bool) -> Iterator[bytes]:
        spoken = time.monotonic()
        try:
            for chunk in chunks:
                if chunk is not None:
                    yield b"data: " + msgspec.json.encode(chunk) + b"\n\n"
                    spoken = time.monotonic()
                elif time.monotonic() - spoken >= PING_S:
                    yield b": ping\n\n"
                    spoken = time.monotonic()
        except ClientGone:
            return
        except Exception as error:  # the status line is long gone: whatever broke is told as an event, then the end
            e = as_api_error(error)
            yield (
                b"event: error\ndata: "
                + msgspec.json.encode(error_body(e.status, e.message, e.type, e.param))
                + b"\n\n"
            )
            return
        if done:
            yield b"data: [DONE]\n\n"
