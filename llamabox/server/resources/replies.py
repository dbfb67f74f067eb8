"""How a running generation becomes an HTTP reply: streamed or whole."""

from collections.abc import Callable, Iterable
from typing import Any

import falcon

from llamabox.server.formats import OpenAIFormat
from llamabox.server.running import Running
from llamabox.server.schemas import OpenAIFields
from llamabox.server.sse import HEADERS, EventStream


def reply_openai(
    resp: falcon.Response, body: OpenAIFields, format_class: type[OpenAIFormat], alias: str, running: Running, id: str
) -> None:
    """Both OpenAI endpoints end here."""
    n = len(running.generations)
    if body.stream is True:
        include_usage = body.stream_options is not None and body.stream_options.include_usage is True
        format = format_class(alias, include_usage)
        reply_stream(resp, running, format.chunks(running, n), id)
    else:
        format = format_class(alias)
        reply_whole(resp, running, lambda events: format.whole(events, n))


def reply_stream(
    resp: falcon.Response, running: Running, chunks: Iterable[dict | None], id: str, done: bool = True
) -> None:
    resp.content_type = "text/event-stream; charset=utf-8"
    for name, value in HEADERS.items():
        resp.set_header(name, value)
    resp.stream = EventStream(running, chunks, id, done)


def reply_whole(resp: falcon.Response, running: Running, whole: Callable[[Running], dict[str, Any]]) -> None:
    try:
        resp.media = whole(running)
    finally:
        running.close()
