"""Fields of a chat request over the command line's defaults."""

import pytest

from llamabox.server.chat.fields import ChatDefaults, continuation, refuse_foreign, thinking
from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.schemas import ChatBody

USER, ASSISTANT = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
CALLING = {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}


def body(messages=(USER,), **fields):
    return ChatBody(messages=list(messages), **fields)


DEFAULTS = ChatDefaults({"a": 1, "reasoning_effort": "low"}, False, "none", 9, "Enough.")


def test_without_fields_the_defaults_count():
    wanted = thinking(body(), DEFAULTS)
    assert (wanted.enabled, wanted.effort, wanted.kwargs) == (False, None, {"a": 1, "reasoning_effort": "low"})
    assert (wanted.format, wanted.budget, wanted.budget_message) == ("none", 9, "Enough.")


def test_fields_come_before_the_defaults():
    fields = {
        "reasoning_format": "deepseek",
        "reasoning_budget_tokens": 3,
        "reasoning_budget_message": "",
        "reasoning_effort": "high",
    }
    wanted = thinking(body(chat_template_kwargs={"enable_thinking": True, "b": 2}, **fields), DEFAULTS)
    assert (wanted.enabled, wanted.effort) == (True, "high")
    assert wanted.kwargs == {"a": 1, "b": 2, "reasoning_effort": "low"}
    assert (wanted.format, wanted.budget, wanted.budget_message) == ("deepseek", 3, "")


def test_effort_none_ends_thinking():
    wanted = thinking(body(reasoning_effort="none", chat_template_kwargs={"enable_thinking": True}), DEFAULTS)
    assert (wanted.enabled, wanted.effort, wanted.kwargs) == (False, None, {"a": 1})


@pytest.mark.parametrize(
    ("fields", "budget"),
    [
        ({}, 9),
        ({"thinking_budget_tokens": 0}, 0),
        ({"thinking_budget_tokens": -1}, 9),
        ({"reasoning_budget_tokens": 5, "thinking_budget_tokens": 7}, 5),
        ({"reasoning_budget_tokens": -1, "thinking_budget_tokens": 7}, 7),
    ],
)
def test_the_budget_has_two_names(fields, budget):
    assert thinking(body(**fields), DEFAULTS).budget == budget


@pytest.mark.parametrize("name", ["messages", "tools", "add_generation_prompt"])
def test_the_servers_own_variables_are_not_for_the_template_kwargs(name):
    with pytest.raises(BadRequest, match=f"chat_template_kwargs.{name}"):
        thinking(body(chat_template_kwargs={name: []}), DEFAULTS)


@pytest.mark.parametrize("value", ["true", 1, 0, [], {}])
def test_enable_thinking_is_true_or_false(value):
    with pytest.raises(BadRequest) as caught:
        thinking(body(chat_template_kwargs={"enable_thinking": value}), DEFAULTS)
    assert caught.value.param == "chat_template_kwargs.enable_thinking"


@pytest.mark.parametrize(
    ("messages", "fields", "prefill", "expected"),
    [
        ([USER], {}, True, (False, True)),
        ([USER], {"add_generation_prompt": False}, True, (False, False)),
        ([USER, ASSISTANT], {}, True, (True, False)),
        ([USER, ASSISTANT], {"add_generation_prompt": True}, True, (True, False)),
        ([USER, ASSISTANT], {}, False, (False, True)),
        ([ASSISTANT, ASSISTANT], {}, False, (False, True)),
        ([ASSISTANT, USER, ASSISTANT], {"continue_final_message": False}, True, (True, False)),
        ([USER, ASSISTANT], {"continue_final_message": True, "add_generation_prompt": False}, False, (True, False)),
        (
            [USER, ASSISTANT],
            {"continue_final_message": "reasoning_content", "add_generation_prompt": False},
            True,
            ("reasoning_content", False),
        ),
    ],
)
def test_when_the_last_message_is_continued(messages, fields, prefill, expected):
    assert continuation(body(messages, **fields), prefill) == expected


@pytest.mark.parametrize(
    ("messages", "fields", "param"),
    [
        ([USER, ASSISTANT, ASSISTANT], {}, "messages"),
        ([USER, CALLING], {}, "messages"),
        ([USER, ASSISTANT], {"continue_final_message": True}, "continue_final_message"),
        ([USER], {"continue_final_message": True, "add_generation_prompt": False}, "continue_final_message"),
    ],
)
def test_what_cannot_be_continued(messages, fields, param):
    with pytest.raises(BadRequest) as caught:
        continuation(body(messages, **fields), True)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"chat_template": "{{ x }}"}, BadRequest),
        ({"chat_template": ""}, BadRequest),
        ({"functions": []}, BadRequest),
        ({"function_call": "auto"}, BadRequest),
        ({"audio": {"voice": "alloy"}}, NotSupported),
        ({"web_search_options": {}}, NotSupported),
        ({"modalities": ["text", "audio"]}, NotSupported),
        ({"verbosity": "low"}, NotSupported),
        ({"reasoning_control": True}, NotSupported),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(fields, error):
    [name] = fields
    with pytest.raises(error) as caught:
        refuse_foreign(body(**fields))
    assert caught.value.param == name and caught.value.message.startswith(name)


def test_the_usual_values_of_such_fields_are_let_through():
    refuse_foreign(body(modalities=["text"], verbosity="medium", reasoning_control=False))
