"""Fields of /completion that change what is told, on the chat model that ships."""

import json

import falcon.testing
import pytest
from tiny_server import tiny_context

from llamabox.server.app import create_app

BODY = {"prompt": "Write some lines.", "n_predict": 6, "temperature": 0, "cache_prompt": False}


@pytest.fixture(scope="module")
def tiny():
    with tiny_context(n_batch=32, n_ubatch=32) as context:
        yield falcon.testing.TestClient(create_app(context))


def whole(tiny, path="/completion", **fields):
    reply = tiny.simulate_post(path, json={**BODY, **fields})
    assert reply.status_code == 200, reply.text
    return reply.json


def streamed(tiny, path="/completion", **fields):
    text = tiny.simulate_post(path, json={**BODY, "stream": True, **fields}).text
    return [json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {")]


def test_progress_of_the_prompt_is_streamed_when_asked_for(tiny):
    prompt = [50 + i for i in range(80)]
    for path in ("/completion", "/v1/completions"):
        chunks = streamed(tiny, path, prompt=prompt, return_progress=True)
        told = [chunk["prompt_progress"] for chunk in chunks if "prompt_progress" in chunk]
        assert [p["processed"] for p in told] == [0, 32, 64, 80] and {p["total"] for p in told} == {80}
        assert {p["cache"] for p in told} == {0}
        assert not any("prompt_progress" in chunk for chunk in streamed(tiny, path, prompt=prompt))


def test_timings_come_with_each_token_when_asked_for(tiny):
    for path in ("/completion", "/v1/completions"):
        chunks = streamed(tiny, path, timings_per_token=True, ignore_eos=True)
        counts = [chunk["timings"]["predicted_n"] for chunk in chunks if "timings" in chunk]
        assert counts[:-1] == sorted(counts[:-1]) and len(counts) > 3
        assert sum("timings" in chunk for chunk in streamed(tiny, path, ignore_eos=True)) == 1


def test_tokens_are_told_when_asked_for(tiny):
    assert whole(tiny, ignore_eos=True)["tokens"] == []
    tokens = whole(tiny, ignore_eos=True, return_tokens=True)["tokens"]
    assert len(tokens) == 6 == len([t for c in streamed(tiny, ignore_eos=True) for t in c["tokens"]])


def test_probabilities_stream_one_by_one(tiny):
    chunks = streamed(tiny, n_probs=2, ignore_eos=True)[:-1]
    told = [entry for chunk in chunks for entry in chunk["completion_probabilities"]]
    assert [e["id"] for e in told] == [t for c in chunks for t in c["tokens"]] and len(told) == 6
    assert "completion_probabilities" not in whole(tiny, n_probs=0)
    assert len(whole(tiny, logprobs=3)["completion_probabilities"][0]["top_logprobs"]) == 3
    after = whole(tiny, n_probs=3, post_sampling_probs=True)["completion_probabilities"][0]
    assert after["prob"] == 1 and len(after["top_probs"]) == 1, "greedy leaves one"


def test_several_answers(tiny):
    for name in ("n", "n_cmpl"):
        answers = whole(tiny, temperature=1.5, seed=1, min_p=0, ignore_eos=True, **{name: 3})
        assert [a["index"] for a in answers] == [0, 1, 2] and len({a["content"] for a in answers}) > 1


def test_lines_end_an_answer(tiny):
    newline = {"logit_bias": [["\n", 100]], "ignore_eos": True, "n_predict": 8}
    assert whole(tiny, **newline)["content"] == "\n" * 8
    cut = whole(tiny, **newline, n_indent=2)
    assert cut["content"] == "\n" and cut["stop_type"] == "limit" and cut["has_new_line"] is True
    assert whole(tiny, **newline, t_max_predict_ms=10**9)["content"] == "\n" * 8


@pytest.mark.parametrize(
    ("prompt", "status", "word"),
    [
        ({"prompt_string": "x", "multimodal_data": ["aaaa"]}, 501, "--mmproj"),
        ({"text": "x"}, 400, "prompt_string"),
        ([], 400, "empty"),
        ([[]], 400, "no tokens"),
        ([1, 2.5], 400, "prompt[1]"),
        ([1, True], 400, "prompt[1]"),
        ([1, -1], 400, "token -1"),
        ([1, 10**9], 400, "token 1000000000"),
        ([None], 400, "prompt[0]"),
        ([["x", None]], 400, "prompt[0][1]"),
        (["x"] * 129, 400, "129 prompts"),
    ],
)
def test_prompts_that_are_not_right_are_named(tiny, prompt, status, word):
    reply = tiny.simulate_post("/completion", json={**BODY, "prompt": prompt})
    assert reply.status_code == status and word in reply.json["error"]["message"], reply.text
    assert reply.json["error"]["param"].startswith("prompt")
