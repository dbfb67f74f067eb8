"""Text in, text out: /completion and /infill (llama-server's shape), /v1/completions (OpenAI's)."""

from dataclasses import replace
from typing import Any

import falcon

from llamabox.engine import GenerationRequest
from llamabox.server.bodies import read_body
from llamabox.server.context import ServerContext
from llamabox.server.echo import Echo, echo_of
from llamabox.server.endpoints import require
from llamabox.server.errors import BadRequest
from llamabox.server.infill import Layout, check_fim, infill_ids, middle_ids
from llamabox.server.native import NativeChoice, NativeFormat
from llamabox.server.prompts import Prompt, mixed_ids, prompts_of
from llamabox.server.requests import generation_requests
from llamabox.server.resources.replies import includes_usage, reply_openai, reply_stream, reply_whole
from llamabox.server.resources.tokens import the_tokenizer
from llamabox.server.schemas import CompletionBody, CompletionsBody, InfillBody, NativeFields, SamplingFields
from llamabox.server.schemas.bounds import MAX_CHOICES
from llamabox.server.sse import PLAIN
from llamabox.server.text_format import BestOf, CompletionsFormat, TextChoice


class Completion:
    """POST /completion and /completions"""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._context.served_text()
        body = read_body(req, CompletionBody)
        prompts = prompts_of(body.prompt, the_tokenizer(self._context))
        reply_native(self._context, body, prompts, req, resp)


class Infill:
    """POST /infill: what stands between a prefix and a suffix."""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        endpoints = self._context.endpoints
        require(endpoints.infill, "/infill", "--infill")
        model, tokenizer = self._context.served_text(), the_tokenizer(self._context)
        check_fim(tokenizer, "infill")
        body = read_body(req, InfillBody)
        texts = [("input_prefix", body.input_prefix), ("input_suffix", body.input_suffix)]
        prefix, suffix = (mixed_ids(text, name, tokenizer, False, parse_special=False) for name, text in texts)
        prompt = [] if body.prompt is None else tokenizer.encode(body.prompt, add_special=False, parse_special=True)
        n_predict = self._context.defaults.n_predict
        layout = Layout(model.engine.options.n_batch, model.n_ctx, n_predict, endpoints.spm_infill)
        ids = infill_ids(tokenizer, prefix, suffix, prompt, body.input_extra or (), layout)
        reply_native(self._context, body, [Prompt(ids)], req, resp)


def reply_native(
    context: ServerContext, body: NativeFields, prompts: list[Prompt], req: falcon.Request, resp: falcon.Response
) -> None:
    """Run the prompts, and answer in llama-server's shape."""
    model, tokenizer = context.served_text(), the_tokenizer(context)
    requests = requests_for(context, body, prompts, req.context.id)
    choices = [
        NativeChoice(
            i,
            model.alias,
            request,
            model.n_ctx,
            b"".join(map(tokenizer.piece, request.prompt)).decode(errors="replace"),
            body.return_tokens is True,
        )
        for i, request in enumerate(requests)
    ]
    format = NativeFormat(choices, body.response_fields or ())
    running = context.run(requests, req)
    if body.stream is True:
        reply_stream(resp, running, format.chunks(running), req.context.id, PLAIN, body.sse_ping_interval)
    else:
        reply_whole(resp, running, format.whole)


class Completions:
    """POST /v1/completions"""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        model, tokenizer = self._context.served_text(), the_tokenizer(self._context)
        body = read_body(req, CompletionsBody)
        check_completions(body)
        prompts = prompts_of(body.prompt, tokenizer)
        echoes = [echo_of(prompt, tokenizer) if body.echo is True else None for prompt in prompts]
        if body.suffix:
            check_fim(tokenizer, "suffix", "suffix")
            prompts = [self._with_suffix(prompt, body.suffix, tokenizer) for prompt in prompts]
        requests = requests_for(self._context, body, prompts, req.context.id)
        format = completions_format(body, requests, echoes, model.alias, tokenizer.piece)
        requests = [told_requests(body, request) for request in requests]
        reply_openai(resp, body, format, self._context.run(requests, req), req.context.id)

    def _with_suffix(self, prompt: Prompt, suffix: str, tokenizer: Any) -> Prompt:
        ids = prompt.ids if prompt.text is None else tokenizer.encode(prompt.text, False, parse_special=True)
        after = tokenizer.encode(suffix, add_special=False)
        return Prompt(middle_ids(tokenizer, ids, after, self._context.endpoints.spm_infill))


def check_completions(body: CompletionsBody) -> None:
    """BadRequest for fields that do not go together."""
    if body.best_of is not None and body.best_of < told_choices(body):
        message = f"best_of: found {body.best_of}, expected at least n, which is {told_choices(body)}"
        raise BadRequest(message, "best_of")
    if is_best_of(body) and body.stream is True:
        raise BadRequest("best_of: found it with stream, where every choice is told at once", "best_of")
    if body.suffix and body.echo is True:
        raise BadRequest("suffix: found it with echo, expected one of them", "suffix")


def told_choices(body: CompletionsBody) -> int:
    """Choices of each prompt that the reply has."""
    return body.n or body.n_cmpl or 1


def is_best_of(body: CompletionsBody) -> bool:
    """More choices are made than told."""
    return body.best_of is not None and body.best_of > told_choices(body)


def completions_format(
    body: CompletionsBody, requests: list[GenerationRequest], echoes: list[Echo | None], model: str, piece: Any
) -> CompletionsFormat:
    """What makes the reply of the answers to these requests, those of one prompt in a row."""
    per_prompt, n_top = len(requests) // len(echoes), requests[0].n_probs
    choices = [TextChoice(i, n_top, piece, echoes[i // per_prompt]) for i in range(len(requests))]
    if is_best_of(body):
        return BestOf(model, choices, per_prompt, told_choices(body))
    return CompletionsFormat(model, choices, includes_usage(body), body.return_progress is True, per_prompt)


def told_requests(body: CompletionsBody, request: GenerationRequest) -> GenerationRequest:
    """The request with what best_of and echo need to know of its tokens."""
    if body.echo is True and request.n_probs is not None:
        request = replace(request, prompt_logprobs=True, cache_prompt=False)
    if is_best_of(body) and request.n_probs is None:
        request = replace(request, n_probs=0)
    return request


def requests_for(
    context: ServerContext, body: SamplingFields, prompts: list[Prompt], id: str
) -> list[GenerationRequest]:
    """The engine's requests for all prompts.

    Errors:  BadRequest when they are too many
    """
    tokenizer = the_tokenizer(context)
    if len(prompts) > MAX_CHOICES:
        raise BadRequest(f"prompt: found {len(prompts)} prompts, expected at most {MAX_CHOICES}", "prompt")
    requests: list[GenerationRequest] = []
    for prompt in prompts:
        requests += generation_requests(body, prompt.ids, context.defaults, tokenizer, id)
    if len(requests) > MAX_CHOICES:
        raise BadRequest(f"n: found {len(requests)} choices for all prompts, expected at most {MAX_CHOICES}", "n")
    return requests
