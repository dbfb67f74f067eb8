"""From chat chunks to the events of the Messages API, which the Anthropic client's own types must accept."""

from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from llamabox.engine import FinishEvent, Timings
from llamabox.server.messages.events import MessageEvents

USAGE = {"prompt_tokens": 9, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}


def chunk(delta, reason=None):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def call(index, id=None, name=None, arguments=""):
    if id is None:
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}


def finish(reason, word=""):
    return [FinishEvent(reason, word, 9, 7, False, Timings(4, 5, 1.0, 7, 1.0))]


def run(*chunks, finished=()):
    chunks = [*chunks, {"choices": [], "usage": USAGE}]
    events = [e for e in MessageEvents("tiny", 9, list(finished)).events(chunks) if e is not None]
    for event in events:
        TypeAdapter(RawMessageStreamEvent).validate_python(event, strict=True)
    whole = MessageEvents("tiny", 9, list(finished)).whole(chunks)
    return events, Message.model_validate(whole, strict=True)


def test_a_message():
    events, message = run(chunk({"content": "Hello"}), None, chunk({"content": " you"}), chunk({}, "stop"))
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert message.content[0].text == "Hello you"
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (5, 4, 7)
    assert events[-2]["usage"] == message.usage.model_dump(exclude_unset=True)


def test_thinking_then_text_then_two_calls():
    events, message = run(
        chunk({"reasoning_content": "I think"}),
        chunk({"content": "See:"}),
        chunk(call(0, "c1", "f")),
        chunk(call(0, arguments='{"a"')),
        chunk(call(0, arguments=":1}")),
        chunk(call(1, "c2", "g", "{}")),
        chunk({}, "tool_calls"),
    )
    thinking, text, f, g = message.content
    assert (thinking.thinking, text.text) == ("I think", "See:")
    assert (f.id, f.name, f.input) == ("c1", "f", {"a": 1})
    assert (g.id, g.name, g.input) == ("c2", "g", {})
    assert message.stop_reason == "tool_use"
    starts = [e["index"] for e in events if e["type"] == "content_block_start"]
    stops = [e["index"] for e in events if e["type"] == "content_block_stop"]
    assert starts == stops == [0, 1, 2, 3]
    signed = [e for e in events if e["type"] == "content_block_delta" and e["delta"]["type"] == "signature_delta"]
    assert [e["index"] for e in signed] == [0]


def test_stop_reasons():
    assert run(chunk({}, "length"), finished=finish("limit"))[1].stop_reason == "max_tokens"
    stopped = run(chunk({"content": "a"}), chunk({}, "stop"), finished=finish("word", "END"))[1]
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "END")
    assert run(chunk({}, "stop"), finished=finish("eos"))[1].stop_sequence is None


def test_arguments_that_were_cut_off_do_not_break_the_message():
    _, message = run(chunk(call(0, "c1", "f", '{"a')), chunk({}, "length"), finished=finish("limit"))
    assert message.content[0].input == {} and message.stop_reason == "max_tokens"
