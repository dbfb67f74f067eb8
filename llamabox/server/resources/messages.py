"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's API."""

import falcon

from llamabox.server.bodies import read_body
from llamabox.server.context import ServerContext
from llamabox.server.messages.body import CountTokensBody, MessagesBody, check_supported
from llamabox.server.messages.chat import chat_fields
from llamabox.server.messages.events import MessageEvents
from llamabox.server.resources.replies import reply_stream, reply_whole
from llamabox.server.resources.translated import count_tokens, run_chat
from llamabox.server.sse import NAMED


class Messages:
    """Messages in, a message of blocks out."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._context.served_text()
        body = read_body(req, MessagesBody)
        check_supported(body)
        chat = run_chat(self._context, req, chat_fields(body))
        events = MessageEvents(chat.alias, chat.n_prompt, chat.finished)
        if body.stream is True:
            reply_stream(resp, chat.running, events.events(chat.chunks()), req.context.id, NAMED)
        else:
            reply_whole(resp, chat.running, lambda _: events.whole(chat.chunks()))


class CountTokens:
    """How many tokens a request's prompt has."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._context.served_text()
        body = read_body(req, CountTokensBody)
        check_supported(body)
        resp.media = {"input_tokens": count_tokens(self._context, chat_fields(body))}
