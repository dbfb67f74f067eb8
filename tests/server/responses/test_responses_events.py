"""From chat chunks to the typed events of the Responses API, which the OpenAI client's own types must accept."""

import msgspec
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from llamabox.server.responses.body import ResponsesBody
from llamabox.server.responses.events import ResponseEvents

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 7,
    "total_tokens": 16,
    "prompt_tokens_details": {"cached_tokens": 4},
}


def chunk(delta, reason=None, **more):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None, **more}]}


def call(index, id=None, name=None, arguments=""):
    if id is None:
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}


def run(*chunks, **body):
    events = ResponseEvents(msgspec.convert({"input": "Hi", **body}, ResponsesBody), "tiny", lambda t: len(t.split()))
    found = [event for event in events.events([*chunks, {"choices": [], "usage": USAGE}]) if event is not None]
    for event in found:  # the client's own types: every field that they demand is there, with the right type
        TypeAdapter(ResponseStreamEvent).validate_python(event, strict=True)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found, Response.model_validate(events.response)


def test_a_message():
    opening = {"role": "assistant", "content": ""}
    events, response = run(chunk(opening), chunk({"content": "Hello"}), None, chunk({"content": " you"}, "stop"))
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [e["delta"] for e in events if e["type"] == "response.output_text.delta"] == ["Hello", " you"]
    assert response.output_text == "Hello you" and response.status == "completed"
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (9, 7, 16)
    assert response.usage.input_tokens_details.cached_tokens == 4


def test_reasoning_then_text_then_two_calls():
    events, response = run(
        chunk({"reasoning_content": "I think"}),
        chunk({"reasoning_content": " hard"}),
        chunk({"content": "See:"}),
        chunk(call(0, "c1", "f")),
        chunk(call(0, arguments='{"a"')),
        chunk(call(0, arguments=":1}")),
        chunk(call(1, "c2", "g", "{}")),
        chunk({}, "tool_calls"),
    )
    reasoning, message, f, g = response.output
    assert reasoning.content[0].text == "I think hard"
    assert message.content[0].text == "See:"
    assert (f.call_id, f.name, f.arguments) == ("c1", "f", '{"a":1}')
    assert (g.call_id, g.name, g.arguments) == ("c2", "g", "{}")
    assert response.usage.output_tokens_details.reasoning_tokens == 3
    added = [e for e in events if e["type"] == "response.output_item.added"]
    assert [e["output_index"] for e in added] == [0, 1, 2, 3]
    done = [e for e in events if e["type"] == "response.function_call_arguments.done"]
    assert [(e["output_index"], e["arguments"]) for e in done] == [(2, '{"a":1}'), (3, "{}")]


def test_an_answer_cut_off_is_incomplete():
    events, response = run(chunk({"content": "Hel"}), chunk({}, "length"))
    assert events[-1]["type"] == "response.incomplete"
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens"
    assert response.output[0].status == "incomplete"


def test_logprobs_go_with_their_text():
    token = {"token": "Hi", "bytes": [72, 105], "logprob": -0.5, "top_logprobs": []}
    events, response = run(chunk({"content": "Hi"}, logprobs={"content": [token], "refusal": None}), chunk({}, "stop"))
    delta = next(e for e in events if e["type"] == "response.output_text.delta")
    assert delta["logprobs"] == [token]
    assert response.output[0].content[0].logprobs[0].logprob == -0.5


def test_the_response_repeats_what_was_asked_for():
    _, response = run(
        chunk({}, "stop"),
        instructions="Be brief.",
        max_output_tokens=3,
        metadata={"a": "b"},
        temperature=0.5,
        user="me",
    )
    assert (response.instructions, response.max_output_tokens, response.metadata) == ("Be brief.", 3, {"a": "b"})
    assert (response.temperature, response.user, response.model) == (0.5, "me", "tiny")
    assert response.output == []
