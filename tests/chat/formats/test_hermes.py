import pytest

from tests.chat.formats.support import accepts, calls_of, parse, prepare, published

QWEN3, QWEN25 = published("Qwen-Qwen3-0.6B"), published("Qwen-Qwen2.5-7B-Instruct")
OSLO = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
SUM = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2.5}}\n</tool_call>'


def test_calls_content_and_thoughts_are_told_apart():
    message = parse(prepare(QWEN3), f"<think>\nhm\n</think>\n\nI look.\n{OSLO}\n{SUM}")
    assert message["reasoning_content"] == "hm\n"
    assert message["content"] == "I look.\n"
    assert calls_of(message) == [("get_weather", {"city": "Oslo"}), ("add", {"a": 1, "b": 2.5})]
    assert len({call["id"] for call in message["tool_calls"]}) == 1  # both made


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "unknown", "arguments": {"city": "Oslo"}}\n</tool_call>',
        "<tool_call>\nnothing\n</tool_call>",
        '<tool_call>\n{"name": "get_weather", "arguments": nothing}\n</tool_call>',
        "almost <tool_ca",
        "<tool_call><tool_call>x",
    ],
)
def test_what_is_no_call_is_content(text):
    assert parse(prepare(QWEN25), text) == {"content": text, "reasoning_content": "", "tool_calls": []}


def test_a_call_that_is_cut_off_before_its_arguments_is_left_out():
    text = 'I look. <tool_call>\n{"name": "get_weather", "arguments": '
    for end in range(len("I look. <tool_call>"), len(text)):
        assert parse(prepare(QWEN25), text[:end]) == {"content": "I look. ", "reasoning_content": "", "tool_calls": []}
    alone = text.removeprefix("I look. ")
    assert parse(prepare(QWEN25), alone)["content"] == alone  # no answer is empty


def test_a_call_after_a_broken_one_is_found():
    message = parse(prepare(QWEN25), f"<tool_call>\nnothing {OSLO}")
    assert (message["content"], calls_of(message)) == ("<tool_call>\nnothing ", [("get_weather", {"city": "Oslo"})])


def test_arguments_that_break_off_in_the_middle_are_completed():
    text = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": nonsense}}\n</tool_call>'
    message = parse(prepare(QWEN25), text)
    assert calls_of(message) == [("add", {"a": 1, "b": None})]
    assert message["content"] == "nonsense}}\n</tool_call>"


def test_arguments_cut_off_by_the_end_stay_as_they_are():
    text = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Os'
    assert parse(prepare(QWEN25), text)["tool_calls"][0]["arguments"] == '{"city": "Os'


def test_arguments_may_come_first_and_in_python():
    text = "<tool_call>\n{'arguments': {'city': 'O\"slo', 'x': True,}, 'name': 'get_weather'}\n</tool_call>"
    assert calls_of(parse(prepare(QWEN25), text)) == [("get_weather", {"city": 'O"slo', "x": True})]


def test_arguments_may_be_a_string():
    text = '<tool_call>\n{"name": "get_weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}\n</tool_call>'
    assert calls_of(parse(prepare(QWEN25), text)) == [("get_weather", {"city": "Oslo"})]
    for wrong in ('"Oslo"', '"[1]"', '"{"', '""'):
        text = f'<tool_call>\n{{"name": "get_weather", "arguments": {wrong}}}\n</tool_call>'
        assert parse(prepare(QWEN25), text)["content"] == text


def test_without_tools_or_with_choice_none_a_call_is_content():
    for options in ({"tools": ()}, {"tool_choice": "none"}):
        message = parse(prepare(QWEN25, **options), OSLO)
        assert (message["content"], message["tool_calls"]) == (OSLO, [])


def test_the_grammar_of_a_free_choice_begins_with_the_first_call():
    chat = prepare(QWEN3)
    assert accepts(chat, f"I look. {OSLO}\n{SUM}") and not accepts(chat, OSLO + "\nbye")
    one = prepare(QWEN3, parallel_tool_calls=False)
    assert accepts(one, OSLO) and not accepts(one, f"{OSLO}\n{SUM}")


def test_the_grammar_of_a_required_call_allows_thoughts_first():
    chat = prepare(QWEN3, tool_choice="required")
    assert not chat.grammar.triggers
    assert accepts(chat, OSLO) and accepts(chat, f"<think>\n</thin <tool_call>\n</think>\n\n{OSLO}")
    assert not accepts(chat, f"I look. {OSLO}") and not accepts(chat, "")
    assert not accepts(chat, OSLO.replace("Oslo", "Oslo\n"))
    silent = prepare(QWEN3, tool_choice="required", enable_thinking=False)
    assert accepts(silent, OSLO) and not accepts(silent, f"<think>\n</think>\n\n{OSLO}")
