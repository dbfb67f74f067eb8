"""Chat replies: deltas in OpenAI's shape, streamed and whole, from a parser that says what the test wants."""

import pytest

from llamabox.chat import ContentDelta, ReasoningDelta, ToolArguments, ToolCallStart
from llamabox.engine import FinishEvent, TextEvent, Timings
from llamabox.server.chat.format import ChatChoice, ChatFormat

TIMINGS = Timings(n_cached=0, n_prompt=1, prompt_ms=5.0, n_predicted=3, predicted_ms=6.0)


class Scripted:
    """Each text stands for a list of deltas; "end" for those of the end."""

    def __init__(self, script):
        self.script = script

    def push(self, text):
        return self.script[text]

    def finish(self):
        return self.script.get("end", [])


SCRIPT = {
    "r": [ReasoningDelta("hm")],
    "c": [ContentDelta("Hi ")],
    "cc": [ContentDelta("a"), ContentDelta("b")],
    "-": [],
    "call": [ToolCallStart(0, "id0", "f"), ToolArguments(0, '{"a"')],
    "args": [ToolArguments(0, ": 1}")],
    "second": [ToolCallStart(1, "id1", "g")],
    "end": [ContentDelta("!")],
}


def finish(reason="eos"):
    return FinishEvent(reason, "", 4, 3, False, TIMINGS)


def events(*texts, reason="eos", choice=0):
    return [*((choice, TextEvent(text, (1,))) for text in texts), (choice, finish(reason))]


def format(n=1, include_usage=False, script=SCRIPT):
    return ChatFormat("tiny", [ChatChoice(i, Scripted(script)) for i in range(n)], include_usage)


def deltas(chunks):
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


def test_a_stream_has_the_role_first_then_each_delta_then_the_reason():
    *chunks, last = format().chunks(events("r", "", "-", "cc"))
    assert deltas(chunks) == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": "a"},
        {"content": "b"},
        {"content": "!"},
    ]
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert last["timings"]["predicted_n"] == 3 and not any("timings" in chunk for chunk in chunks)
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)


def test_a_call_has_its_id_and_name_once_then_pieces_of_its_arguments():
    chunks = list(format(script={**SCRIPT, "end": []}).chunks(events("call", "args", "second")))
    assert deltas(chunks)[1:] == [
        {
            "tool_calls": [
                {"index": 0, "id": "id0", "type": "function", "function": {"name": "f", "arguments": ""}},
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "id1", "type": "function", "function": {"name": "g", "arguments": ""}},
            ]
        },
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_whole_message_has_all_its_parts():
    choice = format().whole(events("r", "r", "c", "call", "args", "second"))["choices"][0]
    assert choice == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "Hi !",
            "tool_calls": [
                {"id": "id0", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
                {"id": "id1", "type": "function", "function": {"name": "g", "arguments": ""}},
            ],
            "reasoning_content": "hmhm",
        },
        "logprobs": None,
        "finish_reason": "tool_calls",
    }


def test_content_is_null_beside_calls_and_a_text_without():
    silent = {**SCRIPT, "end": []}
    assert format(script=silent).whole(events("call"))["choices"][0]["message"]["content"] is None
    message = format(script=silent).whole(events("-"))["choices"][0]["message"]
    assert message == {"role": "assistant", "content": ""}


@pytest.mark.parametrize(
    ("texts", "reason", "said"),
    [
        (["c"], "eos", "stop"),
        (["c"], "word", "stop"),
        (["c"], "limit", "length"),
        (["call"], "eos", "tool_calls"),
        (["call"], "word", "tool_calls"),
        (["call"], "limit", "length"),
    ],
)
def test_finish_reasons(texts, reason, said):
    assert format().whole(events(*texts, reason=reason))["choices"][0]["finish_reason"] == said
    assert list(format().chunks(events(*texts, reason=reason)))[-1]["choices"][0]["finish_reason"] == said


def test_choices_have_a_parser_each():
    mixed = [
        (1, TextEvent("c", (1,))),
        (0, TextEvent("call", (1,))),
        (1, TextEvent("r", (1,))),
        (0, finish()),
        (1, finish("limit")),
    ]
    first, second = format(2).whole(mixed)["choices"]
    assert first["message"]["tool_calls"][0]["id"] == "id0" and first["finish_reason"] == "tool_calls"
    assert second["message"] == {"role": "assistant", "content": "Hi !", "reasoning_content": "hm"}
    chunks = list(format(2, include_usage=True).chunks(mixed))
    of = [[c["choices"][0]["delta"] for c in chunks if c["choices"] and c["choices"][0]["index"] == i] for i in (0, 1)]
    assert of[1] == [
        {"role": "assistant", "content": ""},
        {"content": "Hi "},
        {"reasoning_content": "hm"},
        {"content": "!"},
        {},
    ]
    assert len(of[0]) == 5
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 6
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("streams_begun", [True, False])
def test_what_was_begun_is_part_of_the_whole_and_of_a_stream_on_demand(streams_begun):
    def begun_format():
        begun = (ReasoningDelta("hm "), ContentDelta("Well, "))
        return ChatFormat("tiny", [ChatChoice(0, Scripted(SCRIPT), begun, streams_begun)])

    message = begun_format().whole(events("c"))["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("hm ", "Well, Hi !")
    streamed = deltas(begun_format().chunks(events("c")))
    assert streamed[0] == {"role": "assistant", "content": ""}
    assert streamed[1:3] == ([{"reasoning_content": "hm "}, {"content": "Well, "}] if streams_begun else streamed[1:3])
    assert len(streamed) == (6 if streams_begun else 4)


def test_moments_without_news_pass_through_a_stream():
    assert list(format().chunks([None, *events("c")]))[1] is None
    assert format().whole([None, *events("c")])["choices"][0]["message"]["content"] == "Hi !"
