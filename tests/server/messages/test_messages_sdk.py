"""The anthropic SDK, unchanged, against a real socket: an engine that says what the test wants, and a model."""

import anthropic
import pytest
from server_fakes import FakeEngine, make_context
from test_sockets import running
from tiny_server import QWEN3, tiny_server

THINKING = "<think>\nHm.\n</think>\n\nYes."
CALLING = 'Let me see.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
WEATHER = {
    "name": "get_weather",
    "description": "Get the current weather for a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
GREEDY = {"temperature": 0}  # no longer an argument of the SDK, still a field of the API
QUESTION = {"role": "user", "content": "What is the weather in Oslo?"}


def sdk(port):
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{port}", api_key="none", max_retries=0, timeout=120)


def saying(answer):
    return running(make_context(FakeEngine(n_ctx=1 << 20, answer=answer), template=QWEN3))


@pytest.fixture(scope="module")
def tiny():
    with tiny_server() as port:
        yield sdk(port)


def test_thoughts_and_text():
    with saying(THINKING) as port:
        thinking = {"type": "enabled", "budget_tokens": 1024}
        message = sdk(port).messages.create(model="x", max_tokens=2000, messages=[QUESTION], thinking=thinking)
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert "Hm." in message.content[0].thinking and message.content[1].text.strip() == "Yes."
        assert message.stop_reason == "end_turn"


def test_of_an_answer_that_was_begun_comes_what_is_added():
    begun = {"role": "assistant", "content": "It is"}
    with saying(" cold.") as port:
        client = sdk(port)
        whole = client.messages.create(model="x", max_tokens=200, messages=[QUESTION, begun])
        assert [block.text for block in whole.content] == [" cold."]
        with client.messages.stream(model="x", max_tokens=200, messages=[QUESTION, begun]) as stream:
            assert "".join(stream.text_stream) == " cold."


def test_a_call_streamed_and_whole():
    with saying(CALLING) as port:
        client = sdk(port)
        whole = client.messages.create(model="x", max_tokens=200, messages=[QUESTION], tools=[WEATHER])
        text, call = whole.content
        assert text.text.strip() == "Let me see."
        assert (call.name, call.input, whole.stop_reason) == ("get_weather", {"city": "Oslo"}, "tool_use")
        with client.messages.stream(model="x", max_tokens=200, messages=[QUESTION], tools=[WEATHER]) as stream:
            pieces = [event.partial_json for event in stream if event.type == "input_json"]
            final = stream.get_final_message()
        assert len(pieces) > 1 and final.content[1].input == {"city": "Oslo"}
        assert final.usage.output_tokens == whole.usage.output_tokens == len(CALLING)


def test_a_conversation_with_a_tool(tiny):
    asked = tiny.messages.create(model="x", max_tokens=200, messages=[QUESTION], tools=[WEATHER], extra_body=GREEDY)
    [call] = asked.content
    assert (call.name, call.input) == ("get_weather", {"city": "Oslo"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": '{"temperature": -3}'}
    messages = [
        QUESTION,
        {"role": "assistant", "content": [block.model_dump() for block in asked.content]},
        {"role": "user", "content": [result]},
    ]
    answer = tiny.messages.create(model="x", max_tokens=200, messages=messages, tools=[WEATHER], extra_body=GREEDY)
    assert answer.stop_reason == "end_turn" and "-3" in answer.content[0].text


def test_system_stop_sequences_and_max_tokens(tiny):
    joke = [{"role": "user", "content": "Tell me a joke."}]
    whole = tiny.messages.create(model="x", max_tokens=60, messages=joke, extra_body=GREEDY)
    word = whole.content[0].text.split()[2]
    stopped = tiny.messages.create(model="x", max_tokens=60, messages=joke, stop_sequences=[word], extra_body=GREEDY)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", word)
    assert whole.content[0].text.startswith(stopped.content[0].text)
    short = tiny.messages.create(model="x", max_tokens=2, messages=joke, extra_body=GREEDY)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 2)
    with_system = tiny.messages.create(model="x", max_tokens=2, messages=joke, system="Be brief.", extra_body=GREEDY)
    n_short, n_system = (m.usage.input_tokens + m.usage.cache_read_input_tokens for m in (short, with_system))
    assert n_system > n_short


def test_sampling_fields_reach_the_sampler():
    engine = FakeEngine(n_ctx=1 << 20, answer="Yes.")
    with running(make_context(engine, template=QWEN3)) as port:
        body = {"temperature": 0.5, "top_p": 0.25, "top_k": 3}
        sdk(port).messages.create(model="x", max_tokens=12, messages=[QUESTION], extra_body=body)
    request = engine.generations[0].request
    found = (request.sampling.temperature, request.sampling.top_p, request.sampling.top_k, request.n_predict)
    assert found == (0.5, 0.25, 3, 12)


def test_counting_tokens(tiny):
    counted = tiny.messages.count_tokens(model="x", messages=[QUESTION], tools=[WEATHER])
    used = tiny.messages.create(model="x", max_tokens=1, messages=[QUESTION], tools=[WEATHER]).usage
    assert counted.input_tokens == used.input_tokens + used.cache_read_input_tokens > 0


def test_errors(tiny):
    with pytest.raises(anthropic.BadRequestError) as found:
        tiny.messages.create(model="x", max_tokens=-1, messages=[QUESTION])
    assert found.value.body["type"] == "error" and "max_tokens" in found.value.body["error"]["message"]
    with pytest.raises(anthropic.APIStatusError) as found:
        tiny.messages.create(model="x", max_tokens=9, messages=[QUESTION], extra_body={"container": "c"})
    assert found.value.status_code == 501


def test_an_engine_that_breaks_ends_the_stream_with_an_error():
    with running(make_context(FakeEngine(n_ctx=1 << 20), template=QWEN3)) as port:
        with pytest.raises(anthropic.APIStatusError, match="NaN"):
            with sdk(port).messages.stream(
                model="x", max_tokens=9, messages=[{"role": "user", "content": "break"}]
            ) as stream:
                list(stream)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_a_tool_that_has_to_be_called(tiny, choice):
    hello = [{"role": "user", "content": "Hello!"}]
    message = tiny.messages.create(
        model="x", max_tokens=200, messages=hello, tools=[WEATHER], tool_choice=choice, extra_body=GREEDY
    )
    assert [block.name for block in message.content if block.type == "tool_use"] == ["get_weather"]
