"""Every route through falcon's TestClient: what goes to the engine, and what comes back."""

import json
from dataclasses import replace

import falcon.testing
import pytest
from server_fakes import make_context

from llamabox.engine import SpeculativeParams, Timings
from llamabox.logs import request_id
from llamabox.server.app import create_app
from llamabox.server.formats import timings_dict

CHAT, COMPLETIONS, COMPLETION = "/v1/chat/completions", "/v1/completions", "/completion"


def post(client, path, body, **kw):
    return client.simulate_post(path, json=body, **kw)


def events(result):
    """The data of each server-sent event."""
    lines = [line for line in result.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line[6:] for line in lines]


def chat_body(text="hi", **fields):
    return {"messages": [{"role": "user", "content": text}], **fields}


def test_health_says_503_while_loading_then_ok(engine):
    context = make_context(engine, ready=False)
    client = falcon.testing.TestClient(create_app(context))
    reply = client.simulate_get("/health")
    assert (reply.status_code, reply.json["error"]["message"]) == (503, "Loading model")
    assert reply.json["error"]["type"] == "unavailable_error" and reply.headers["retry-after"] == "1"
    context.model = make_context(engine).model
    assert client.simulate_get("/health").json == {"status": "ok"}


def test_models_and_props_name_the_served_model(client):
    models = client.simulate_get("/v1/models").json
    assert models["object"] == "list" and models["data"][0]["id"] == "tiny"
    props = client.simulate_get("/props").json
    assert props["total_slots"] == 2 and props["model_path"] == "/tiny.gguf"
    assert props["devices"] == ["CPU"]
    assert props["default_generation_settings"]["n_ctx"] == 200
    assert props["default_generation_settings"]["params"]["top_k"] == 40
    assert "add_generation_prompt" in props["chat_template"]


def test_tokenize_and_detokenize(client):
    assert post(client, "/tokenize", {"content": "aß"}).json == {"tokens": [97, 0xC3, 0x9F]}
    pieces = post(client, "/tokenize", {"content": "aß", "with_pieces": True}).json["tokens"]
    assert pieces == [{"id": 97, "piece": "a"}, {"id": 195, "piece": [195]}, {"id": 159, "piece": [159]}]
    assert post(client, "/detokenize", {"tokens": [97, 0xC3, 0x9F]}).json == {"content": "aß"}
    refused = post(client, "/detokenize", {"tokens": [97, 256]})
    assert refused.status_code == 400 and "tokens[1]: found 256" in refused.json["error"]["message"]


def test_chat_reply(client, engine):
    reply = post(client, CHAT, chat_body("hi", model="any name", temperature=0.5, max_tokens=9, stop="X"))
    body = reply.json
    assert body["object"] == "chat.completion" and body["model"] == "tiny"
    choice = body["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Hello wörld #7"}
    assert choice["finish_reason"] == "stop"
    n = len("<user>hi<assistant>")
    assert body["usage"] == {
        "prompt_tokens": n,
        "completion_tokens": 3,
        "total_tokens": n + 3,
        "prompt_tokens_details": {"cached_tokens": 1},
        "time_to_first_token_ms": 5.0,
        "time_per_output_token_ms": 2.0,
        "prompt_tokens_per_second": pytest.approx(1e3 * (n - 1) / 5),
        "tokens_per_second": pytest.approx(500.0),
        "draft_tokens": 0,
        "draft_tokens_acceptance": 0.0,
    }
    assert body["timings"]["predicted_per_second"] == pytest.approx(500.0)
    request = engine.generations[0].request
    assert bytes(request.prompt) == b"<user>hi<assistant>"
    assert (request.sampling.temperature, request.n_predict, request.stop) == (0.5, 9, ("X",))
    post(client, CHAT, chat_body("hi", max_tokens=9, max_completion_tokens=4))
    assert engine.generations[1].request.n_predict == 4


def test_chat_streams_role_text_reason_usage_done(client):
    body = chat_body(stream=True, stream_options={"include_usage": True}, max_tokens=3)
    reply = post(client, CHAT, body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-cache" and reply.headers["x-accel-buffering"] == "no"
    *chunks, done = events(reply)
    assert done == "[DONE]"
    chunks = [json.loads(chunk) for chunk in chunks]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]) == "Hello wörld #7"
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 3
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_choices_get_seeds_of_their_own(client, engine):
    body = post(client, CHAT, chat_body(n=3, seed=40)).json
    assert [c["message"]["content"] for c in body["choices"]] == [f"Hello wörld #{40 + i}" for i in range(3)]
    assert [c["index"] for c in body["choices"]] == [0, 1, 2]
    assert body["usage"]["completion_tokens"] == 9
    streamed = [json.loads(e) for e in events(post(client, CHAT, chat_body(n=2, seed=1, stream=True)))[:-1]]
    texts = {0: "", 1: ""}
    for chunk in streamed:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == {0: "Hello wörld #1", 1: "Hello wörld #2"}


