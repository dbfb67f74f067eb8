import json

from llamabox.engine.constrain import Grammar
from tests.chat.formats.support import USER, accepts, calls_of, is_sentence, parse, prepare, published

SCHEMA = Grammar("json_schema", json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}}))
OSS = published("openai-gpt-oss-120b")
THOUGHTS = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
CALL = '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Oslo"}'


def test_channels_are_told_apart():
    text = f"{THOUGHTS}<|channel|>commentary<|message|>I look.<|end|><|start|>assistant{CALL}<|call|>"
    message = parse(prepare(OSS), text)
    assert (message["reasoning_content"], message["content"]) == ("hm", "I look.")
    assert calls_of(message) == [("get_weather", {"city": "Oslo"})]
    more = parse(prepare(OSS), f"{THOUGHTS}<|channel|>analysis<|message|>!<|end|><|start|>assistant{CALL}")
    assert more["reasoning_content"] == "hm!" and len(more["tool_calls"]) == 1


def test_reasoning_formats():
    text = f"{THOUGHTS}<|channel|>final<|message|>Hello"
    assert parse(prepare(OSS, reasoning_format="none"), text)["content"] == (
        "<|channel|>analysis<|message|>hm<|end|>Hello"
    )
    legacy = parse(prepare(OSS, reasoning_format="deepseek-legacy"), text)
    assert legacy["content"] == "<|channel|>analysis<|message|>hm<|end|>Hello" and legacy["reasoning_content"] == "hm"


def test_a_tool_that_is_not_there_is_content_and_an_unasked_call_is_left_out():
    text = CALL.replace("get_weather", "forget")
    assert parse(prepare(OSS), text)["content"] == text
    assert parse(prepare(OSS, tools=()), f"{THOUGHTS}{CALL}")["content"] == ""


def test_an_answer_is_continued():
    answer = {"role": "assistant", "content": "Well, ", "reasoning_content": "hm"}
    chat = prepare(OSS, messages=(*USER, answer), continue_final_message=True)
    assert chat.prompt.endswith(f"<|start|>assistant{THOUGHTS}<|channel|>final<|message|>Well, ")
    assert parse(chat, "yes") == {"content": "yes", "reasoning_content": "", "tool_calls": []}
    chat = prepare(OSS, messages=(*USER, answer), continue_final_message="reasoning_content")
    assert chat.thinking.open
    message = parse(chat, "!<|end|><|start|>assistant<|channel|>final<|message|>yes")
    assert (message["content"], message["reasoning_content"]) == ("yes", "!")


def test_grammars():
    required = prepare(OSS, tool_choice="required")
    assert accepts(required, CALL) and accepts(required, f"{THOUGHTS}{CALL}")
    assert accepts(required, f"{THOUGHTS} to=functions.now<|channel|>commentary<|message|>{{}}")
    assert not accepts(required, f"{THOUGHTS}<|channel|>final<|message|>Hello")
    answer = prepare(OSS, tools=(), response_grammar=SCHEMA).grammar.source
    assert is_sentence(answer, f'{THOUGHTS}<|channel|>final<|message|>{{"a": 1}}')
    assert is_sentence(answer, '<|channel|>final<|message|>{"a": 1}') and not is_sentence(answer, '{"a": 1}')
