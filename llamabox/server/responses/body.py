"""The fields of POST /v1/responses that we read. What needs a store or OpenAI's own services is refused by name."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from llamabox.server.errors import NotSupported
from llamabox.server.schemas.bounds import INT32, Text


class ResponsesBody(msgspec.Struct, kw_only=True):
    """POST /v1/responses and /v1/responses/input_tokens"""

    input: Text | list[dict[str, Any]]
    instructions: Text | None = None
    model: str | None = None
    stream: bool | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=INT32)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    include: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    truncation: str | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    # need a store, or services of OpenAI's own
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    context_management: Any = None
    moderation: Any = None


STATELESS = "this server keeps no responses: send the whole conversation in `input`"
REFUSED = {
    "previous_response_id": STATELESS,
    "conversation": STATELESS,
    "background": "responses run while the client waits",
    "prompt": "prompt templates are stored at OpenAI",
    "context_management": "only --context-shift drops old tokens here",
    "moderation": "this server has no moderation model",
}
TEXTS_OF_LOGPROBS = "message.output_text.logprobs"
HARMLESS_INCLUDES = (TEXTS_OF_LOGPROBS, "reasoning.encrypted_content")  # the reasoning is sent in plain text anyway


def check_supported(body: ResponsesBody) -> None:
    """NotSupported for a field that asks for what this server does not have."""
    for name, why in REFUSED.items():
        if getattr(body, name) not in (None, False):
            raise NotSupported(f"{name}: {why}", name)
    for name in body.include or []:
        if name not in HARMLESS_INCLUDES:
            raise NotSupported(f"include: found {name!r:.80}, expected {' or '.join(HARMLESS_INCLUDES)}", "include")
    if body.truncation not in (None, "disabled"):
        raise NotSupported(f"truncation: found {body.truncation!r:.40}, expected 'disabled'", "truncation")
