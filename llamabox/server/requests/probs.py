"""Which probabilities a body asks for, under its endpoint's name for them."""

from llamabox.server.errors import BadRequest
from llamabox.server.schemas import ChatBody, CompletionsBody, NativeFields, SamplingFields


def wanted_probs(body: SamplingFields) -> int | None:
    """How many tokens are named beside each one; None: no probabilities. llama-server's n_probs works everywhere."""
    if isinstance(body, ChatBody):
        if body.top_logprobs is not None and body.logprobs is not True:
            raise BadRequest("top_logprobs: expected logprobs: true beside it", "top_logprobs")
        if body.logprobs is True:
            return body.top_logprobs if body.top_logprobs is not None else body.n_probs or 0
    if isinstance(body, CompletionsBody) and body.logprobs is not None:
        return body.logprobs
    if isinstance(body, NativeFields) and body.n_probs is None:
        return body.logprobs if body.logprobs else None
    return body.n_probs if body.n_probs else None
