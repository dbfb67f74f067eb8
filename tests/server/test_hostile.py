"""Every field of every endpoint with values of wrong type, sign and size: a 200, or one clear 4xx or 501."""

import json

import msgspec
import pytest

from llamabox.server import schemas

VALUES = [
    None, -1, 0, 1, 1e308, -1e308, 2**63, -(2**63), 10**40, "x", "", [], {}, [[]], True, "a" * 5000, [None], {"a": 1},
    0.5, -0.5, [1e300], {"type": []}, ["x", 1], float("nan"), float("inf"), [float("-inf")],
]  # fmt: skip
BODIES = {
    "/v1/chat/completions": (schemas.ChatBody, {"messages": [{"role": "user", "content": "hi"}]}),
    "/v1/completions": (schemas.CompletionsBody, {"prompt": "hi"}),
    "/completion": (schemas.CompletionBody, {"prompt": "hi"}),
    "/tokenize": (schemas.TokenizeBody, {"content": "hi"}),
    "/detokenize": (schemas.DetokenizeBody, {"tokens": [104]}),
    "/v1/embeddings": (schemas.EmbeddingsBody, {"input": "hi"}),
    "/embedding": (schemas.NativeEmbeddingBody, {"input": "hi"}),
    "/v1/rerank": (schemas.RerankBody, {"query": "hi", "documents": ["a", "b"]}),
}
CASES = [(path, field.encode_name) for path, (kind, _) in BODIES.items() for field in msgspec.structs.fields(kind)]


@pytest.mark.parametrize(("path", "field"), CASES)
def test_no_value_of_a_field_is_a_server_error(client, context, path, field):
    refused = 0
    for value in VALUES:
        data = json.dumps({**BODIES[path][1], field: value})
        reply = client.simulate_post(path, body=data, headers={"Content-Type": "application/json"})
        assert reply.status_code in (200, 400, 501), (value, reply.text)
        if reply.status_code != 200:
            refused += 1
            error = reply.json["error"]
            assert error["message"] and error["param"].startswith(field), value
            assert error["code"] in (reply.status_code, "context_length_exceeded"), value
    assert refused > 0 or field == "model"
    assert context.admission.open == 0
