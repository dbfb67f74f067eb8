"""Chat requests as llama-server answers them, with the chat model that ships; see conformance/chat_server.py."""

import json
from pathlib import Path

import falcon.testing
import pytest

from llamabox.assets import tiny_chat_path
from llamabox.engine import SamplingParams
from llamabox.server.admission import Admission
from llamabox.server.app import create_app
from llamabox.server.context import ServerContext
from llamabox.server.loading import load_served
from llamabox.server.requests import Defaults
from llamabox.server.settings import ServerSettings

RESULTS = Path(__file__).parents[3] / "conformance" / "results" / "chat_server.json"
CASES = json.loads(RESULTS.read_text())["cases"]
CHAT = "/chat/completions"
UNLIKE = {  # what differs, in which part of the answer, and why
    "tools, required": ("content", "calls", "finish_reason", "tokens"),  # llama-server leaves it unconstrained: no call
    "tools, one at a time": ("tokens",),  # a sentence that is complete ends here without an end token
    "schema": ("content",),  # llama-server's grammar of a chat; its /completion with this schema is as ours
    "json": ("content",),  # the same
}


@pytest.fixture(scope="module")
def client():
    defaults = Defaults(SamplingParams())
    settings = ServerSettings(str(tiny_chat_path()), defaults, load={"backend": "numpy"}, warmup=False)
    context = ServerContext(Admission(-1, 1), defaults)
    context.model = load_served(settings)
    yield falcon.testing.TestClient(create_app(context))
    context.model.engine.close(timeout_s=5)


def answer(reply):
    """The parts of a reply that conformance/chat_server.py keeps."""
    body = reply.json
    if "choices" not in body:
        return {"status": reply.status_code, **body}
    choice, message = body["choices"][0], body["choices"][0]["message"]
    calls = [call["function"] for call in message.get("tool_calls", [])]
    return {
        "status": reply.status_code,
        "content": message["content"] or "",
        "calls": [{"name": call["name"], "arguments": json.loads(call["arguments"])} for call in calls],
        "finish_reason": choice["finish_reason"],
        "tokens": [body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]],
    }


@pytest.mark.parametrize("case", CASES, ids=[f"{case['path'].rpartition('/')[2]}-{case['name']}" for case in CASES])
def test_requests_are_answered_as_by_llama_server(client, case):
    ours = answer_or_error(client.simulate_post(case["path"], json=case["body"]))
    theirs = case["answer"]
    if theirs["status"] != 200:
        assert ours["status"] in (400, 501), ours
    else:
        unlike = UNLIKE.get(case["name"], ()) if case["path"] == CHAT else ()
        for name in theirs:
            assert (ours.get(name) == theirs[name]) is (name not in unlike), name


def test_a_required_call_is_made(client):
    [case] = [case for case in CASES if case["path"] == CHAT and case["name"] == "tools, required"]
    ours = answer(client.simulate_post(CHAT, json=case["body"]))
    assert len(ours["calls"]) == 1 and ours["finish_reason"] == "tool_calls"


def answer_or_error(reply):
    return answer(reply) if reply.status_code == 200 else {"status": reply.status_code, **reply.json}
