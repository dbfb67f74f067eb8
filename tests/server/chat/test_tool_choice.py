"""`tools` and `tool_choice`: each form, and each mistake by name."""

import pytest

from llamabox.chat import NamedTool
from llamabox.server.chat.tool_choice import chosen_tools
from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.schemas import ChatBody


def tool(name):
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": {"type": "object"}}}


A, B = tool("a"), tool("b")


def chosen(choice, tools=(A, B)):
    return chosen_tools(ChatBody(messages=[{}], tools=None if tools is None else list(tools), tool_choice=choice))


def named(name):
    return {"type": "function", "function": {"name": name}}


def allowed(mode, *names):
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named(name) for name in names]}}


@pytest.mark.parametrize(
    ("choice", "tools", "meant"),
    [
        (None, [A, B], "auto"),
        ("auto", [A, B], "auto"),
        ("none", [A, B], "none"),
        ("required", [A, B], "required"),
        (named("b"), [A, B], NamedTool("b")),
        ({"function": {"name": "a"}}, [A, B], NamedTool("a")),
        (allowed("auto", "b"), [B], "auto"),
        (allowed("required", "b", "a"), [B, A], "required"),
        (allowed("auto"), [], "auto"),
    ],
)
def test_every_form_of_the_choice(choice, tools, meant):
    assert chosen(choice) == (tools, meant)


@pytest.mark.parametrize("tools", [None, []])
@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_without_tools_there_is_nothing_to_choose(tools, choice):
    assert chosen(choice, tools)[0] == []


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("always", "'always'"),
        ({}, "found {}"),
        ({"type": "function"}, "'type': 'function'"),
        ({"type": "function", "function": {"name": 5}}, "5"),
        ({"type": "custom", "custom": {"name": "a"}}, "'custom'"),
        ({"type": ["function"]}, "function"),
        (named("c"), "'c', expected one of tools: a, b"),
        (allowed("auto", "c"), "'c'"),
        (allowed("none", "a"), "mode"),
        (allowed(["auto"], "a"), "mode"),
        (allowed("required"), "no tools"),
        ({"type": "allowed_tools"}, "mode"),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [5]}}, "list"),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": "a"}}, "list"),
    ],
)
def test_a_wrong_choice_is_named(choice, said):
    with pytest.raises(BadRequest) as caught:
        chosen(choice)
    assert caught.value.param == "tool_choice" and said in caught.value.message


@pytest.mark.parametrize("choice", ["required", named("a"), allowed("auto", "a")])
def test_a_call_cannot_be_required_without_tools(choice):
    with pytest.raises(BadRequest) as caught:
        chosen(choice, None)
    assert caught.value.param == "tool_choice"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"type": "function"},
        {"type": "function", "function": {"name": ""}},
        {"type": "function", "function": {"name": "x" * 257}},
        {"type": "function", "function": {"name": 5}},
        {"type": "function", "function": {"name": "x", "parameters": "object"}},
        {"type": "function", "function": {"name": "x", "parameters": [1]}},
        {"type": "function", "function": {"name": "x", "description": 5}},
    ],
)
def test_a_wrong_tool_is_named(wrong):
    with pytest.raises(BadRequest) as caught:
        chosen("auto", [A, wrong])
    assert caught.value.param == "tools[1]" and caught.value.message.startswith("tools[1].function")


@pytest.mark.parametrize("kind", ["custom", "web_search", 5])
def test_tools_of_other_types_are_refused_by_name(kind):
    with pytest.raises(NotSupported, match=f"{kind!r}"):
        chosen("auto", [{"type": kind, "custom": {"name": "x"}}])
