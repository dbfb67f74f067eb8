"""Text in, text out."""

from typing import Annotated, Any

from msgspec import Meta

from llamabox.server.schemas.bounds import INT32, MAX_PROBS, Choices, Text
from llamabox.server.schemas.sampling import OpenAIFields, SamplingFields

Prompts = Text | list[Any] | dict[str, Any]
MaxTokens = Annotated[int, Meta(ge=-1, le=INT32)]


class CompletionsBody(OpenAIFields, kw_only=True):
    """POST /v1/completions"""

    prompt: Prompts
    logprobs: Annotated[int, Meta(ge=0, le=MAX_PROBS)] | None = None
    echo: bool | None = None
    suffix: Text | None = None
    best_of: Choices | None = None
    max_completion_tokens: MaxTokens | None = None


class NativeFields(SamplingFields, kw_only=True):
    """What llama-server's own endpoints have beside the rest."""

    logprobs: Annotated[int, Meta(ge=0, le=MAX_PROBS)] | None = None  # n_probs, where that is not given
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    return_tokens: bool | None = None
    response_fields: Annotated[list[str], Meta(max_length=256)] | None = None


class CompletionBody(NativeFields, kw_only=True):
    """POST /completion and /completions"""

    prompt: Prompts


class InfillBody(NativeFields, kw_only=True):
    """POST /infill"""

    input_prefix: Text | list[Any]
    input_suffix: Text | list[Any]
    input_extra: Annotated[list[dict[str, Any]], Meta(max_length=1024)] | None = None
    prompt: Text | None = None
