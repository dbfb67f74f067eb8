"""POST /v1/chat/completions, and what can be asked about such a request without running it."""

import falcon

from llamabox.server.bodies import read_body
from llamabox.server.chat.conversation import Conversation, prepare
from llamabox.server.chat.format import ChatFormat
from llamabox.server.context import ServerContext
from llamabox.server.errors import BadRequest
from llamabox.server.requests import generation_requests, response_grammar
from llamabox.server.resources.replies import includes_usage, reply_openai
from llamabox.server.resources.tokens import the_tokenizer
from llamabox.server.running import Running
from llamabox.server.schemas import ChatBody


class ChatCompletions:
    """Messages in, a message out."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._context.served_text()
        body = read_body(req, ChatBody)
        format, running = start_chat(self._context, body, req)
        reply_openai(resp, body, format, running, req.context.id)


class ChatInputTokens:
    """POST /v1/chat/completions/input_tokens: how many tokens a request's prompt has."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._context.served_text()
        n = len(prompt_of(self._context, read_body(req, ChatBody))[1])
        resp.media = {"object": "response.input_tokens", "input_tokens": n}


class ApplyTemplate:
    """POST /apply-template: the prompt that the model would see, as text."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._context.served_text()
        resp.media = {"prompt": prompt_of(self._context, read_body(req, ChatBody))[0].prompt}


def start_chat(context: ServerContext, body: ChatBody, req: falcon.Request) -> tuple[ChatFormat, Running]:
    """Run a chat request: its events, and the format that makes a reply of them.

    Errors:  BadRequest, NotSupported, and those of ServerContext.run
    """
    model = context.served_text()
    conversation, prompt = prompt_of(context, body)
    requests = [
        conversation.constrain(request)
        for request in generation_requests(body, prompt, context.defaults, model.tokenizer, req.context.id)
    ]
    told = requests[0].n_probs is not None, requests[0].post_sampling_probs
    choices = [conversation.choice(i, *told) for i in range(len(requests))]
    format = ChatFormat(model.alias, choices, includes_usage(body), body.return_progress is True)
    return format, context.run(requests, req)


def prompt_of(context: ServerContext, body: ChatBody) -> tuple[Conversation, list[int]]:
    """A request's conversation and the token ids of its prompt.

    Errors:  BadRequest, NotSupported
    """
    model, tokenizer = context.served_text(), the_tokenizer(context)
    grammar = response_grammar(body, None if body.tools else context.defaults.grammar)
    conversation = prepare(body, model.template, context.defaults.chat, grammar)
    ids = tokenizer.encode(conversation.prompt, add_special=True, parse_special=True)
    if len(ids) == 0:
        raise BadRequest("messages: found no text, expected at least one token", "messages")
    return conversation, ids
