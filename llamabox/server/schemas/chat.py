"""Chat: messages in, a message out."""

from typing import Annotated, Any

from msgspec import Meta

from llamabox.server.schemas.bounds import INT32
from llamabox.server.schemas.sampling import OpenAIFields


class ChatBody(OpenAIFields, kw_only=True):
    """POST /v1/chat/completions"""

    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    max_completion_tokens: Annotated[int, Meta(ge=-1, le=INT32)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    top_logprobs: Any = None
    add_generation_prompt: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    chat_template: Any = None
