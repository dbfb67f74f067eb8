from llamabox.chat import load_named
from tests.chat.formats.support import accepts, calls_of, parse, prepare, template_of

GLM4 = template_of(load_named("chatglm4"))
OFFICIAL = template_of(  # how GLM-4-9B-Chat's own template renders messages
    "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>{{ m.metadata }}\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
OSLO = 'get_weather\n{"city": "Oslo"}'


def test_tools_are_described_in_a_system_message():
    chat = prepare(GLM4)
    assert chat.format_name == "chatglm4"
    assert chat.prompt.startswith("[gMASK]<sop><|system|>\n你是一个名为 ChatGLM4 的人工智能助手。")
    assert '\n\n## get_weather\n\n{\n    "name": "get_weather",' in chat.prompt
    assert chat.prompt.endswith("<|user|>\nhi<|assistant|>\n")
    assert "get_weather" not in prepare(GLM4, tools=()).prompt


def test_calls_and_results_are_messages_of_their_own_kinds():
    call = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    messages = (
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_call_id": "1"},
    )
    prompt = prepare(OFFICIAL, messages=messages).prompt
    call_text = '<|assistant|>\nI look.<|assistant|>get_weather\n{"city": "Oslo"}<|observation|>\nrain<|assistant|>\n'
    assert prompt.endswith(f"<|user|>\nWeather?{call_text}")


def test_a_call_is_a_name_and_json_below():
    chat = prepare(GLM4)
    assert calls_of(parse(chat, f"\n{OSLO}")) == [("get_weather", {"city": "Oslo"})]
    several = parse(chat, f"I look.\n{OSLO}<|assistant|>now\n{{}}")
    assert several["content"] == "I look."
    assert calls_of(several) == [("get_weather", {"city": "Oslo"}), ("now", {})]
    for text in ("now or never", "now\nor never", "get_weather", "Hello\nnow\n[1]"):
        assert parse(chat, text) == {"content": text, "reasoning_content": "", "tool_calls": []}


def test_the_grammar():
    assert accepts(prepare(GLM4), f"I look.\n{OSLO}") and not accepts(prepare(GLM4), "now or never")
    required = prepare(GLM4, tool_choice="required", parallel_tool_calls=True)
    assert accepts(required, OSLO) and accepts(required, f"{OSLO}<|assistant|>now\n{{}}")
    assert not accepts(required, f"I look.\n{OSLO}")
