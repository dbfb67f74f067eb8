"""What a chat template can render, found by rendering small conversations and looking for their words in the prompt.

Templates say nothing of themselves: one takes a message's content as a text only, another as a list of parts, a third
knows no system role. A server has one form of message, the client's, so it asks each template once, when it is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from llamabox.chat.errors import TemplateError
from llamabox.chat.template import ChatTemplate

PROBE_S = 0.2  # processor time of one rendering; an honest template needs a hundredth
CALL_IDS = ("call00001", "call00002")  # nine letters or digits, as Mistral's templates demand
USER, SYSTEM, RESULT = "user-needle", "system-needle", "result-needle"
KEY, VALUE = "argument-needle", "value-needle"
TOOLS = ("tool-needle-1", "tool-needle-2")


@dataclass(frozen=True)
class Capabilities:
    """What a template renders without losing it."""

    string_content: bool  # message.content as a text
    typed_content: bool  # message.content as a list of {"type": "text", "text": ...}
    system_role: bool
    tools: bool  # the descriptions of tools
    tool_calls: bool  # calls in an assistant's message
    parallel_tool_calls: bool  # more than one of them in a message
    object_arguments: bool  # a call's arguments as an object; otherwise as JSON text
    empty_tools: bool  # without tools the variable has to be an empty list, not None
    null_content: bool  # a message with tool calls and no text has to have content None, not ""


def probe(template: ChatTemplate, extra: Mapping[str, object] | None = None) -> Capabilities:
    """The capabilities of a template: about ten renderings of a few messages. `extra`: variables that it needs."""
    render = partial(_rendered, template, extra)
    empty_tools = not render([_message("user", USER)]) and USER in render([_message("user", USER)], tools=[])
    none: list[dict] | None = [] if empty_tools else None
    string_content = USER in render([_message("user", USER)], none)
    typed = render([_message("user", USER, typed=True)], none)
    typed_content = USER in typed and "'type'" not in typed and '"type"' not in typed
    as_parts = typed_content and not string_content

    def tool_use(calls: int, as_object: bool, content: str | None = "") -> str:
        return render(_tool_conversation(calls, as_object, as_parts, content), [_tool(TOOLS[0])])

    null_content = not any(VALUE in tool_use(1, o) for o in (True, False)) and any(
        VALUE in tool_use(1, o, None) for o in (True, False)
    )
    content = None if null_content else ""
    with_object = tool_use(1, True, content)
    object_arguments = VALUE in with_object and f"{{'{KEY}': '{VALUE}'" not in with_object
    return Capabilities(
        string_content=string_content or not typed_content,
        typed_content=typed_content,
        system_role=SYSTEM in render([_message(r, t, as_parts) for r, t in _SYSTEM_CHAT], none),
        tools=TOOLS[0] in render([_message("user", USER, as_parts)], [_tool(TOOLS[0])]),
        tool_calls=VALUE in tool_use(1, object_arguments, content),
        parallel_tool_calls=TOOLS[1] in tool_use(2, object_arguments, content),
        object_arguments=object_arguments,
        empty_tools=empty_tools,
        null_content=null_content,
    )


_SYSTEM_CHAT = (("system", SYSTEM), ("user", USER))


def _rendered(template: ChatTemplate, extra: Mapping | None, messages: list, tools: list | None = None) -> str:
    """The prompt, "" when the template refuses or fails."""
    try:
        return template.render(messages, tools=tools, extra=extra, time_budget_s=PROBE_S)
    except TemplateError:
        return ""


def _message(role: str, text: str, typed: bool = False) -> dict:
    return {"role": role, "content": [{"type": "text", "text": text}] if typed else text}


def _tool(name: str) -> dict:
    schema = {"type": "object", "properties": {KEY: {"type": "string", "description": "d"}}, "required": [KEY]}
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": schema}}


def _tool_conversation(calls: int, as_object: bool, typed: bool, content: str | None) -> list[dict]:
    arguments = {KEY: VALUE} if as_object else f'{{"{KEY}": "{VALUE}"}}'
    tool_calls = [
        {"type": "function", "function": {"name": name, "arguments": arguments}, "id": call_id}
        for name, call_id in list(zip(TOOLS, CALL_IDS, strict=True))[:calls]
    ]
    return [
        _message("user", USER, typed),
        {"role": "assistant", "content": content, "tool_calls": tool_calls},
        *({**_message("tool", RESULT, typed), "tool_call_id": call["id"]} for call in tool_calls),
        _message("assistant", "answer", typed),
        _message("user", USER, typed),
    ]
