"""From a Messages request to a chat request."""

import msgspec
import pytest

from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.messages.body import CountTokensBody, MessagesBody, check_supported
from llamabox.server.messages.chat import chat_fields

HI = [{"role": "user", "content": "Hi"}]


def fields(**body):
    return chat_fields(msgspec.convert({"messages": HI, "max_tokens": 9, **body}, MessagesBody))


def messages(*messages):
    return fields(messages=list(messages))["messages"]


def blocks(*content, role="user"):
    return messages({"role": role, "content": list(content)})


def test_the_system_prompt_comes_first():
    system = {"role": "system", "content": "Be brief."}
    user = {"role": "user", "content": "Hi"}
    assert fields(system="Be brief.")["messages"] == [system, user]
    parts = [
        {"type": "text", "text": "Be ", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "brief."},
    ]
    assert fields(system=parts)["messages"] == [system, user]


def test_calls_and_their_results():
    found = messages(
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Ask.", "signature": ""},
                {"type": "redacted_thinking", "data": "xyz"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "sunny"}]},
                {"type": "tool_result", "tool_use_id": "t2", "content": "no such city", "is_error": True},
                {"type": "text", "text": "Thanks"},
            ],
        },
    )
    function = {"name": "weather", "arguments": '{"city":"Paris"}'}
    assert found == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "reasoning_content": "Ask.",
            "tool_calls": [{"id": "t1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "t2", "content": "Error: no such city"},
        {"role": "user", "content": "Thanks"},
    ]


def test_fields_with_other_names_in_a_chat_request():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    found = fields(
        stop_sequences=["END"],
        temperature=0.5,
        top_p=0.25,
        top_k=3,
        tools=[{"name": "f", "description": "d", "input_schema": schema}],
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 1024},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": schema}},
    )
    del found["messages"], found["stream"], found["stream_options"], found["echo"]
    assert found == {
        "max_tokens": 9,
        "stop": ["END"],
        "temperature": 0.5,
        "top_p": 0.25,
        "top_k": 3,
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "chat_template_kwargs": {"enable_thinking": True},
        "thinking_budget_tokens": 1024,
        "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": {"name": "output", "schema": schema}},
    }


@pytest.mark.parametrize("kind, chosen", [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_tool_choices(kind, chosen):
    tools = [{"name": "f", "input_schema": {}}]
    assert fields(tools=tools, tool_choice={"type": kind})["tool_choice"] == chosen


def test_thinking_disabled_and_adaptive():
    assert fields(thinking={"type": "disabled"})["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs" not in fields(thinking={"type": "adaptive"})


@pytest.mark.parametrize(
    "block, error, where",
    [
        ({"type": "text"}, BadRequest, "messages[0].content[0].text"),
        ({"type": "tool_use", "id": "t", "name": "f", "input": []}, BadRequest, "messages[0].content[0].input"),
        ({"type": "tool_result", "content": "x"}, BadRequest, "messages[0].content[0].tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "t", "content": 3}, BadRequest, "messages[0].content[0].content"),
        ({"type": "image", "source": {}}, NotSupported, "--mmproj"),
        ({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]}, NotSupported, "--mmproj"),
        ({"type": "nonsense"}, BadRequest, "messages[0].content[0].type"),
        ("text", BadRequest, "messages[0].content[0].type"),
    ],
)
def test_a_block_that_is_not_right_is_named(block, error, where):
    with pytest.raises(error) as found:
        blocks(block)
    assert where in found.value.message


@pytest.mark.parametrize(
    "body, error, where",
    [
        ({"messages": [{"role": "boss", "content": "x"}]}, BadRequest, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, BadRequest, "messages[0].content"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, NotSupported, "tools[0].type"),
        ({"tools": [{"name": "f"}]}, BadRequest, "tools[0].input_schema"),
        ({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "x"}}, BadRequest, "tool_choice.type"),
        ({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool"}}, BadRequest, "tool_choice"),
        ({"thinking": {"type": "enabled"}}, BadRequest, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": -1}}, BadRequest, "thinking.budget_tokens"),
        ({"thinking": {"type": "x"}}, BadRequest, "thinking.type"),
        ({"output_config": {"format": {"type": "text"}}}, BadRequest, "output_config.format"),
    ],
)
def test_a_field_that_is_not_right_is_named(body, error, where):
    with pytest.raises(error) as found:
        fields(**body)
    assert where in found.value.message


@pytest.mark.parametrize("field", ["container", "mcp_servers", "context_management"])
def test_what_needs_services_is_refused_by_name(field):
    with pytest.raises(NotSupported) as found:
        check_supported(msgspec.convert({"messages": HI, field: {"a": 1}}, CountTokensBody))
    assert found.value.param == field
