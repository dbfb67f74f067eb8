"""Chat: messages in, a message out."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from llamabox.server.schemas.bounds import INT32, Count
from llamabox.server.schemas.sampling import OpenAIFields


class ChatBody(OpenAIFields, kw_only=True):
    """POST /v1/chat/completions"""

    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    max_completion_tokens: Annotated[int, Meta(ge=-1, le=INT32)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    # tools
    tools: Annotated[list[dict[str, Any]], Meta(max_length=1024)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    parse_tool_calls: bool | None = None
    # the prompt
    add_generation_prompt: bool | None = None
    continue_final_message: bool | Literal["content", "reasoning_content"] | None = None
    echo: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    # reasoning
    reasoning_format: Literal["auto", "none", "deepseek", "deepseek-legacy"] | None = None
    reasoning_effort: Annotated[str, Meta(max_length=64)] | None = None
    reasoning_budget_tokens: Count | None = None
    thinking_budget_tokens: Count | None = None
    reasoning_budget_message: Annotated[str, Meta(max_length=4096)] | None = None
    # what would change the answer and is not here: refused by name
    chat_template: Any = None
    functions: Any = None
    function_call: Any = None
    modalities: list[str] | None = None
    audio: Any = None
    web_search_options: Any = None
    verbosity: Literal["low", "medium", "high"] | None = None
    reasoning_control: bool | None = None