def test_completions_shapes(client, engine):
    whole = post(client, COMPLETIONS, {"prompt": "abc", "max_tokens": 3}).json
    assert whole["object"] == "text_completion"
    assert whole["choices"] == [{"index": 0, "text": "Hello wörld #7", "logprobs": None, "finish_reason": "length"}]
    streamed = [json.loads(e) for e in events(post(client, COMPLETIONS, {"prompt": [97], "stream": True}))[:-1]]
    assert "".join(c["choices"][0]["text"] for c in streamed) == "Hello wörld #7"
    assert engine.generations[1].request.prompt == (97,)


def test_native_completion_shape(client):
    whole = post(client, COMPLETION, {"prompt": "abc", "n_predict": 3, "top_k": 5}).json
    assert whole["content"] == "Hello wörld #7" and whole["tokens"] == []
    assert whole["stop"] is True and whole["stop_type"] == "limit" and whole["tokens_predicted"] == 3
    assert whole["generation_settings"]["top_k"] == 5
    *chunks, last = [json.loads(e) for e in events(post(client, COMPLETION, {"prompt": "abc", "stream": True}))]
    assert [c["content"] for c in chunks] == ["Hello", " wörld #7"] and last["stop"] is True


def test_nulls_and_unknown_keys_are_as_if_absent(client, engine):
    body = chat_body(temperature=None, stop=None, n=None, seed=None, user="me", store=False, made_up={"a": [1]})
    assert post(client, CHAT, body).status_code == 200
    assert engine.generations[0].request.sampling.temperature == 0.8


def test_logit_bias_forms(client, engine):
    post(client, CHAT, chat_body(logit_bias={"97": -100, "98": False}))
    assert engine.generations[0].request.sampling.logit_bias == ((97, -100.0), (98, float("-inf")))
    post(client, COMPLETION, {"prompt": "x", "logit_bias": [[97, 1.5], ["bc", False]]})
    assert engine.generations[1].request.sampling.logit_bias == (
        (97, 1.5),
        (98, float("-inf")),
        (99, float("-inf")),
    )


def test_request_id_is_echoed_or_made(client):
    assert client.simulate_get("/health", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert len(client.simulate_get("/health").headers["x-request-id"]) == 32
    for bad in ("", "a b", "x" * 129, "ü"):
        reply = client.simulate_get("/health", headers={"X-Request-ID": bad})
        assert reply.status_code == 400 and reply.json["error"]["param"] == "X-Request-ID"
        assert len(reply.headers["x-request-id"]) == 32


BAD_FIELDS = [
    ("temperature", -1),
    ("temperature", "hot"),
    ("temperature", 1e300),
    ("top_p", 1.5),
    ("top_k", 2**40),
    ("top_k", 1.5),
    ("min_p", -0.1),
    ("seed", 2**70),
    ("seed", "x"),
    ("n", 0),
    ("n", 10**9),
    ("max_tokens", -2),
    ("max_tokens", 10**30),
    ("max_tokens", True),
    ("max_completion_tokens", "5"),
    ("stop", 5),
    ("stop", ["x"] * 17),
    ("stop", "x" * 1025),
    ("stream", "yes"),
    ("stream_options", [1]),
    ("messages", "hi"),
    ("messages", []),
    ("messages", [5]),
    ("logit_bias", {"999": 1}),
    ("logit_bias", {"97": "much"}),
    ("logit_bias", 3),
    ("samplers", ["magic"]),
    ("mirostat", 3),
    ("repeat_penalty", 0),
    ("dry_base", 0.5),
    ("presence_penalty", 1e300),
    ("repeat_last_n", -2),
    ("dry_sequence_breakers", [1]),
    ("speculative.n_max", -1),
    ("speculative.n_max", 10**30),
    ("speculative.n_max", True),
    ("speculative.n_max", 2.5),
    ("speculative.n_min", "3"),
    ("speculative.p_min", 1.01),
    ("speculative.p_min", -0.1),
]


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS, ids=[f"{f}={str(v)[:20]}" for f, v in BAD_FIELDS])
def test_a_bad_field_is_a_400_that_names_it(client, engine, field, value):
    reply = post(client, CHAT, {**chat_body(), field: value})
    assert reply.status_code == 400, reply.text
    error = reply.json["error"]
    assert error["type"] == "invalid_request_error" and error["code"] == 400
    assert error["param"].startswith(field) and error["message"].startswith(field)
    assert engine.generations == []


BODIES = [
    (b"", "application/json", 400),
    (b"{", "application/json", 400),
    (b"[]", "application/json", 400),
    (b'"x"', "application/json", 400),
    (b'{"prompt": "\xff"}', "application/json", 400),
    (b'{"prompt": NaN}', "application/json", 400),
    (b"[" * 100_000, "application/json", 400),
    (b'{"a":' * 70 + b"1" + b"}" * 70, "application/json", 400),
    (b"{}", "text/plain", 415),
    (b"prompt=x", "application/x-www-form-urlencoded", 415),
]


