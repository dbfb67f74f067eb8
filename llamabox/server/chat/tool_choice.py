"""Which tools a chat request offers the model, and whether it has to call one: OpenAI's `tools` and `tool_choice`."""

from typing import Any

from llamabox.chat import NamedTool
from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.schemas import ChatBody

MODES = ("auto", "none", "required")
MAX_NAME = 256
FORMS = (
    "auto, none, required, {type: function, function: {name}} or {type: allowed_tools, allowed_tools: {mode, tools}}"
)
Tools = list[dict[str, Any]]
ToolChoice = str | NamedTool


def chosen_tools(body: ChatBody) -> tuple[Tools, ToolChoice]:
    """The tools that the model may see, and the choice among them.

    Errors:  BadRequest naming the tool or the choice that is wrong; NotSupported for tools that are no functions
    """
    tools = body.tools if body.tools is not None else []
    for i, tool in enumerate(tools):
        check_tool(tool, f"tools[{i}]")
    choice = "auto" if body.tool_choice is None else body.tool_choice
    if isinstance(choice, dict):
        return _from_object(tools, choice)
    if choice not in MODES:
        raise BadRequest(f"tool_choice: found {choice!r:.80}, expected {FORMS}", "tool_choice")
    return _checked_mode(tools, choice)


def check_tool(tool: dict[str, Any], where: str) -> None:
    kind, function = tool.get("type", "function"), tool.get("function")
    if kind != "function":
        raise NotSupported(f"{where}.type: found {kind!r:.60}, this server has tools of type 'function' only", where)
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise BadRequest(
            f"{where}.function: found {function!r:.60}, expected {{name, description, parameters}} with a name of "
            f"1 to {MAX_NAME} characters",
            where,
        )
    for field, type_, expected in (("description", str, "a text"), ("parameters", dict, "a JSON schema")):
        value = function.get(field)
        if value is not None and not isinstance(value, type_):
            raise BadRequest(f"{where}.function.{field}: found {value!r:.60}, expected {expected}", where)


def _from_object(tools: Tools, choice: dict[str, Any]) -> tuple[Tools, ToolChoice]:
    if choice.get("type") == "allowed_tools":
        return _allowed(tools, choice.get("allowed_tools"))
    if choice.get("type", "function") != "function":
        raise BadRequest(f"tool_choice: found type {choice['type']!r:.60}, expected {FORMS}", "tool_choice")
    name = _name_of(choice)
    _named(tools, name)
    return tools, NamedTool(name)


def _allowed(tools: Tools, allowed: Any) -> tuple[Tools, ToolChoice]:
    """OpenAI's allowed_tools: the model sees those of the tools that are listed."""
    if not isinstance(allowed, dict) or allowed.get("mode") not in ("auto", "required"):
        raise BadRequest(
            f"tool_choice.allowed_tools: found {allowed!r:.60}, expected {{mode: auto or required, tools}}",
            "tool_choice",
        )
    listed = allowed.get("tools")
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise BadRequest(f"tool_choice.allowed_tools.tools: found {listed!r:.60}, expected a list", "tool_choice")
    kept = [_named(tools, _name_of(item)) for item in listed]
    return _checked_mode(kept, allowed["mode"])


def _checked_mode(tools: Tools, mode: str) -> tuple[Tools, ToolChoice]:
    if mode == "required" and not tools:
        raise BadRequest("tool_choice: found 'required' and no tools, expected at least one in tools", "tool_choice")
    return tools, mode


def _name_of(item: dict[str, Any]) -> str:
    function = item.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise BadRequest(f"tool_choice: found {item!r:.80}, expected {FORMS}", "tool_choice")
    return name


def _named(tools: Tools, name: str) -> dict[str, Any]:
    for tool in tools:
        if tool["function"]["name"] == name:
            return tool
    known = ", ".join(tool["function"]["name"] for tool in tools) or "none"
    raise BadRequest(f"tool_choice: found the tool {name!r:.80}, expected one of tools: {known:.200}", "tool_choice")
