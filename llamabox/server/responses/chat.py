"""A Responses request -> the chat request that means the same.

Items of `input` that belong to one turn of the assistant (reasoning, message, function calls, in any order) become one
message, as chat templates expect.
"""

from typing import Any

import msgspec

from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.responses.body import TEXTS_OF_LOGPROBS, ResponsesBody

INPUT_TEXTS = ("input_text", "output_text", "text")
NO_MEDIA = ("input_image", "input_file", "input_audio")


def chat_fields(body: ResponsesBody) -> dict[str, Any]:
    """The fields of ChatBody.

    Errors:  BadRequest and NotSupported, naming the field of the Responses request
    """
    fields: dict[str, Any] = {
        "messages": _messages(body),
        "model": body.model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": body.max_output_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "parallel_tool_calls": body.parallel_tool_calls,
        "reasoning_effort": _effort(body.reasoning),
        "response_format": _response_format(body.text),
    }
    if body.tools:
        fields["tools"] = [_tool(tool, f"tools[{i}]") for i, tool in enumerate(body.tools)]
        fields["tool_choice"] = _tool_choice(body.tool_choice)
    if body.top_logprobs or TEXTS_OF_LOGPROBS in (body.include or []):
        fields |= {"logprobs": True, "top_logprobs": body.top_logprobs or 0}
    return {name: value for name, value in fields.items() if value is not None}


def _messages(body: ResponsesBody) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if body.instructions is not None:
        messages.append({"role": "system", "content": body.instructions})
    if isinstance(body.input, str):
        return [*messages, {"role": "user", "content": body.input}]
    for i, item in enumerate(body.input):
        _add_item(messages, item, f"input[{i}]")
    if len(messages) == 0:
        raise BadRequest("input: found no items, expected at least one", "input")
    return messages


def _add_item(messages: list[dict[str, Any]], item: dict[str, Any], where: str) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        role = item.get("role")
        if role not in ("user", "assistant", "system", "developer"):
            raise BadRequest(f"{where}.role: found {role!r:.60}, expected user, assistant, system or developer", where)
        content = _content(item.get("content"), f"{where}.content")
        if role != "assistant":
            messages.append({"role": role, "content": content})
            return
        turn = _assistant_turn(messages)
        turn["content"] = turn.get("content", "") + content
    elif kind == "function_call":
        call = {"name": _text(item, "name", where), "arguments": _text(item, "arguments", where)}
        turn = _assistant_turn(messages)
        turn.setdefault("tool_calls", []).append(
            {"id": _text(item, "call_id", where), "type": "function", "function": call}
        )
    elif kind == "function_call_output":
        content = _content(item.get("output"), f"{where}.output")
        messages.append({"role": "tool", "tool_call_id": _text(item, "call_id", where), "content": content})
    elif kind == "reasoning":
        parts = [*(item.get("content") or []), *([] if item.get("content") else item.get("summary") or [])]
        texts = [_text(part, "text", f"{where}.content[{i}]") for i, part in enumerate(parts)]
        turn = _assistant_turn(messages)
        turn["reasoning_content"] = turn.get("reasoning_content", "") + "".join(texts)
    else:
        raise NotSupported(
            f"{where}.type: found {kind!r:.60}, expected message, function_call, function_call_output or reasoning",
            where,
        )


def _assistant_turn(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that this turn of the assistant is gathered in."""
    if len(messages) == 0 or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant"})
    return messages[-1]


def _content(content: Any, where: str) -> str:
    """A text, or the texts of a list of parts, one after another."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRequest(f"{where}: found {type(content).__name__}, expected a text or a list of parts", where)
    return "".join(_part(part, f"{where}[{i}]") for i, part in enumerate(content))


def _part(part: Any, where: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in NO_MEDIA:
        raise NotSupported(f"{where}.type: found {kind!r}; this model takes text only (no --mmproj)", where)
    if kind == "refusal":
        return _text(part, "refusal", where)
    if kind not in INPUT_TEXTS:
        raise BadRequest(f"{where}.type: found {kind!r:.60}, expected one of {', '.join(INPUT_TEXTS)}", where)
    return _text(part, "text", where)


def _text(item: Any, name: str, where: str) -> str:
    value = item.get(name) if isinstance(item, dict) else None
    if not isinstance(value, str):
        raise BadRequest(f"{where}.{name}: found {type(value).__name__}, expected a text", f"{where}.{name}")
    return value


def _tool(tool: dict[str, Any], where: str) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise NotSupported(
            f"{where}.type: found {tool.get('type')!r:.60}, expected function: this server runs no tools of its own",
            where,
        )
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def _tool_choice(choice: Any) -> Any:
    """{"type": "function", "name": n} has the name one level deeper in a chat request."""
    if isinstance(choice, dict) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": _text(choice, "name", "tool_choice")}}
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode"), "tools": choice.get("tools")}}
    return choice


def _effort(reasoning: dict[str, Any] | None) -> Any:
    return None if reasoning is None else reasoning.get("effort")


def _response_format(text: dict[str, Any] | None) -> dict[str, Any] | None:
    """text.format has the schema one level higher than response_format."""
    format = None if text is None else text.get("format")
    if format is None:
        return None
    if not isinstance(format, dict):
        raise BadRequest(f"text.format: found {type(format).__name__}, expected an object", "text.format")
    if format.get("type") != "json_schema":
        return format
    schema = {name: value for name, value in format.items() if name != "type" and value is not msgspec.UNSET}
    return {"type": "json_schema", "json_schema": schema}
