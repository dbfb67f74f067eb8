import json

from tests.chat.formats.support import TOOLS, accepts, calls_of, parse, prepare, published

GEMMA = published("google-gemma-2-2b-it")
ONE = '{"tool_call": {"name": "get_weather", "arguments": {"city": "Oslo"}}}'
TWO = '{"tool_calls": [{"name": "now", "arguments": {}}, {"name": "add", "arguments": {"a": 1, "b": 2}, "id": "x7"}]}'
REPLY = '{"response": "Hello\\n\\u00e9 \\ud83d\\ude00"}'


def test_a_template_without_tools_is_told_of_them():
    chat = prepare(GEMMA)
    assert chat.format_name == "generic"
    assert '"name": "get_weather"' in chat.prompt and '{"tool_calls": [' in chat.prompt
    assert '{"tool_call": {' in prepare(GEMMA, parallel_tool_calls=False).prompt
    assert prepare(GEMMA, tools=()).format_name == "content-only"


def test_a_call_several_calls_and_a_reply():
    chat = prepare(GEMMA)
    assert calls_of(parse(chat, ONE)) == [("get_weather", {"city": "Oslo"})]
    message = parse(chat, TWO)
    assert calls_of(message) == [("now", {}), ("add", {"a": 1, "b": 2})]
    assert [call["id"] for call in message["tool_calls"]] == ["", "x7"] and message["content"] == ""
    assert parse(chat, REPLY) == {"content": "Hello\né 😀", "reasoning_content": "", "tool_calls": []}


def test_other_text_is_content():
    chat = prepare(GEMMA)
    for text in ("Hello", '{"foo": 1}', '{"tool_call": {"name": "unknown", "arguments": {}}}', '{"response": 3}'):
        assert parse(chat, text) == {"content": text, "reasoning_content": "", "tool_calls": []}


def test_the_grammar():
    chat = prepare(GEMMA)
    assert not chat.grammar.triggers
    assert (
        accepts(chat, TWO.replace(', "id": "x7"', ""))
        and accepts(chat, '{"response": "Hi\\n"}')
        and not accepts(chat, "Hello")
    )
    assert not accepts(chat, ONE)
    required = prepare(GEMMA, tool_choice="required", parallel_tool_calls=False)
    assert accepts(required, ONE) and not accepts(required, REPLY) and not accepts(required, TWO)


def test_calls_and_results_are_fed_back():
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    messages = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "sun"}]},
        {"role": "user", "content": "And?"},
    )
    prompt = prepare(GEMMA, messages=messages).prompt
    answer = {"tool_calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "c1"}]}
    assert prompt.startswith("<s><start_of_turn>user\nBe brief.\n\nYou can call any of")
    assert f"<start_of_turn>model\n{json.dumps(answer)}<end_of_turn>" in prompt
    results = [{"tool_response": {"tool_call_id": f"c{i}", "content": text}} for i, text in ((1, "rain"), (2, "sun"))]
    assert f"user\n{json.dumps(results[0])}\n\n{json.dumps(results[1])}\n\nAnd?<end_of_turn>" in prompt
    assert len(TOOLS) == prompt.count('"type": "function"')
