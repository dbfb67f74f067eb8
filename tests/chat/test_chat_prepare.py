import json

import pytest

from llamabox.chat import NamedTool, TemplateError, ThinkingTags
from llamabox.engine.constrain import Grammar
from tests.chat.formats.support import USER, accepts, is_sentence, parse, prepare, published, template_of

QWEN3, QWEN25 = published("Qwen-Qwen3-0.6B"), published("Qwen-Qwen2.5-7B-Instruct")
OPEN = template_of(  # opens the thoughts itself, as QwQ does, unless told not to
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('</think>')[-1] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% if enable_thinking %}<think>\n{% endif %}{% endif %}"
)
SCHEMA = Grammar("json_schema", json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}}))
ASSISTANT = {"role": "assistant", "content": "Well, "}


def test_thoughts_that_the_prompt_began():
    chat = prepare(OPEN, tools=())
    assert chat.prompt.endswith("<|assistant|><think>\n")
    assert chat.thinking == ThinkingTags("<think>", "</think>", open=True) and "</think>" in chat.preserved
    assert parse(chat, "hm\n</think>Hello") == {"content": "Hello", "reasoning_content": "\nhm\n", "tool_calls": []}
    assert parse(chat, " <think>hm</think>Hello")["reasoning_content"] == "hm"  # begun once more by the model
    silent = prepare(OPEN, tools=(), enable_thinking=False)
    assert not silent.thinking.open and parse(silent, "Hello")["content"] == "Hello"


@pytest.mark.parametrize(
    ("reasoning_format", "content", "reasoning"),
    [
        ("auto", "Hello", "\nhm"),
        ("deepseek", "Hello", "\nhm"),
        ("none", "<think>\nhm</think>Hello", ""),
        ("deepseek-legacy", "<think>\nhm</think>Hello", "\nhm"),
    ],
)
def test_reasoning_formats(reasoning_format, content, reasoning):
    message = parse(prepare(OPEN, tools=(), reasoning_format=reasoning_format), "hm</think>Hello")
    assert (message["content"], message["reasoning_content"]) == (content, reasoning)


def test_thoughts_that_the_prompt_ended_are_not_looked_for():
    chat = prepare(QWEN3, tools=(), enable_thinking=False)
    assert chat.prompt.endswith("<think>\n\n</think>\n\n")
    assert parse(chat, "<think>x</think>y")["content"] == "<think>x</think>y"


def test_reasoning_effort_and_template_kwargs():
    source = "{{ enable_thinking }} {{ reasoning_effort }} {{ x }}{% for m in messages %}{{ m.content }}{% endfor %}"
    template = template_of(source)

    def prompt(**options) -> str:
        return prepare(template, tools=(), **options).prompt

    assert prompt() == "True  hi"
    assert prompt(reasoning_effort="low", template_kwargs={"x": 3}) == "True low 3hi"
    assert prompt(reasoning_effort="none", template_kwargs={"reasoning_effort": "high"}) == "False  hi"
    assert prompt(template_kwargs={"enable_thinking": False}) == "False  hi"
    assert prompt(template_kwargs={"enable_thinking": False}, enable_thinking=True) == "True  hi"
    with pytest.raises(TemplateError, match="chat_template_kwargs.enable_thinking: found 'yes', expected a boolean"):
        prompt(template_kwargs={"enable_thinking": "yes"})


def test_an_answer_is_continued():
    begun = prepare(QWEN25, tools=(), messages=(*USER, ASSISTANT), continue_final_message=True)
    assert begun.prompt.endswith("<|im_end|>\n<|im_start|>assistant\nWell, ")
    thoughts = {"role": "assistant", "content": "", "reasoning_content": "hm"}
    chat = prepare(QWEN3, tools=(), messages=(*USER, thoughts), continue_final_message=True)
    assert chat.prompt.endswith("<|im_start|>assistant\n<think>\nhm") and chat.thinking.open
    assert parse(chat, "!\n</think>\n\nHello") == {"content": "Hello", "reasoning_content": "!\n", "tool_calls": []}
    both = {**ASSISTANT, "reasoning_content": "hm"}
    chat = prepare(QWEN3, tools=(), messages=(*USER, both), continue_final_message="content")
    assert chat.prompt.endswith("<think>\nhm\n</think>\n\nWell, ") and not chat.thinking.open
    assert parse(chat, "yes")["content"] == "yes"
    chat = prepare(QWEN3, tools=(), messages=(*USER, both), continue_final_message="reasoning_content")
    assert chat.prompt.endswith("<think>\nhm")


@pytest.mark.parametrize(
    "messages",
    [(), USER, (*USER, {**ASSISTANT, "tool_calls": [{}]}), (*USER, {**ASSISTANT, "reasoning_content": 3}), (3,)],
)
def test_what_cannot_be_continued(messages):
    with pytest.raises(TemplateError):
        prepare(QWEN3, tools=(), messages=messages, continue_final_message=True)


def test_a_named_tool_is_the_only_one_and_called_once():
    chat = prepare(QWEN25, tool_choice=NamedTool("now"), parallel_tool_calls=True)
    now = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
    assert accepts(chat, now) and not accepts(chat, f"{now}\n{now}")
    assert not accepts(chat, '<tool_call>\n{"name": "get_weather", "arguments": {"city": "x"}}\n</tool_call>')
    assert "get_weather" in chat.prompt
    with pytest.raises(TemplateError, match="tool_choice: found 'then', expected a tool of the request"):
        prepare(QWEN25, tool_choice=NamedTool("then"))
    with pytest.raises(TemplateError, match="without tools"):
        prepare(QWEN25, tools=(), tool_choice="required")


def test_a_response_grammar_is_for_what_follows_the_thoughts():
    assert prepare(QWEN25, tools=(), response_grammar=SCHEMA).grammar is SCHEMA
    grammar = prepare(QWEN3, tools=(), response_grammar=SCHEMA).grammar
    assert is_sentence(grammar.source, '{"a": 1}') and is_sentence(grammar.source, '<think>\nx</think>\n\n{"a": 1}')
    assert not is_sentence(grammar.source, "hello")
    forced = prepare(OPEN, tools=(), response_grammar=SCHEMA).grammar
    assert is_sentence(forced.source, 'x</think>{"a": 1}') and not is_sentence(forced.source, '{"a": 1}')
    gbnf = Grammar("gbnf", 'root ::= "x"')
    assert prepare(QWEN3, tools=(), response_grammar=gbnf).grammar is gbnf


def test_tools_beside_a_response_grammar():
    grammar = prepare(QWEN25, response_grammar=SCHEMA).grammar
    assert not grammar.triggers
    assert is_sentence(grammar.source, '{"a": 1}') and not is_sentence(grammar.source, "hello")
    assert is_sentence(grammar.source, '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>')
    with pytest.raises(TemplateError, match="a grammar and tools"):
        prepare(QWEN25, response_grammar=Grammar("gbnf", 'root ::= "x"'))
