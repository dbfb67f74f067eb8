"""What the templates of some families need beside calls: ids, descriptions, messages in a form of their own."""

import re
from importlib.resources import files

from llamabox.chat import load_named
from llamabox.gguf import open_gguf
from tests.chat.formats.support import TOOLS, USER, calls_of, parse, prepare, published, read, template_of

CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
TOLD = (
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "rain", "tool_call_id": "abcdefghi", "name": "get_weather"},
)


def test_ids_that_mistral_is_not_given_are_nine_letters_and_can_be_fed_back():
    message = read(prepare("mistralai-Mistral-Nemo-Instruct-2407"), '[TOOL_CALLS][{"name": "now", "arguments": {}}]')
    (call,) = message["tool_calls"]
    assert re.fullmatch("[A-Za-z0-9]{9}", call["id"])
    fed = {"id": call["id"], "type": "function", "function": {"name": "now", "arguments": "{}"}}
    messages = (
        *USER,
        {"role": "assistant", "tool_calls": [fed]},
        {"role": "tool", "content": "9", "tool_call_id": call["id"]},
    )
    assert call["id"] in prepare("mistralai-Mistral-Nemo-Instruct-2407", messages=messages).prompt


def test_arguments_of_nemo_wait_for_the_id_that_comes_last():
    parser = prepare("mistralai-Mistral-Nemo-Instruct-2407").parser()
    assert parser.push('[TOOL_CALLS][{"name": "now", "arguments": {}, "id": "abcdefgh') == []
    start, arguments = parser.push('i"}')
    assert (start.id, start.name, arguments.text) == ("abcdefghi", "now", "{}")


def test_arguments_come_as_the_model_writes_them():
    parser = prepare("Qwen-Qwen3-0.6B").parser()
    assert parser.push('<tool_call>\n{"name": "get_weather", "arguments": {') == []
    start, arguments = parser.push('"ci')
    assert (start.index, start.name, arguments.index, arguments.text) == (0, "get_weather", 0, '{"ci')
    assert [delta.text for delta in parser.push('ty": "Os')] == ['ty": "Os']
    assert [delta.text for delta in parser.push('lo"}}\n</tool_call>')] == ['lo"}']
    assert parser.finish() == []


def test_thoughts_of_ministral_are_parts_of_the_content():
    messages = (*USER, {"role": "assistant", "content": "Hello", "reasoning_content": "hm"}, *USER)
    prompt = prepare("mistralai-Ministral-3-14B-Reasoning-2512", messages=messages).prompt
    assert "[/INST][THINK]hm[/THINK]Hello</s>" in prompt


def test_deepseek_is_told_of_tools_by_the_system_message_unless_the_template_does():
    told = prepare("deepseek-ai-DeepSeek-V3.1", messages=({"role": "system", "content": "S."}, *TOLD)).prompt
    assert told.startswith(
        "<s>S.\n\n## Tools\nYou have access to the following tools:\n\n### get_weather\nDescription: "
    )
    assert "<｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>" in told
    assert "## Tools" not in prepare("deepseek-ai-DeepSeek-V3.1", tools=()).prompt
    own = prepare("llama-cpp-deepseek-r1").prompt
    assert "## Tools" not in own and "You can call any of the following function tools" in own


def test_firefunction_gets_its_tools_as_a_variable():
    prompt = prepare("fireworks-ai-llama-3-firefunction-v2", messages=TOLD).prompt
    assert 'Available functions as JSON spec:\n[\n    {\n        "type": "function"' in prompt
    assert "rain" in prompt and 'functools[{"name": "get_weather", "arguments": ' in prompt


def test_the_model_that_ships_writes_calls_as_hermes_does():
    metadata = open_gguf(str(files("llamabox.assets") / "tiny-chat.gguf")).metadata
    chat = prepare(template_of(metadata["tokenizer.chat_template"]), messages=TOLD)
    assert chat.format_name == "hermes" and "<tool_response>\nrain\n</tool_response>" in chat.prompt
    call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
    assert f"<|im_start|>assistant\n{call}<|im_end|>" in chat.prompt
    assert calls_of(parse(chat, call)) == [("get_weather", {"city": "Oslo"})]


def test_named_templates_without_tools_have_the_generic_form():
    for name in ("chatml", "llama2", "gemma", "phi3", "mistral-v3"):
        chat = prepare(template_of(load_named(name)), TOOLS, TOLD)
        assert chat.format_name == "generic" and '"tool_response"' in chat.prompt, name


def test_an_earlier_call_of_a_published_template_is_rendered():
    for name in (
        "Qwen-Qwen3-0.6B",
        "Qwen3-Coder",
        "GLM-4.6",
        "MiniMax-M2",
        "Kimi-K2-Instruct",
        "MiniMax-M1",
        "Qwen3.5-4B",
    ):
        chat = prepare(published(name), TOOLS, TOLD)
        assert "rain" in chat.prompt and "Oslo" in chat.prompt, name
