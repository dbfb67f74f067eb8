"""The openai SDK, unchanged, against a real server with the chat model that ships: tools, schemas, thoughts."""

import json

import openai
import pytest
from pydantic import BaseModel
from server_fakes import FakeEngine, make_context
from test_sockets import running
from tiny_server import QWEN3, tiny_server

from llamabox.assets import tiny_chat_path
from llamabox.engine import SamplingParams
from llamabox.gguf import open_gguf
from llamabox.server.requests import Defaults


def sdk(port):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def client():
    with tiny_server(defaults=Defaults(SamplingParams(temperature=0.0))) as port:
        yield sdk(port)


def tool(name, about, parameter):
    schema = {"type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter]}
    return {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}


WEATHER = tool("get_weather", "Get the current weather for a city.", "city")
TIME = tool("get_time", "Get the current time in a city.", "city")
TOOLS = [WEATHER, TIME]
QUESTION = {"role": "user", "content": "What is the weather in Oslo?"}


def named(name):
    return {"type": "function", "function": {"name": name}}


def test_a_conversation(client):
    reply = client.chat.completions.create(model="x", messages=[{"role": "user", "content": "Hello!"}], max_tokens=30)
    message = reply.choices[0].message
    assert message.content and message.tool_calls is None and reply.usage.completion_tokens <= 30
    stream = client.chat.completions.create(
        model="x", messages=[{"role": "user", "content": "Hello!"}], max_tokens=30, stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == message.content


def test_a_call_its_result_and_the_answer(client):
    reply = client.chat.completions.create(model="x", messages=[QUESTION], tools=TOOLS)
    assert reply.choices[0].finish_reason == "tool_calls"
    message = reply.choices[0].message
    [call] = message.tool_calls
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "Oslo"}
    assert message.content is None
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": -3, "condition": "sunny"}'}
    answer = client.chat.completions.create(
        model="x", messages=[QUESTION, message.model_dump(), result], tools=TOOLS
    ).choices[0]
    assert answer.finish_reason == "stop" and "-3" in answer.message.content and "sunny" in answer.message.content


def test_a_streamed_call(client):
    with client.chat.completions.stream(model="x", messages=[QUESTION], tools=TOOLS) as stream:
        pieces = [event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final = stream.get_final_completion().choices[0]
    [call] = final.message.tool_calls
    assert len(pieces) > 1 and "".join(pieces) == call.function.arguments
    assert json.loads(call.function.arguments) == {"city": "Oslo"} and final.finish_reason == "tool_calls"


def test_choice_none_gives_text(client):
    message = client.chat.completions.create(model="x", messages=[QUESTION], tools=TOOLS, tool_choice="none").choices[0]
    assert message.message.tool_calls is None and message.finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("choice", "names"), [("required", {"get_weather", "get_time"}), (named("get_time"), {"get_time"})]
)
def test_a_required_call_comes_whatever_was_asked(client, choice, names, stream):
    messages = [{"role": "user", "content": "Tell me a joke."}]
    if stream:
        with client.chat.completions.stream(model="x", messages=messages, tools=TOOLS, tool_choice=choice) as s:
            reply = s.get_final_completion()
    else:
        reply = client.chat.completions.create(model="x", messages=messages, tools=TOOLS, tool_choice=choice)
    calls = reply.choices[0].message.tool_calls
    assert calls and {call.function.name for call in calls} <= names
    for call in calls:
        arguments = json.loads(call.function.arguments)
        assert arguments.keys() == {"city"} and isinstance(arguments["city"], str)


def test_pydantic_tools_are_parsed_by_the_sdk(client):
    class GetWeather(BaseModel):
        """Get the current weather for a city."""

        city: str

    reply = client.chat.completions.parse(
        model="x",
        messages=[QUESTION],
        tools=[openai.pydantic_function_tool(GetWeather, name="get_weather")],
        tool_choice="required",
    )
    [call] = reply.choices[0].message.tool_calls
    assert call.function.parsed_arguments == GetWeather(city="Oslo")


def test_an_unknown_tool_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError, match="get_news"):
        client.chat.completions.create(model="x", messages=[QUESTION], tools=TOOLS, tool_choice=named("get_news"))


def test_a_prefilled_answer_is_continued(client):
    def answer(*prefill):
        messages = [{"role": "user", "content": "Tell me a joke."}, *prefill]
        return client.chat.completions.create(model="x", messages=messages, max_tokens=60).choices[0].message.content

    whole = answer()
    begun = whole[: whole.index(" ", 8)]
    assert answer({"role": "assistant", "content": begun}) == whole
    assert answer({"role": "assistant", "content": "In Oslo"}).startswith("In Oslo")


def test_thoughts_are_apart_from_the_answer():
    engine = FakeEngine(n_ctx=1 << 20, answer="<think>\nHm.\n</think>\n\nYes.")
    with running(make_context(engine, template=QWEN3)) as port:
        client = sdk(port)
        message = (
            client.chat.completions.create(model="x", messages=[QUESTION], reasoning_effort="low").choices[0].message
        )
        assert message.content.strip() == "Yes." and message.reasoning_content.strip() == "Hm."
        chunks = list(client.chat.completions.create(model="x", messages=[QUESTION], stream=True))
        deltas = [chunk.choices[0].delta for chunk in chunks]
        assert "".join(getattr(d, "reasoning_content", None) or "" for d in deltas).strip() == "Hm."
        assert "".join(d.content or "" for d in deltas).strip() == "Yes."


def test_a_budget_ends_the_thoughts_of_a_model():
    own = open_gguf(tiny_chat_path()).metadata["tokenizer.chat_template"]
    with tiny_server(chat_template=own + "{% if add_generation_prompt %}<think>\n{% endif %}") as port:
        chat = sdk(port).chat.completions

        def answer(**fields):
            messages = [{"role": "user", "content": "Tell me a joke."}]
            reply = chat.create(model="x", messages=messages, max_tokens=40, temperature=0, extra_body=fields)
            return reply.choices[0].message

        whole = answer().reasoning_content
        short = answer(thinking_budget_tokens=3).reasoning_content
        assert whole.startswith(short) and 0 < len(short) < len(whole) // 2
        assert not hasattr(answer(thinking_budget_tokens=0), "reasoning_content")
        ended = answer(thinking_budget_tokens=3, reasoning_budget_message=" Enough.")
        assert ended.reasoning_content == short + " Enough."
        both = answer(thinking_budget_tokens=3, reasoning_format="deepseek-legacy")
        assert short in both.content and both.reasoning_content == short
