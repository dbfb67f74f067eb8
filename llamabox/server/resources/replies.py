"""How a running generation becomes an HTTP reply: streamed or whole."""

from collections.abc import Callable, Iterable
from typing import Any

import falcon

from llamabox.server.formats import OpenAIFormat
from llamabox.server.running import Running
from llamabox.server.schemas import OpenAIFields
from llamabox.server.sse import HEADERS, OPENAI, EventStream, Framing


def reply_openai(resp: falcon.Response, body: OpenAIFields, format: OpenAIFormat, running: Running, id: str) -> None:
    """Both OpenAI endpoints end here."""
    if body.stream is True:
        reply_stream(resp, running, format.chunks(running), id, ping_s=body.sse_ping_interval)
    else:
        reply_whole(resp, running, format.whole)


def includes_usage(body: OpenAIFields) -> bool:
    """Whether a streamed reply ends with its usage."""
    return body.stream is True and body.stream_options is not None and body.stream_options.include_usage is True


def reply_stream(
    resp: falcon.Response,
    running: Running,
    chunks: Iterable[dict | None],
    id: str,
    framing: Framing = OPENAI,
    ping_s: int | None = None,
) -> None:
    resp.content_type = "text/event-stream; charset=utf-8"
    for name, value in HEADERS.items():
        resp.set_header(name, value)
    ping_s = running.ping_s if ping_s is None else ping_s
    resp.stream = EventStream(running, chunks, id, ping_s, framing)


def reply_whole(resp: falcon.Response, running: Running, whole: Callable[[Running], Any]) -> None:
    try:
        resp.media = whole(running)
    finally:
        running.close()
