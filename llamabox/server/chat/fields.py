"""What a chat request's fields ask for, over the command line's defaults; what they may not ask is refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.schemas import ChatBody

OWN_VARIABLES = ("messages", "tools", "add_generation_prompt")  # of a template, which the request's fields set
Continued = bool | Literal["content", "reasoning_content"]


@dataclass(frozen=True)
class ChatDefaults:
    """What a chat request that names no value gets.

    template_kwargs   further variables of the template
    enable_thinking   None: the template decides
    reasoning_budget  tokens inside one thinking part; -1: as many as it likes
    prefill           an assistant's message at the end is continued
    parse             False: the answer is all content
    """

    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    enable_thinking: bool | None = None
    reasoning_format: str = "auto"
    reasoning_budget: int = -1
    reasoning_budget_message: str = ""
    prefill: bool = True
    parse: bool = True


@dataclass(frozen=True)
class Thinking:
    """How the model is to think before it answers.

    enabled  None: as the template has it
    effort   a level for the template, or None
    kwargs   all further variables of the template
    """

    enabled: bool | None
    effort: str | None
    kwargs: Mapping[str, Any]
    format: str
    budget: int
    budget_message: str


def thinking(body: ChatBody, defaults: ChatDefaults) -> Thinking:
    """Errors: BadRequest for a chat_template_kwargs.enable_thinking that is no boolean, or one of the server's names"""
    given = body.chat_template_kwargs or {}
    for name in OWN_VARIABLES:
        if name in given:
            raise BadRequest(
                f"chat_template_kwargs.{name}: found it, expected the field of the request", "chat_template_kwargs"
            )
    kwargs = {**defaults.template_kwargs, **given}
    enabled = kwargs.pop("enable_thinking", None)
    if enabled is None:
        enabled = defaults.enable_thinking
    elif not isinstance(enabled, bool):
        raise BadRequest(
            f"chat_template_kwargs.enable_thinking: found {enabled!r:.60}, expected true or false",
            "chat_template_kwargs.enable_thinking",
        )
    effort = body.reasoning_effort
    if effort == "none":
        enabled, effort = False, None
        kwargs.pop("reasoning_effort", None)
    budgets = (body.reasoning_budget_tokens, body.thinking_budget_tokens, defaults.reasoning_budget)
    message = body.reasoning_budget_message
    return Thinking(
        enabled=enabled,
        effort=effort if effort else None,
        kwargs=kwargs,
        format=defaults.reasoning_format if body.reasoning_format is None else body.reasoning_format,
        budget=next((budget for budget in budgets if budget not in (None, -1)), -1),
        budget_message=defaults.reasoning_budget_message if message is None else message,
    )


def continuation(body: ChatBody, prefill: bool) -> tuple[Continued, bool]:
    """(whether, or which part of, the last message is continued; add_generation_prompt), as in llama-server.

    Errors:  BadRequest
    """
    continued = body.continue_final_message or False
    add_generation_prompt = body.add_generation_prompt is not False
    roles = [message["role"] for message in body.messages[-2:]]
    if not continued and prefill and roles[-1] == "assistant":
        if roles == ["assistant"] * 2:
            raise BadRequest("messages: found two assistant messages at the end, expected at most one", "messages")
        continued, add_generation_prompt = True, False
    if not continued:
        return False, add_generation_prompt
    if add_generation_prompt:
        raise BadRequest(
            "continue_final_message: found it with add_generation_prompt, expected add_generation_prompt false",
            "continue_final_message",
        )
    if roles[-1] != "assistant":
        raise BadRequest(
            f"continue_final_message: found a last message of role {roles[-1]!r}, expected 'assistant'",
            "continue_final_message",
        )
    if body.messages[-1].get("tool_calls"):
        raise BadRequest(
            f"messages[{len(body.messages) - 1}].tool_calls: a message with tool calls cannot be continued", "messages"
        )
    return continued, False


def refuse_foreign(body: ChatBody) -> None:
    """Fields that would change the answer and that nothing here can honour.

    Errors:  BadRequest, NotSupported
    """
    if body.chat_template is not None:
        raise BadRequest(
            "chat_template: a request may not bring a template of its own; the server has --chat-template",
            "chat_template",
        )
    for name, instead in (("functions", "tools"), ("function_call", "tool_choice")):
        if getattr(body, name) is not None:
            raise BadRequest(f"{name}: this old form is not served, expected {instead} in its place", name)
    for name in ("audio", "web_search_options"):
        if getattr(body, name) is not None:
            raise NotSupported(f"{name}: this server answers with text, from the model alone", name)
    if body.modalities is not None and body.modalities != ["text"]:
        raise NotSupported(f"modalities: found {body.modalities!r:.80}, this server has ['text'] only", "modalities")
    if body.verbosity not in (None, "medium"):
        raise NotSupported(f"verbosity: found {body.verbosity!r}, this server has 'medium' only", "verbosity")
    if body.reasoning_control is True:
        raise NotSupported(
            "reasoning_control: a running answer cannot be steered; see thinking_budget_tokens", "reasoning_control"
        )
