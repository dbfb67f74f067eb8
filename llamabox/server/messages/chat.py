"""A Messages request -> the chat request that means the same.

A user's message may hold tool results beside its text: each becomes a `tool` message of its own, before the text.
"""

from typing import Any

import msgspec

from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.messages.body import CountTokensBody, MessagesBody

CHOICES = {"auto": "auto", "any": "required", "none": "none"}
MEDIA = ("image", "document", "search_result")


def chat_fields(body: CountTokensBody) -> dict[str, Any]:
    """The fields of ChatBody.

    Errors:  BadRequest and NotSupported, naming the field of the Messages request
    """
    fields: dict[str, Any] = {
        "messages": [*_system(body.system), *_messages(body.messages)],
        "model": body.model,
        "response_format": _response_format(body.output_config),
        "reasoning_effort": None if body.output_config is None else body.output_config.get("effort"),
        **_thinking(body.thinking),
    }
    if body.tools:
        fields["tools"] = [_tool(tool, f"tools[{i}]") for i, tool in enumerate(body.tools)]
        fields |= _tool_choice(body.tool_choice)
    if isinstance(body, MessagesBody):
        fields |= {
            "stream": True,
            "stream_options": {"include_usage": True},
            "echo": False,  # of an answer that the request began, Anthropic returns what is added
            "max_tokens": body.max_tokens,
            "stop": body.stop_sequences,
            "temperature": body.temperature,
            "top_p": body.top_p,
            "top_k": body.top_k,
        }
    return {name: value for name, value in fields.items() if value is not None}


def _system(system: str | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    if system is None:
        return []
    if isinstance(system, list):
        system = "".join(_text(block, "text", f"system[{i}]") for i, block in enumerate(system))
    return [{"role": "system", "content": system}]


def _messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for i, message in enumerate(messages):
        where = f"messages[{i}]"
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise BadRequest(f"{where}.role: found {role!r:.60}, expected user or assistant", f"{where}.role")
        if isinstance(content, str):
            result.append({"role": role, "content": content})
        elif isinstance(content, list):
            result += _from_blocks(role, content, f"{where}.content")
        else:
            raise BadRequest(
                f"{where}.content: found {type(content).__name__}, expected a text or a list of blocks",
                f"{where}.content",
            )
    return result


def _from_blocks(role: str, blocks: list[Any], where: str) -> list[dict[str, Any]]:
    """The tool results, then the message that the other blocks make."""
    results: list[dict[str, Any]] = []
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for i, block in enumerate(blocks):
        at = f"{where}[{i}]"
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            texts.append(_text(block, "text", at))
        elif kind == "thinking":
            thoughts.append(_text(block, "thinking", at))
        elif kind == "redacted_thinking":
            continue  # encrypted: nobody but its maker can read it
        elif kind == "tool_use":
            calls.append(_call(block, at))
        elif kind == "tool_result":
            results.append(_result(block, at))
        elif kind in MEDIA:
            raise NotSupported(f"{at}.type: found {kind!r}; this model takes text only (no --mmproj)", at)
        else:
            expected = "text, thinking, tool_use or tool_result"
            raise BadRequest(f"{at}.type: found {kind!r:.60}, expected {expected}", at)
    if not (texts or thoughts or calls):
        return results
    message: dict[str, Any] = {"role": role, "content": "".join(texts)}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return [*results, message]


def _call(block: dict[str, Any], where: str) -> dict[str, Any]:
    arguments = block.get("input", {})
    if not isinstance(arguments, dict):
        raise BadRequest(f"{where}.input: found {type(arguments).__name__}, expected an object", f"{where}.input")
    function = {"name": _text(block, "name", where), "arguments": msgspec.json.encode(arguments).decode()}
    return {"id": _text(block, "id", where), "type": "function", "function": function}


def _result(block: dict[str, Any], where: str) -> dict[str, Any]:
    content = block.get("content", "")
    if isinstance(content, list):
        content = "".join(_result_text(part, f"{where}.content[{i}]") for i, part in enumerate(content))
    if not isinstance(content, str):
        raise BadRequest(f"{where}.content: found {type(content).__name__}, expected a text or blocks", where)
    if block.get("is_error") is True:
        content = f"Error: {content}"
    return {"role": "tool", "tool_call_id": _text(block, "tool_use_id", where), "content": content}


def _result_text(part: Any, where: str) -> str:
    if isinstance(part, dict) and part.get("type") in MEDIA:
        raise NotSupported(f"{where}.type: found {part['type']!r}; this model takes text only (no --mmproj)", where)
    return _text(part, "text", where)


def _text(block: Any, name: str, where: str) -> str:
    value = block.get(name) if isinstance(block, dict) else None
    if not isinstance(value, str):
        raise BadRequest(f"{where}.{name}: found {type(value).__name__}, expected a text", f"{where}.{name}")
    return value


def _tool(tool: dict[str, Any], where: str) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        raise NotSupported(
            f"{where}.type: found {tool['type']!r:.60}, expected custom: this server runs no tools of its own", where
        )
    schema = tool.get("input_schema")
    if not isinstance(schema, dict):
        raise BadRequest(f"{where}.input_schema: found {type(schema).__name__}, expected a JSON schema", where)
    function = {"name": _text(tool, "name", where), "description": tool.get("description"), "parameters": schema}
    return {"type": "function", "function": {k: v for k, v in function.items() if v is not None}}


def _tool_choice(choice: dict[str, Any] | None) -> dict[str, Any]:
    """tool_choice and parallel_tool_calls of the chat request."""
    if choice is None:
        return {}
    kind = choice.get("type")
    if kind == "tool":
        chosen: Any = {"type": "function", "function": {"name": _text(choice, "name", "tool_choice")}}
    elif kind in CHOICES:
        chosen = CHOICES[kind]
    else:
        raise BadRequest(f"tool_choice.type: found {kind!r:.60}, expected auto, any, tool or none", "tool_choice.type")
    alone = choice.get("disable_parallel_tool_use")
    if alone not in (None, True, False):
        raise BadRequest(
            f"tool_choice.disable_parallel_tool_use: found {alone!r:.60}, expected true or false", "tool_choice"
        )
    return {"tool_choice": chosen} if alone is None else {"tool_choice": chosen, "parallel_tool_calls": not alone}


def _thinking(thinking: dict[str, Any] | None) -> dict[str, Any]:
    """enabled: think, for at most budget_tokens; disabled: do not; adaptive: the model's own habit."""
    if thinking is None or thinking.get("type") == "adaptive":
        return {}
    kind = thinking.get("type")
    if kind not in ("enabled", "disabled"):
        raise BadRequest(f"thinking.type: found {kind!r:.60}, expected enabled, disabled or adaptive", "thinking.type")
    fields: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": kind == "enabled"}}
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or isinstance(budget, bool) or not 0 < budget < 2**31:
            raise BadRequest(
                f"thinking.budget_tokens: found {budget!r:.60}, expected a number of tokens", "thinking.budget_tokens"
            )
        fields["thinking_budget_tokens"] = budget
    return fields


def _response_format(config: dict[str, Any] | None) -> dict[str, Any] | None:
    format = None if config is None else config.get("format")
    if format is None:
        return None
    if not isinstance(format, dict) or format.get("type") != "json_schema":
        raise BadRequest("output_config.format: expected {type: json_schema, schema: ...}", "output_config.format")
    return {"type": "json_schema", "json_schema": {"name": "output", "schema": format.get("schema")}}
