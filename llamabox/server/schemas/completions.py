"""Text in, text out."""

from typing import Annotated, Any

from msgspec import Meta

from llamabox.server.schemas.bounds import INT32, Text, TokenId
from llamabox.server.schemas.sampling import OpenAIFields, SamplingFields


class CompletionsBody(OpenAIFields, kw_only=True):
    """POST /v1/completions"""

    prompt: Text | list[TokenId]
    echo: Any = None
    suffix: Any = None
    best_of: Any = None


class CompletionBody(SamplingFields, kw_only=True):
    """POST /completion"""

    prompt: Text | list[TokenId]
    max_tokens: Annotated[int, Meta(ge=-1, le=INT32)] | None = None
