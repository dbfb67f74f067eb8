"""Messages as clients send them -> messages as a template expects them.

The rule, that of llama.cpp's server, in the order of its steps. Nothing is changed in place.

1. Keys whose value is null, and an empty list of tool calls, are left out: client libraries send many, and templates
   ask whether a key is there. The old `function_call` becomes a tool call, the role `function` becomes `tool`, and
   reasoning is given under each name that templates read (`reasoning_content`, `thinking`).
2. The role `developer` becomes `system`, except for templates that know it (those with channels).
3. Content: none becomes "" (None beside tool calls, for templates that render them only so). A list of parts becomes a
   text, its texts joined by newlines, when the template takes only texts; a text becomes a list of one part when it
   takes only lists.
4. Without a system role in the template, a system message is put in front of the next message's text, on a line of its
   own; a last one becomes the user's.
5. A tool call keeps its name, its arguments and its id. Arguments become an object where the template takes objects
   (it may print them in a form of its own), otherwise JSON text.
6. A tool is described by its name, description ("" when there is none) and parameters.
"""

import json
from collections.abc import Mapping, Sequence

from llamabox.chat.capabilities import Capabilities
from llamabox.chat.errors import TemplateError

REASONING = ("reasoning_content", "thinking", "reasoning")
CONTINUED_PARTS = "\n\n"  # between the parts of a message that is continued, as in llama.cpp
DEFAULT_PARAMETERS: Mapping[str, object] = {"type": "object", "properties": {}}


def normalise_messages(messages: Sequence[Mapping], can: Capabilities, knows_developer: bool = False) -> list[dict]:
    """The messages in the form that such a template renders. Raises TemplateError, naming the message."""
    result = []
    for i, message in enumerate(messages):
        where = f"messages[{i}]"
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise TemplateError(f"{where}: expected an object with a text under 'role'")
        clean = _without_nulls(message)
        if clean["role"] == "developer" and not knows_developer:
            clean["role"] = "system"
        if "tool_calls" in clean:
            clean["tool_calls"] = [
                tool_call(call, can.object_arguments, f"{where}.tool_calls[{j}]")
                for j, call in enumerate(_list(clean, where))
            ]
        clean["content"] = _content(clean, can, where)
        result.append(clean)
    return result if can.system_role else _merge_system(result)


def normalise_tools(tools: Sequence[Mapping] | None) -> list[dict] | None:
    """The tools, each {"type": "function", "function": {name, description, parameters}}; None when there are none."""
    if not tools:
        return None
    return [_tool(tool, f"tools[{i}]") for i, tool in enumerate(tools)]


def join_parts(parts: Sequence[Mapping], where: str, between: str = "\n") -> str:
    """The text of a content list: its texts, joined by newlines."""
    return between.join(part["text"] for part in _text_parts(parts, where))


def _without_nulls(message: Mapping) -> dict:
    clean = {key: value for key, value in message.items() if value is not None and (key, value) != ("tool_calls", [])}
    if "function_call" in clean:
        call = {"type": "function", "function": clean.pop("function_call")}
        clean.setdefault("tool_calls", [call])
    if clean["role"] == "function":
        clean["role"] = "tool"
    reasoning = next((clean[key] for key in REASONING if key in clean), None)
    if reasoning is not None:
        clean = {"thinking": reasoning, **clean, "reasoning_content": reasoning}
    return clean


def _list(message: dict, where: str) -> list:
    calls = message["tool_calls"]
    if not isinstance(calls, list):
        raise TemplateError(f"{where}.tool_calls: found {type(calls).__name__}, expected a list")
    return calls


def _content(message: dict, can: Capabilities, where: str) -> str | list | None:
    content = message.get("content", "")
    if not isinstance(content, (str, list)):
        raise TemplateError(f"{where}.content: found {type(content).__name__}, expected a text or a list of parts")
    if not content:
        return None if can.null_content and "tool_calls" in message else ""
    if isinstance(content, str):
        return content if can.string_content else [{"type": "text", "text": content}]
    return _text_parts(content, where) if can.typed_content else join_parts(content, where)


def _text_parts(parts: Sequence[Mapping], where: str) -> list[dict]:
    result = []
    for i, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in ("text", "refusal") or not isinstance(part.get(kind), str):
            raise TemplateError(f"{where}.content[{i}]: expected {{type: text, text: ...}}, the type is {kind!r:.60}")
        result.append({"type": "text", "text": part[kind]})
    return result


def _merge_system(messages: list[dict]) -> list[dict]:
    result: list[dict] = []
    pending: list[dict] = []
    for message in messages:
        if message["role"] == "system":
            pending.append(message)
            continue
        for system in reversed(pending):
            message = {**message, "content": _before(system["content"], message["content"])}
        pending = []
        result.append(message)
    if pending:
        last = pending[-1]
        for system in reversed(pending[:-1]):
            last = {**last, "content": _before(system["content"], last["content"])}
        result.append({**last, "role": "user"})
    return result


def _before(system: str | list, content: str | list | None) -> str | list:
    if isinstance(system, str) and not isinstance(content, list):
        return f"{system}\n{content or ''}"
    return [*_as_parts(system), *_as_parts(content)]


def _as_parts(content: str | list | None) -> list:
    return content if isinstance(content, list) else [{"type": "text", "text": content or ""}]


def tool_call(call: Mapping, as_object: bool, where: str) -> dict:
    """A call of an assistant's message, its arguments as an object or as JSON text."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise TemplateError(f"{where}: expected {{type: function, function: {{name, arguments}}, id}}")
    arguments = function.get("arguments", "{}")
    if as_object and isinstance(arguments, str):
        arguments = _parse_arguments(arguments, where)
    elif not as_object and not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    result = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
    return {**result, "id": call["id"]} if isinstance(call.get("id"), str) else result


def _parse_arguments(text: str, where: str) -> object:
    if not text.strip():
        return {}
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TemplateError(f"{where}.function.arguments: expected JSON, {error}; found {text:.60}") from None


def _tool(tool: Mapping, where: str) -> dict:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise TemplateError(f"{where}: expected {{type: function, function: {{name, description, parameters}}}}")
    description, parameters = function.get("description"), function.get("parameters")
    return {
        "type": "function",
        "function": {
            "name": function["name"],
            "description": "" if description is None else description,
            "parameters": dict(DEFAULT_PARAMETERS) if parameters is None else parameters,
        },
    }
