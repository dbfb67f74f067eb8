"""The rule of llamabox/chat/messages.py, step by step."""

import copy
from dataclasses import replace

import pytest

from llamabox.chat import TemplateError
from llamabox.chat.capabilities import Capabilities
from llamabox.chat.messages import normalise_messages, normalise_tools

ALL = Capabilities(
    string_content=True,
    typed_content=True,
    system_role=True,
    tools=True,
    tool_calls=True,
    parallel_tool_calls=True,
    object_arguments=True,
    empty_tools=False,
    null_content=False,
)
TEXT_ONLY = replace(ALL, typed_content=False)
PARTS_ONLY = replace(ALL, string_content=False)
NO_SYSTEM = replace(TEXT_ONLY, system_role=False)
PARTS = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]


def user(content, **more):
    return {"role": "user", "content": content, **more}


def system(content):
    return {"role": "system", "content": content}


def call(arguments, **more):
    return {"type": "function", "function": {"name": "f", "arguments": arguments}, **more}


@pytest.mark.parametrize(
    "can, message, expected",
    [
        (ALL, user("a"), user("a")),
        (ALL, user(PARTS), user(PARTS)),
        (TEXT_ONLY, user(PARTS), user("one\ntwo")),
        (PARTS_ONLY, user("a"), user([{"type": "text", "text": "a"}])),
        (PARTS_ONLY, user(PARTS), user(PARTS)),
        (ALL, user(None), user("")),
        (ALL, {"role": "user"}, user("")),
        (TEXT_ONLY, user([]), user("")),
        (TEXT_ONLY, user([{"type": "refusal", "refusal": "no"}]), user("no")),
        (ALL, user("a", name=None, tool_calls=[], refusal=None, audio=None), user("a")),
        (ALL, user("a", name="Ann", custom=[1]), user("a", name="Ann", custom=[1])),
        (ALL, {"role": "developer", "content": "d"}, system("d")),
        (ALL, user("a", reasoning="r"), user("a", reasoning="r", reasoning_content="r", thinking="r")),
        (
            ALL,
            user("a", tool_calls=[call('{"x": 1}', id="i", index=0)]),
            user("a", tool_calls=[call({"x": 1}, id="i")]),
        ),
        (ALL, user(None, tool_calls=[call("")]), user("", tool_calls=[call({})])),
        (
            replace(ALL, object_arguments=False, null_content=True),
            user(None, tool_calls=[call({"x": "é"})]),
            user(None, tool_calls=[call('{"x":"é"}')]),
        ),
        (ALL, user(None, function_call={"name": "f", "arguments": "{}"}), user("", tool_calls=[call({})])),
        (ALL, {"role": "function", "name": "f", "content": "1"}, {"role": "tool", "name": "f", "content": "1"}),
    ],
)
def test_one_message(can, message, expected):
    before = copy.deepcopy(message)
    assert normalise_messages([message], can) == [expected]
    assert message == before


def test_templates_with_channels_know_the_developer():
    message = {"role": "developer", "content": "d"}
    assert normalise_messages([message], ALL, knows_developer=True) == [message]


@pytest.mark.parametrize(
    "messages, expected",
    [
        ([system("s"), user("u")], [user("s\nu")]),
        ([system("s"), system("t"), user("u")], [user("s\nt\nu")]),
        ([system(PARTS), user("u")], [user("one\ntwo\nu")]),
        ([user("u"), system("s"), user("v")], [user("u"), user("s\nv")]),
        ([system("s")], [user("s")]),
        ([user("u"), system("s"), system("t")], [user("u"), user("s\nt")]),
    ],
)
def test_system_messages_without_a_system_role(messages, expected):
    assert normalise_messages(messages, NO_SYSTEM) == expected


def test_system_message_before_parts():
    got = normalise_messages([system("s"), user(PARTS)], replace(PARTS_ONLY, system_role=False))
    assert got == [user([{"type": "text", "text": "s"}, *PARTS])]


@pytest.mark.parametrize(
    "message, error",
    [
        ("text", r"messages\[1\]: expected an object with a text under 'role'"),
        ({"content": "a"}, r"messages\[1\]: expected an object with a text under 'role'"),
        (user(5), r"messages\[1\].content: found int"),
        (user(["a"]), r"messages\[1\].content\[0\]: expected"),
        (user([{"type": "image_url"}]), r"content\[0\].*'image_url'"),
        (user([{"type": "text"}]), r"content\[0\].*'text'"),
        (user("a", tool_calls={}), r"messages\[1\].tool_calls: found dict"),
        (user("a", tool_calls=["x"]), r"messages\[1\].tool_calls\[0\]: expected"),
        (user("a", tool_calls=[{"function": {"arguments": "{}"}}]), r"tool_calls\[0\]: expected"),
        (user("a", tool_calls=[call("{x}")]), r"tool_calls\[0\].function.arguments: expected JSON.*found {x}"),
        (user("a", tool_calls=[call("[" * 100_000)]), r"tool_calls\[0\].function.arguments: expected JSON"),
    ],
)
def test_errors_name_the_message(message, error):
    with pytest.raises(TemplateError, match=error):
        normalise_messages([user("first"), message], ALL)


def test_tools():
    full = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    got = normalise_tools([{"type": "function", "function": full}, {"type": "function", "function": {"name": "g"}}])
    assert got == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
        {
            "type": "function",
            "function": {"name": "g", "description": "", "parameters": {"type": "object", "properties": {}}},
        },
    ]
    assert normalise_tools(None) is None and normalise_tools([]) is None
    with pytest.raises(TemplateError, match=r"tools\[0\]"):
        normalise_tools([{"type": "function"}])
