"""Answers made to cost much: time stays linear in their length, recursion bounded, and nothing raises."""

import time

import llguidance
import pytest

from llamabox.chat import TemplateError
from llamabox.chat.formats import FORMATS
from tests.chat.formats.support import TEMPLATES, TOOLS, prepare, published, template_of

SIZE = 2**20
BYTE_TOKENIZER = llguidance.LLTokenizer("byte")
ONE_CALL = '{"name": "get_weather", "arguments": {"city": "'
REPEATED = (
    "<tool_call>",
    "<tool_call>\n" + ONE_CALL,
    '<tool_call>{"name": "get_w',
    "{",
    '{"',
    "<|start|>",
    "<|channel|>",
    "[TOOL_CALLS]",
    "[TOOL_CALLS]get_weather[CALL_ID]",
    "<function=",
    "<tool_call>\n<function=get_weather>\n<parameter=x>\n",
    "<tool_call>get_weather\n<arg_key>",
    "<｜tool▁calls▁begin｜>",
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:",
    ">>>",
    "\nget_weather\n",
    "<think>",
    "</",
    " ",
    "\n",
    "💣",
)
NESTED = ("[", '{"a":', '{"a":[', "{'a': (")


def one_of_each_format() -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(TEMPLATES.glob("*.jinja")):
        template = published(path.stem)
        if template.default.format is not None:
            found.setdefault(template.default.format.name, template)
    found["chatglm4"] = template_of("[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}")
    return found


PROMPTS = one_of_each_format()
CHATS = {name: prepare(template, TOOLS) for name, template in PROMPTS.items()}
PREFIXES = {
    "hermes": "<tool_call>\n" + ONE_CALL[:-9],
    "llama-3": '{"name": "get_weather", "parameters": ',
    "mistral-nemo": "[TOOL_CALLS][" + ONE_CALL[:-9],
    "gpt-oss": "<|channel|>commentary to=functions.get_weather<|message|>",
    "qwen3-coder": "<tool_call>\n<function=add>\n<parameter=how>\n",
}


def test_every_format_is_here():
    assert set(CHATS) == {format.name for format in FORMATS}


ODD_SCHEMAS = (
    {"type": "object", "properties": {"a": True, "b": False, "c": {}}},
    {"type": "object", "properties": {"a": "text", "b": 3, "c": None, "d": []}},
    {"type": "object", "properties": []},
    {"type": "object", "properties": {"a": {"type": []}, "b": {"type": 3}, "c": {"enum": []}, "d": {"anyOf": []}}},
    {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}, "b": {"$ref": "#"}, "c": {"allOf": [{}]}}},
    {"type": "object", "properties": {"a": {"enum": [None, 1, "x", [], {}]}, 'q"\n>': {"const": "\x00\u2028"}}},
    {"type": "object", "properties": {"a": {"type": "string", "minLength": -1, "maxLength": 2.5}}, "required": "a"},
    {"type": "string"},
    {"type": "object", "required": ["b", 3, None], "properties": {"a": {"type": "string", "maxLength": 2**70}}},
    {"anyOf": [{"type": "object"}], "$defs": 3},
    {},
)


@pytest.mark.parametrize("name", sorted(CHATS))
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_odd_schemas_are_refused_or_followed(name, choice):
    for schema in ODD_SCHEMAS:
        tools = ({"type": "function", "function": {"name": "f", "description": "", "parameters": schema}},)
        try:
            chat = prepare(PROMPTS[name], tools, tool_choice=choice)
        except TemplateError:
            continue
        assert not llguidance.LLMatcher.validate_grammar(
            llguidance.LLMatcher.grammar_from_lark(chat.grammar.source), BYTE_TOKENIZER
        ), (schema, chat.grammar.source)


def cost(chat, text: str, piece: int) -> float:
    """Processor seconds of reading a text in pieces of a size."""
    parser, began = chat.parser(), time.thread_time()
    for start in range(0, len(text), piece):
        parser.push(text[start : start + piece])
    parser.finish()
    return time.thread_time() - began


@pytest.mark.parametrize("name", sorted(CHATS))
def test_marks_over_and_over(name):
    for word in REPEATED:
        text = word * (2**14 // len(word))
        assert cost(CHATS[name], text, 7) < 1, word


@pytest.mark.parametrize("name", ["hermes", "gpt-oss"])
def test_a_megabyte_takes_about_sixteen_times_a_sixteenth_of_it(name):
    for word in ("<tool_call>", '<tool_call>\n{"name": "get_w', " ", "<|channel|>"):
        small, large = (word * (n // len(word)) for n in (SIZE // 16, SIZE))
        assert cost(CHATS[name], large, 64) < 64 * cost(CHATS[name], small, 64) + 0.5, word


@pytest.mark.parametrize("name", sorted(PREFIXES))
def test_deep_nesting_in_arguments(name):
    for word in NESTED:
        assert cost(CHATS[name], PREFIXES[name] + word * (SIZE // 4 // len(word)), 4096) < 3, word


@pytest.mark.parametrize("name", sorted(PREFIXES))
def test_a_long_argument(name):
    for word in ("x", "\\n", "\\ud83d", "💣", "'", "\n"):
        text = PREFIXES[name] + '{"city": "' + word * (2**16 // len(word))
        assert cost(CHATS[name], text, 16) < 2, word
