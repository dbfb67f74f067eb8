"""The messages of a chat request, checked part by part, so that an error names the part that is wrong."""

from typing import Any

from llamabox.server.errors import BadRequest, NotSupported

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
TEXTS = ("name", "tool_call_id", "reasoning_content", "refusal")  # of a message, each a text when it is there
SAID = ("content", "tool_calls", "function_call", "reasoning_content", "refusal")  # an assistant's message has one
MEDIA = ("image_url", "input_audio", "input_video", "video_url", "file")


def check_messages(messages: list[dict[str, Any]]) -> None:
    """Errors: BadRequest, or NotSupported for images and the like, naming the message and its part."""
    for i, message in enumerate(messages):
        check_message(message, f"messages[{i}]")


def check_message(message: dict[str, Any], where: str) -> None:
    role = message.get("role")
    if role not in ROLES:
        raise BadRequest(f"{where}.role: found {role!r:.60}, expected one of {', '.join(ROLES)}", f"{where}.role")
    for name in TEXTS:
        _check_type(message, name, str, "a text", where)
    if all(message.get(name) is None for name in (SAID if role == "assistant" else SAID[:1])):
        raise BadRequest(f"{where}.content: found nothing, expected a text or a list of parts", f"{where}.content")
    check_content(message.get("content"), f"{where}.content")
    _check_type(message, "tool_calls", list, "a list", where)
    for i, call in enumerate(message.get("tool_calls") or []):
        check_call(call, f"{where}.tool_calls[{i}]")
    if message.get("function_call") is not None:
        check_function(message["function_call"], f"{where}.function_call")


def check_content(content: Any, where: str) -> None:
    """A text, a list of text parts, or nothing."""
    if isinstance(content, list):
        for i, part in enumerate(content):
            check_part(part, f"{where}[{i}]")
    elif content is not None and not isinstance(content, str):
        raise BadRequest(f"{where}: found {type(content).__name__}, expected a text or a list of parts", where)


def check_part(part: Any, where: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in MEDIA:
        raise NotSupported(f"{where}.type: found {kind!r}; this model takes text only (no --mmproj)", where)
    if kind not in ("text", "refusal") or not isinstance(part.get(kind), str):
        raise BadRequest(f"{where}: found {type(part).__name__} of type {kind!r:.60}, expected a text part", where)


def check_call(call: Any, where: str) -> None:
    """A call that an assistant made earlier."""
    if not isinstance(call, dict) or call.get("type", "function") != "function":
        raise BadRequest(f"{where}: found {call!r:.60}, expected {{id, type: function, function: ...}}", where)
    _check_type(call, "id", str, "a text", where)
    check_function(call.get("function"), f"{where}.function")


def check_function(function: Any, where: str) -> None:
    """A call's name and arguments: JSON text, or the object itself."""
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRequest(f"{where}: found {function!r:.60}, expected {{name, arguments}}", where)
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str | dict):
        raise BadRequest(f"{where}.arguments: found {arguments!r:.60}, expected JSON as a text", f"{where}.arguments")


def _check_type(values: dict[str, Any], name: str, type: type, expected: str, where: str) -> None:
    if values.get(name) is not None and not isinstance(values[name], type):
        raise BadRequest(f"{where}.{name}: found {values[name]!r:.60}, expected {expected}", f"{where}.{name}")
