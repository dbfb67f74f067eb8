"""Text in, text out: /completion (llama-server's shape) and /v1/completions (OpenAI's)."""

import falcon

from llamabox.server.bodies import read_body
from llamabox.server.context import ServerContext
from llamabox.server.errors import BadRequest
from llamabox.server.formats import CompletionsFormat, TextChoice
from llamabox.server.native import NativeFormat
from llamabox.server.requests import generation_requests
from llamabox.server.resources.replies import includes_usage, reply_openai, reply_stream, reply_whole
from llamabox.server.resources.tokens import the_tokenizer
from llamabox.server.schemas import CompletionBody, CompletionsBody
from llamabox.server.sse import PLAIN


class Completion:
    """POST /completion"""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        model, tokenizer = self._context.served_text(), the_tokenizer(self._context)
        body = read_body(req, CompletionBody)
        prompt = prompt_ids(body.prompt, tokenizer)
        requests = generation_requests(body, prompt, self._context.defaults, tokenizer, req.context.id)
        format = NativeFormat(model.alias, requests[0], model.n_ctx)
        running = self._context.run(requests, req)
        if body.stream is True:
            chunks = format.chunks(running)
            reply_stream(resp, running, chunks, req.context.id, PLAIN, body.sse_ping_interval)
        else:
            reply_whole(resp, running, format.whole)


class Completions:
    """POST /v1/completions"""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        model, tokenizer = self._context.served_text(), the_tokenizer(self._context)
        body = read_body(req, CompletionsBody)
        prompt = prompt_ids(body.prompt, tokenizer)
        requests = generation_requests(body, prompt, self._context.defaults, tokenizer, req.context.id)
        choices = [TextChoice(i) for i in range(len(requests))]
        format = CompletionsFormat(model.alias, choices, includes_usage(body))
        reply_openai(resp, body, format, self._context.run(requests, req), req.context.id)


def prompt_ids(prompt: str | list[int], tokenizer) -> list[int]:
    """Token ids of a prompt that is text, or ids already."""
    if isinstance(prompt, str):
        ids = tokenizer.encode(prompt, add_special=True, parse_special=True)
    else:
        ids = prompt
    for i, id in enumerate(ids):
        if id >= tokenizer.n_vocab:
            raise BadRequest(f"prompt[{i}]: found token {id}, expected 0 to {tokenizer.n_vocab - 1}", "prompt")
    if len(ids) == 0:
        raise BadRequest("prompt: found no tokens, expected at least one", "prompt")
    return ids
