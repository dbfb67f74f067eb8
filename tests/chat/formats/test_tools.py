import json

import pytest

from llamabox.chat.formats.tools import tools_of
from tests.chat.formats.support import accepts, calls_of, parse, prepare, tool

SCHEMA = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "whole": {"type": "integer"},
    "flag": {"type": "boolean"},
    "list": {"type": "array", "items": {"type": "integer"}},
    "maybe": {"type": ["string", "null"]},
    "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    "choice": {"enum": ["a", "b"]},
    "referred": {"$ref": "#/$defs/point"},
    "unsaid": {},
}
SOME = tool("f", [], **SCHEMA)
SOME["function"]["parameters"]["$defs"] = {"point": {"type": "object", "properties": {"x": {"type": "number"}}}}
(F,) = tools_of([SOME]).tools


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        ("text", "12", "12"),
        ("text", ' "x"\n', ' "x"\n'),
        ("number", "2.50", 2.5),
        ("whole", "3", 3),
        ("flag", "True", True),
        ("list", "[1, 2,]", [1, 2]),
        ("maybe", "null", None),
        ("maybe", "12", "12"),
        ("either", "12", 12),
        ("either", "twelve", "twelve"),
        ("choice", "a", "a"),
        ("referred", "{'x': 1.5}", {"x": 1.5}),
        ("unsaid", "[null]", [None]),
        ("unsaid", "some words", "some words"),
        ("number", "many", "many"),
        ("other", "7", 7),
    ],
)
def test_values_follow_the_schema(parameter, text, value):
    assert json.loads(F.value(parameter, text)) == value


def test_values_in_tags_become_what_the_schema_says():
    arguments = {"text": "a\n<b>", "whole": "3", "flag": "False", "maybe": "None", "referred": '{"x": 1}'}
    tags = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items())
    message = parse(prepare("Qwen3-Coder", (SOME,)), f"<tool_call>\n<function=f>\n{tags}</function>\n</tool_call>")
    expected = {"text": "a\n<b>", "whole": 3, "flag": False, "maybe": None, "referred": {"x": 1}}
    assert calls_of(message) == [("f", expected)]


def test_a_name_that_begins_like_another_is_not_that_one():
    tools = (tool("add"), tool("add_more", a={"type": "string"}))
    glm = prepare("GLM-4.6", tools)
    assert calls_of(
        parse(glm, "<tool_call>add_more\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n</tool_call>")
    ) == [("add_more", {"a": "x"})]
    unknown = "<tool_call>adding\n</tool_call>"
    assert parse(glm, unknown)["content"] == unknown


@pytest.mark.parametrize("template", ["Qwen3-Coder", "GLM-4.6"])
@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"minLength": 2, "maxLength": 3}, ("ab", "a\nb"), ("", "a", "abcd")),
        ({"minLength": 2}, ("ab", "abcdef"), ("a",)),
        ({"maxLength": 2}, ("", "ab"), ("abc",)),
        ({"maxLength": 0}, ("",), ("a",)),
        ({"enum": ["red", "green"]}, ("red",), ("blue", "", "redgreen")),
        ({"maxLength": 10**9, "minLength": True}, ("", "abc"), ()),
    ],
)
def test_texts_in_tags_are_constrained_by_their_schema(template, schema, right, wrong):
    chat = prepare(template, (tool("f", text={"type": "string", **schema}),), tool_choice="required")

    def call(text: str) -> str:
        if template == "GLM-4.6":
            return f"<tool_call>f\n<arg_key>text</arg_key>\n<arg_value>{text}</arg_value>\n</tool_call>"
        return f"<tool_call>\n<function=f>\n<parameter=text>\n{text}\n</parameter>\n</function>\n</tool_call>"

    for text in right:
        assert accepts(chat, call(text)), text
        assert calls_of(parse(chat, call(text))) == [("f", {"text": text})]
    assert not any(accepts(chat, call(text)) for text in wrong)