@pytest.mark.parametrize(("data", "content_type", "status"), BODIES, ids=range(len(BODIES)))
def test_a_bad_body_is_one_clear_error(client, data, content_type, status):
    reply = client.simulate_post(COMPLETION, body=data, headers={"Content-Type": content_type})
    assert reply.status_code == status and reply.json["error"]["type"] == "invalid_request_error"


def test_unknown_route_and_method(client):
    reply = client.simulate_get("/v2/nothing")
    assert reply.status_code == 404 and reply.json["error"]["type"] == "not_found_error"
    assert client.simulate_get(CHAT).status_code == 405 and "POST" in client.simulate_get(CHAT).headers["allow"]


def test_context_overflow_is_a_400_before_any_byte_that_programs_can_read(client):
    for stream in (False, True):
        reply = post(client, COMPLETIONS, {"prompt": "x" * 300, "stream": stream})
        assert reply.status_code == 400 and "300 tokens" in reply.json["error"]["message"]
        told = {key: reply.json["error"][key] for key in ("code", "type", "param", "n_prompt_tokens", "n_ctx")}
        assert told == {
            "code": "context_length_exceeded",
            "type": "exceed_context_size_error",
            "param": "prompt",
            "n_prompt_tokens": 300,
            "n_ctx": 200,
        }


def test_an_error_before_the_headers_is_a_500_and_after_them_an_event(client, context):
    reply = post(client, COMPLETIONS, {"prompt": "break"})
    assert reply.status_code == 500 and "l_out-3" in reply.json["error"]["message"]
    streamed = post(client, COMPLETIONS, {"prompt": "break", "stream": True})
    assert streamed.status_code == 200
    last = streamed.text.strip().split("\n\n")[-1]
    assert last.startswith("event: error\ndata: ") and "l_out-3" in last and "[DONE]" not in streamed.text
    assert context.admission.open == 0


def test_admission_refuses_when_full_and_frees_its_places(engine):
    context = make_context(engine, n_threads=10)  # 10 threads, 8 of them spare
    client = falcon.testing.TestClient(create_app(context))
    context.admission.enter()
    context.admission.enter()
    reply = post(client, CHAT, chat_body())
    assert reply.status_code == 503 and reply.headers["retry-after"] == "1"
    assert client.simulate_get("/health").status_code == 200
    context.admission.leave()
    assert post(client, CHAT, chat_body()).status_code == 200
    assert post(client, CHAT, chat_body(stream=True)).status_code == 200
    assert context.admission.open == 1


def test_a_client_that_is_gone_frees_its_generation(engine, context):
    app = create_app(context)
    gone = {"waitress.client_disconnected": lambda: True}
    client = falcon.testing.TestClient(app)
    assert post(client, COMPLETIONS, {"prompt": "silence"}, extras=gone).status_code == 499
    post(client, COMPLETIONS, {"prompt": "silence", "stream": True}, extras=gone)
    assert all(g.cancelled.is_set() for g in engine.generations) and context.admission.open == 0


def test_a_silent_stream_is_pinged_with_comments(client):
    for interval, pings in ((0, 2), (-1, 0), (30, 0)):
        looks = iter([False, False, True])
        gone = {"waitress.client_disconnected": lambda looks=looks: next(looks)}
        body = {"prompt": "silence", "stream": True, "sse_ping_interval": interval}
        assert post(client, COMPLETIONS, body, extras=gone).text == ": ping\n\n" * pings


def test_the_request_id_is_in_the_log_lines(client, caplog):
    caplog.set_level("DEBUG", logger="llamabox")
    seen = []
    handler = caplog.handler
    monitor = handler.emit
    handler.emit = lambda record: (seen.append(request_id.get()), monitor(record))
    post(client, CHAT, chat_body(), headers={"X-Request-ID": "trace-7"})
    assert seen and set(seen) == {"trace-7"}


def test_bounds_on_drafts_reach_the_engine_by_their_dotted_names(client, engine):
    post(client, COMPLETION, {"prompt": "x", "speculative.n_max": 3, "speculative.n_min": 1, "speculative.p_min": 0.5})
    assert engine.generations[0].request.speculative == SpeculativeParams(3, 1, 0.5)
    post(client, COMPLETION, {"prompt": "x"})
    assert engine.generations[1].request.speculative == SpeculativeParams(16, 5, 0.9)
    reply = post(client, COMPLETION, {"prompt": "x", "speculative.n_max": 3}).json["generation_settings"]
    assert (reply["speculative.n_max"], reply["speculative.n_min"], reply["speculative.p_min"]) == (3, 5, 0.9)


def test_timings_tell_of_drafts_where_there_were_any():
    plain = Timings(n_cached=0, n_prompt=5, prompt_ms=5.0, n_predicted=3, predicted_ms=6.0)
    assert not any(key.startswith("draft") for key in timings_dict(plain))
    told = timings_dict(replace(plain, n_drafted=8, n_accepted=6))
    assert (told["draft_n"], told["draft_n_accepted"]) == (8, 6)
