"""From a Responses request to a chat request."""

import msgspec
import pytest

from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.responses.body import ResponsesBody, check_supported
from llamabox.server.responses.chat import chat_fields


def fields(**body):
    return chat_fields(msgspec.convert({"input": "Hi", **body}, ResponsesBody))


def messages(*items, **body):
    return fields(input=list(items), **body)["messages"]


def test_a_text_is_the_users_message_after_the_instructions():
    found = fields(instructions="Be brief.")["messages"]
    assert found == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def test_what_the_assistant_did_in_one_turn_becomes_one_message():
    found = messages(
        {"role": "user", "content": [{"type": "input_text", "text": "Weather "}, {"type": "input_text", "text": "?"}]},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Ask the tool."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Paris"}'},
        {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": '{"city":"Rome"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "rain"}]},
    )

    def call(id, city):
        return {"id": id, "type": "function", "function": {"name": "weather", "arguments": f'{{"city":"{city}"}}'}}

    assert found == [
        {"role": "user", "content": "Weather ?"},
        {
            "role": "assistant",
            "reasoning_content": "Ask the tool.",
            "content": "Let me see.",
            "tool_calls": [call("c1", "Paris"), call("c2", "Rome")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "rain"},
    ]


def test_fields_with_other_names_in_a_chat_request():
    found = fields(
        max_output_tokens=5,
        temperature=0.5,
        top_p=0.25,
        parallel_tool_calls=False,
        reasoning={"effort": "low"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
        tool_choice={"type": "function", "name": "f"},
        top_logprobs=3,
    )
    del found["messages"], found["stream"], found["stream_options"]
    assert found == {
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.25,
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
        },
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "logprobs": True,
        "top_logprobs": 3,
    }


def test_logprobs_are_asked_for_by_include():
    assert fields(include=["message.output_text.logprobs"])["logprobs"] is True
    assert "logprobs" not in fields()


@pytest.mark.parametrize(
    "item, error, where",
    [
        ({"role": "boss", "content": "x"}, BadRequest, "input[0].role"),
        ({"role": "user", "content": 3}, BadRequest, "input[0].content"),
        ({"role": "user", "content": [{"type": "input_text"}]}, BadRequest, "input[0].content[0].text"),
        ({"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}, NotSupported, "--mmproj"),
        ({"role": "user", "content": ["x"]}, BadRequest, "input[0].content[0].type"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, BadRequest, "input[0].call_id"),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}, BadRequest, "input[0].arguments"),
        ({"type": "reasoning", "content": [{"text": 1}]}, BadRequest, "input[0].content[0].text"),
        ({"type": "computer_call"}, NotSupported, "computer_call"),
    ],
)
def test_an_item_that_is_not_right_is_named(item, error, where):
    with pytest.raises(error) as found:
        messages(item)
    assert where in found.value.message


def test_tools_of_openais_own_are_refused():
    with pytest.raises(NotSupported, match="web_search"):
        fields(tools=[{"type": "web_search"}])


@pytest.mark.parametrize(
    "field, value",
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("background", True),
        ("prompt", {"id": "p"}),
        ("truncation", "auto"),
        ("include", ["file_search_call.results"]),
    ],
)
def test_what_needs_a_store_is_refused_by_name(field, value):
    with pytest.raises(NotSupported) as found:
        check_supported(msgspec.convert({"input": "Hi", field: value}, ResponsesBody))
    assert found.value.param == field


def test_harmless_values_are_let_through():
    body = {"input": "Hi", "background": False, "truncation": "disabled", "store": True, "user": "u"}
    check_supported(msgspec.convert(body, ResponsesBody))
