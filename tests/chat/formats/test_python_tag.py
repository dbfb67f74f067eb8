"""<|python_tag|>: code and built-in tools of Llama 3 and Functionary 3.1."""

import pytest

from tests.chat.formats.support import TOOLS, calls_of, parse, prepare, tool

PYTHON = tool("python", code={"type": "string"})
SEARCH = tool("brave_search", query={"type": "string"})
LLAMA, FUNCTIONARY = "meta-llama-Llama-3.1-8B-Instruct", "meetkai-functionary-medium-v3.1"
CODE = "print('a\"b')\nx = {\n  1: 2}"


@pytest.mark.parametrize("template", [LLAMA, FUNCTIONARY])
def test_code_is_the_call_of_an_interpreter(template):
    message = parse(prepare(template, (*TOOLS, PYTHON)), f"I compute.<|python_tag|>{CODE}")
    assert (message["content"], calls_of(message)) == ("I compute.", [("python", {"code": CODE})])


@pytest.mark.parametrize("template", [LLAMA, FUNCTIONARY])
def test_without_an_interpreter_code_is_content(template):
    text = f"<|python_tag|>{CODE}"
    assert parse(prepare(template), text)["content"] == text


def test_a_builtin_tool_of_llama():
    chat = prepare(LLAMA, (*TOOLS, SEARCH))
    message = parse(chat, '<|python_tag|>brave_search.call(query="weather in \\"Oslo\\"", days=[1, 2])')
    assert calls_of(message) == [("brave_search", {"query": 'weather in "Oslo"', "days": [1, 2]})]
    broken = "<|python_tag|>brave_search.call(query)"
    assert parse(chat, broken) == {"content": broken, "reasoning_content": "", "tool_calls": []}


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "function", "name": "get_weather", "parameters": {"city": "Oslo"}}',
        '{"type": "function", "function": {"name": "get_weather", "parameters": {"city": "Oslo"}}}',
        '<|python_tag|>{"name": "get_weather", "arguments": {"city": "Oslo"}}',
        '{"name":"get_weather","parameters":{"city":"Oslo"}}',
    ],
)
def test_other_ways_of_llama_to_write_a_call(text):
    assert calls_of(parse(prepare(LLAMA), text)) == [("get_weather", {"city": "Oslo"})]


def test_json_that_is_no_call_is_content():
    text = 'A list: {"name": "x"} and {"cities": [1, {"a": {}}]} {'
    assert parse(prepare(LLAMA), text)["content"] == text
