"""Server-sent events: chunk dicts as bytes, with pings, an error event, and a close() that frees the sequence."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from llamabox.logs import request_id
from llamabox.server.errors import ClientGone, as_api_error
from llamabox.server.running import Running

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class Framing:
    """How a chunk becomes an event.

    named  the chunk's `type` is the event's name too
    done   the stream ends with data: [DONE]
    """

    named: bool = False
    done: bool = True

    def event(self, chunk: dict[str, Any]) -> bytes:
        name = f"event: {chunk['type']}\n".encode() if self.named else b""
        return name + b"data: " + msgspec.json.encode(chunk) + b"\n\n"

    def error(self, error: Exception) -> bytes:
        body = as_api_error(error).body
        return (
            b"event: error\ndata: " + msgspec.json.encode({"type": "error", **body} if self.named else body) + b"\n\n"
        )


OPENAI, PLAIN, NAMED = Framing(), Framing(done=False), Framing(named=True, done=False)


class EventStream:
    """A WSGI body. It is an object, since a bare generator closed before its first item never runs its `finally`."""

    def __init__(
        self, running: Running, chunks: Iterable[dict | None], id: str, ping_s: int, framing: Framing = OPENAI
    ):
        """chunks: dicts to send; None when nothing happened for a moment. ping_s: -1: never"""
        self._running = running
        self._id, self._ping_s = id, ping_s
        self._bytes = self._encode(iter(chunks), framing)

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

    def _encode(self, chunks: Iterator[dict | None], framing: Framing) -> Iterator[bytes]:
        spoken = time.monotonic()
        try:
            for chunk in chunks:
                if chunk is not None:
                    yield framing.event(chunk)
                    spoken = time.monotonic()
                elif 0 <= self._ping_s <= time.monotonic() - spoken:
                    yield b": ping\n\n"
                    spoken = time.monotonic()
        except ClientGone:
            return
        except Exception as error:  # the status line is long gone: whatever broke is told as an event, then the end
            yield framing.error(error)
            return
        if framing.done:
            yield b"data: [DONE]\n\n"
