"""The fields of POST /v1/messages that we read. What would need Anthropic's own services is refused by name."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from llamabox.server.errors import NotSupported
from llamabox.server.schemas.bounds import INT32, Text

Count = Annotated[int, Meta(ge=1, le=INT32)]


class CountTokensBody(msgspec.Struct, kw_only=True):
    """POST /v1/messages/count_tokens"""

    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    model: str | None = None
    system: Text | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    # need Anthropic's own services
    container: Any = None
    mcp_servers: Any = None
    context_management: Any = None


class MessagesBody(CountTokensBody, kw_only=True):
    """POST /v1/messages"""

    max_tokens: Count
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=INT32)] | None = None


REFUSED = {
    "container": "this server runs no code",
    "mcp_servers": "this server calls no tools by itself",
    "context_management": "only --context-shift drops old tokens here",
}


def check_supported(body: CountTokensBody) -> None:
    """NotSupported for a field that asks for what this server does not have."""
    for name, why in REFUSED.items():
        if getattr(body, name) not in (None, [], {}):
            raise NotSupported(f"{name}: {why}", name)
