"""The openai SDK's responses against a real socket: an engine that says what the test wants, and a model."""

import json

import openai
import pydantic
import pytest
from server_fakes import FakeEngine, make_context
from test_sockets import running
from tiny_server import QWEN3, tiny_server

THINKING = "<think>\nHm.\n</think>\n\nYes."
CALLING = 'Let me see.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
QUESTION = "What is the weather in Oslo?"


def sdk(port):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=120)


def saying(answer):
    return running(make_context(FakeEngine(n_ctx=1 << 20, answer=answer), template=QWEN3))


@pytest.fixture(scope="module")
def tiny():
    with tiny_server() as port:
        yield sdk(port)


def test_thoughts_and_text():
    with saying(THINKING) as port:
        response = sdk(port).responses.create(model="x", input="Well?")
        assert [item.type for item in response.output] == ["reasoning", "message"]
        assert response.output_text.strip() == "Yes." and "Hm." in response.output[0].content[0].text
        assert response.usage.output_tokens_details.reasoning_tokens > 0


def test_a_call_streamed_and_whole():
    with saying(CALLING) as port:
        client = sdk(port)
        whole = client.responses.create(model="x", input=QUESTION, tools=[WEATHER])
        message, call = whole.output
        assert message.content[0].text.strip() == "Let me see."
        assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Oslo"})
        with client.responses.stream(model="x", input=QUESTION, tools=[WEATHER]) as stream:
            deltas = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
            final = stream.get_final_response()
        assert len(deltas) > 1 and "".join(deltas) == final.output[1].arguments == call.arguments


def test_a_conversation_with_a_tool(tiny):
    response = tiny.responses.create(model="x", input=QUESTION, tools=[WEATHER], temperature=0)
    [call] = response.output
    assert call.name == "get_weather" and json.loads(call.arguments) == {"city": "Oslo"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": '{"temperature": -3}'}
    items = [{"role": "user", "content": QUESTION}, call.model_dump(), result]
    answer = tiny.responses.create(model="x", input=items, tools=[WEATHER], temperature=0)
    assert answer.status == "completed" and "-3" in answer.output_text


def test_max_output_tokens_and_instructions(tiny):
    short = tiny.responses.create(model="x", input="Tell me a joke.", temperature=0, max_output_tokens=3)
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert short.usage.output_tokens == 3
    longer = tiny.responses.create(
        model="x", input="Tell me a joke.", instructions="Speak.", temperature=0, max_output_tokens=3
    )
    assert longer.usage.input_tokens > short.usage.input_tokens


def test_counting_tokens(tiny):
    counted = tiny.responses.input_tokens.count(model="x", input=QUESTION, tools=[WEATHER])
    used = tiny.responses.create(model="x", input=QUESTION, tools=[WEATHER], max_output_tokens=1)
    assert counted.input_tokens == used.usage.input_tokens > 0


def test_errors(tiny):
    with pytest.raises(openai.InternalServerError) as found:  # 501
        tiny.responses.create(model="x", input="Hi", previous_response_id="resp_1")
    assert found.value.status_code == 501 and found.value.body["type"] == "not_supported_error"
    with pytest.raises(openai.BadRequestError, match="max_output_tokens"):
        tiny.responses.create(model="x", input="Hi", max_output_tokens=-3)


def test_an_engine_that_breaks_ends_the_stream_with_an_error():
    with running(make_context(FakeEngine(n_ctx=1 << 20), template=QWEN3)) as port:
        with pytest.raises(openai.APIError, match="NaN"):
            list(sdk(port).responses.create(model="x", input="break", stream=True))


def test_a_named_tool_is_called(tiny):
    choice = {"type": "function", "name": "get_weather"}
    response = tiny.responses.create(
        model="x", input="Hello!", tools=[WEATHER], tool_choice=choice, temperature=0, max_output_tokens=200
    )
    assert [item.name for item in response.output if item.type == "function_call"] == ["get_weather"]


def test_parse_gives_the_callers_own_type(tiny):
    class City(pydantic.BaseModel):
        capital: bool
        letters: int

    response = tiny.responses.parse(model="x", input="Oslo", text_format=City, temperature=0, max_output_tokens=200)
    assert isinstance(response.output_parsed, City)
