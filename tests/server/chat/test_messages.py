"""Messages of a chat request: what is let through, and how a wrong part is named."""

import pytest

from llamabox.server.chat.messages import check_messages
from llamabox.server.errors import BadRequest, NotSupported

CALL = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}

GOOD = [
    {"role": "system", "content": "x"},
    {"role": "developer", "content": [{"type": "text", "text": "x"}]},
    {"role": "user", "content": "x", "name": "anna"},
    {"role": "user", "content": "", "name": None},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "now", "arguments": {"a": 1}}}]},
    {"role": "assistant", "content": "x", "tool_calls": None, "refusal": None, "audio": None, "annotations": []},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    {"role": "assistant", "reasoning_content": "hm"},
    {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}},
    {"role": "tool", "content": "x", "tool_call_id": "c1"},
    {"role": "function", "content": "x", "name": "now"},
]


@pytest.mark.parametrize("message", GOOD, ids=range(len(GOOD)))
def test_what_clients_send_is_let_through(message):
    check_messages([message])


BAD = [
    ({"role": "boss", "content": "x"}, "role"),
    ({"role": None, "content": "x"}, "role"),
    ({"role": ["user"], "content": "x"}, "role"),
    ({"content": "x"}, "role"),
    ({"role": "user"}, "content"),
    ({"role": "user", "content": None}, "content"),
    ({"role": "user", "reasoning_content": "x"}, "content"),
    ({"role": "tool", "tool_call_id": "c1"}, "content"),
    ({"role": "assistant"}, "content"),
    ({"role": "user", "content": 5}, "content"),
    ({"role": "user", "content": {"text": "x"}}, "content"),
    ({"role": "user", "content": [5]}, "content[0]"),
    ({"role": "user", "content": [{"type": "text"}]}, "content[0]"),
    ({"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": 5}]}, "content[1]"),
    ({"role": "user", "content": "x", "name": 5}, "name"),
    ({"role": "tool", "content": "x", "tool_call_id": 5}, "tool_call_id"),
    ({"role": "assistant", "content": "x", "reasoning_content": []}, "reasoning_content"),
    ({"role": "assistant", "content": "x", "refusal": 1}, "refusal"),
    ({"role": "assistant", "tool_calls": "x"}, "tool_calls"),
    ({"role": "assistant", "tool_calls": [CALL, 5]}, "tool_calls[1]"),
    ({"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}, "tool_calls[0]"),
    ({"role": "assistant", "tool_calls": [{**CALL, "id": 5}]}, "tool_calls[0].id"),
    ({"role": "assistant", "tool_calls": [{"function": {}}]}, "tool_calls[0].function"),
    (
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 5}}]},
        "tool_calls[0].function.arguments",
    ),
    ({"role": "assistant", "function_call": {"name": 5}}, "function_call"),
]


@pytest.mark.parametrize(("message", "part"), BAD, ids=range(len(BAD)))
def test_a_wrong_part_is_named(message, part):
    with pytest.raises(BadRequest) as caught:
        check_messages([{"role": "user", "content": "x"}, message])
    assert caught.value.param == f"messages[1].{part}" and caught.value.message.startswith(f"messages[1].{part}")


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "input_video", "video_url", "file"])
def test_media_are_refused_with_the_flag_that_is_missing(kind):
    with pytest.raises(NotSupported, match="--mmproj"):
        check_messages([{"role": "user", "content": [{"type": kind, kind: {"url": "data:"}}]}])
