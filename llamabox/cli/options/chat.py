"""server/chat: llama-server's flags about templates, thinking and what becomes of an answer's parts."""

import json
from typing import Any

from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parsers import Choice, Integer, Text, any_text, on_off_auto

JINJA = "chat templates are always rendered as Jinja here"


def template_kwargs(text: str) -> dict[str, Any]:
    """A JSON object: further variables of the template."""
    expected = 'a JSON object, such as {"key": "value"}'
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(expected) from None
    if not isinstance(value, dict):
        raise ValueError(expected)
    if not isinstance(value.get("enable_thinking", True), bool):
        raise ValueError('a JSON object whose "enable_thinking" is true or false')
    return value


CHAT = Group(
    "server/chat",
    (
        Option(
            "chat_template_kwargs",
            "--chat-template-kwargs STRING",
            (template_kwargs,),
            default={},
            help="sets additional params for the json template parser, must be a valid json object string, "
            'e.g. \'{"key1":"value1","key2":"value2"}\'',
            env="LLAMA_ARG_CHAT_TEMPLATE_KWARGS",
        ),
        Option(
            "jinja",
            "--jinja",
            default=True,
            help="use jinja template engine for chat (default: enabled)",
            env="LLAMA_ARG_JINJA",
            later=JINJA,
        ),
        Option("jinja", "--no-jinja", const=False, default=True, help="do without", later=JINJA),
        Option(
            "reasoning_format",
            "--reasoning-format FORMAT",
            (Choice("auto", "none", "deepseek", "deepseek-legacy"),),
            default="auto",
            help="controls whether thought tags are allowed and/or extracted from the response, and in which format "
            "they're returned; one of:\n"
            "- none: leaves thoughts unparsed in `message.content`\n"
            "- deepseek: puts thoughts in `message.reasoning_content`\n"
            "- deepseek-legacy: keeps `<think>` tags in `message.content` while also populating "
            "`message.reasoning_content`\n(default: auto)",
            env="LLAMA_ARG_THINK",
        ),
        Option(
            "reasoning",
            "-rea, --reasoning <on|off|auto>",
            (on_off_auto,),
            help="use reasoning/thinking in the chat (default: auto, detect from template)",
            env="LLAMA_ARG_REASONING",
        ),
        Option(
            "reasoning_effort",
            "--reasoning-effort LEVEL",
            (Text("a level"),),
            default="default",
            help="reasoning effort level given to the chat template: 'default' to keep the template default,\n"
            "or a level such as 'minimal', 'low', 'medium', 'high', 'xhigh' or 'max' (default: default)",
            env="LLAMA_ARG_REASONING_EFFORT",
        ),
        Option(
            "reasoning_budget",
            "--reasoning-budget N",
            (Integer(-1),),
            default=-1,
            help="token budget for thinking: -1 for unrestricted, 0 for immediate end, N>0 for token budget "
            "(default: -1)",
            env="LLAMA_ARG_THINK_BUDGET",
        ),
        Option(
            "reasoning_budget_message",
            "--reasoning-budget-message MESSAGE",
            (any_text,),
            default="",
            help="message injected before the end-of-thinking tag when reasoning budget is exhausted (default: none)",
            env="LLAMA_ARG_THINK_BUDGET_MESSAGE",
        ),
        Option(
            "reasoning_preserve",
            "--reasoning-preserve",
            help="preserve reasoning trace in the full history, not just the last assistant message (default: "
            "enabled)\ncompatible with templates that know preserve_thinking, clear_thinking or the like",
            env="LLAMA_ARG_REASONING_PRESERVE",
        ),
        Option(
            "reasoning_preserve",
            "--no-reasoning-preserve",
            const=False,
            help="leave the reasoning of earlier answers out",
        ),
        Option(
            "skip_chat_parsing",
            "--skip-chat-parsing",
            default=False,
            help="force a pure content parser: model will output everything in the content section, including any "
            "reasoning and/or tool calls (default: disabled)",
            env="LLAMA_ARG_SKIP_CHAT_PARSING",
        ),
        Option("skip_chat_parsing", "--no-skip-chat-parsing", const=False, default=False, help="parse answers"),
        Option(
            "prefill_assistant",
            "--prefill-assistant",
            default=True,
            help="whether to prefill the assistant's response if the last message is an assistant message "
            "(default: enabled)",
            env="LLAMA_ARG_PREFILL_ASSISTANT",
        ),
        Option(
            "prefill_assistant",
            "--no-prefill-assistant",
            const=False,
            default=True,
            help="treat a last assistant message as a full message",
        ),
    ),
)
