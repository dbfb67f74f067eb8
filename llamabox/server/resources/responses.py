"""POST /v1/responses and /v1/responses/input_tokens."""

import falcon

from llamabox.server.bodies import read_body
from llamabox.server.context import ServerContext
from llamabox.server.resources.replies import reply_stream, reply_whole
from llamabox.server.resources.translated import count_tokens, run_chat
from llamabox.server.responses.body import ResponsesBody, check_supported
from llamabox.server.responses.chat import chat_fields
from llamabox.server.responses.events import ResponseEvents
from llamabox.server.sse import NAMED


class Responses:
    """A conversation in, a response of items out; nothing is stored."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        tokenizer = self._context.served_text().tokenizer
        body = read_body(req, ResponsesBody)
        check_supported(body)
        chat = run_chat(self._context, req, chat_fields(body))
        events = ResponseEvents(body, chat.alias, lambda text: len(tokenizer.encode(text, add_special=False)))
        if body.stream is True:
            reply_stream(resp, chat.running, events.events(chat.chunks()), req.context.id, NAMED)
        else:
            reply_whole(resp, chat.running, lambda _: events.whole(chat.chunks()))


class ResponsesInputTokens:
    """How many tokens a request's prompt has."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._context.served_text()
        body = read_body(req, ResponsesBody)
        check_supported(body)
        n_tokens = count_tokens(self._context, chat_fields(body))
        resp.media = {"object": "response.input_tokens", "input_tokens": n_tokens}
