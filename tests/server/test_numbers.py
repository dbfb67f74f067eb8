"""Every numeric field of every body, found in the schemas: hostile numbers are a 400 that names it, nothing breaks."""

import json
import types
import typing

import msgspec
import pytest

from llamabox.server import schemas
from llamabox.server.endpoints import Endpoints
from llamabox.server.messages.body import MessagesBody
from llamabox.server.responses.body import ResponsesBody

GOOD = {
    "ChatBody": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    "CompletionsBody": ("/v1/completions", {"prompt": "hi"}),
    "CompletionBody": ("/completion", {"prompt": "hi"}),
    "InfillBody": ("/infill", {"input_prefix": "a", "input_suffix": "b"}),
    "EmbeddingsBody": ("/v1/embeddings", {"input": "hi"}),
    "NativeEmbeddingBody": ("/embedding", {"input": "hi"}),
    "RerankBody": ("/v1/rerank", {"query": "a", "documents": ["b"]}),
    "ResponsesBody": ("/v1/responses", {"input": "hi"}),
    "MessagesBody": ("/v1/messages", {"model": "x", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}),
}
KINDS = vars(schemas) | {"ResponsesBody": ResponsesBody, "MessagesBody": MessagesBody}
WRONG = ['"5"', "true", "[1]", "{}", "NaN", "1e999", "-1e999", "-100000000000000000000000000", "1" + "0" * 40, "-1e300"]
LARGE = {"seed": 2**63, "t_max_predict_ms": 2**63}


def number_of(hint):
    """int or float, where a field is one or null; None: it is something else."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = [typing.get_args(k)[0] if typing.get_origin(k) is typing.Annotated else k for k in kinds]
    kinds = [k for k in kinds if k is not type(None)]
    return kinds[0] if len(kinds) == 1 and kinds[0] in (int, float) else None


def numeric_fields():
    for name, (path, body) in GOOD.items():
        kind = KINDS[name]
        hints = typing.get_type_hints(kind, include_extras=True)
        for field in msgspec.structs.fields(kind):
            number = number_of(hints[field.name])
            if number is not None:
                yield pytest.param(path, body, field.encode_name, number, id=f"{path}-{field.encode_name}")


@pytest.fixture(autouse=True)
def infill_is_open(context):
    context.endpoints = Endpoints(infill=True)
    context.model.tokenizer.fim = {"pre": 3, "suf": 4, "mid": 5}
    context.model.engine.options = types.SimpleNamespace(n_batch=2048)


def post(client, path, data):
    return client.simulate_post(path, body=data, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(("path", "body", "field", "number"), list(numeric_fields()))
def test_a_hostile_number_is_a_400_that_names_its_field(client, context, engine, path, body, field, number):
    large = LARGE.get(field, 2**31) if number is int else 10**30
    for text in [*WRONG, str(large), *(["1.5"] if number is int else [])]:
        reply = post(client, path, f'{json.dumps(body)[:-1]}, "{field}": {text}}}')
        error = reply.json["error"]
        assert reply.status_code == 400, (text, reply.text)
        named = field in error["message"] or "not valid JSON" in error["message"]  # NaN is no JSON
        assert named and error["type"] == "invalid_request_error", (text, error)
    assert engine.generations == [] and context.admission.open == 0
    assert post(client, path, json.dumps(body)).status_code == 200


def test_every_body_is_in_the_table():
    bodies = {name for name in schemas.__all__ if name.endswith("Body")}
    without = {"DetokenizeBody", "SlotFileBody", "TokenizeBody"}  # no numbers
    assert bodies - GOOD.keys() == without
    assert len(list(numeric_fields())) > 100


WHOLE = ["true", "NaN", "1e999", "-1", "-1e300", "1" + "0" * 40, "1.5"]
REAL = ["true", "NaN", "1e999", "-1e300", "1" + "0" * 40, '"x"']
INSIDE = [
    ("/completion", '{"prompt": [%s]}', "prompt", WHOLE),
    ("/v1/completions", '{"prompt": [%s]}', "prompt", WHOLE),
    ("/completion", '{"prompt": "hi", "lora": [{"id": %s, "scale": 1}]}', "lora", WHOLE),
    ("/completion", '{"prompt": "hi", "lora": [{"id": 0, "scale": %s}]}', "lora", REAL),
    ("/completion", '{"prompt": "hi", "logit_bias": [[%s, 1]]}', "logit_bias", WHOLE),
    ("/completion", '{"prompt": "hi", "logit_bias": [[65, %s]]}', "logit_bias", REAL),
    (
        "/v1/chat/completions",
        '{"messages": [{"role": "user", "content": "hi"}], "logit_bias": {"65": %s}}',
        "bias",
        REAL,
    ),
    ("/v1/messages", '{"max_tokens": 5, "messages": [], "thinking": {"budget_tokens": %s}}', "", WHOLE),
    ("/detokenize", '{"tokens": [%s]}', "tokens", WHOLE),
    ("/v1/embeddings", '{"input": [%s]}', "input", ["true", "NaN", "1e999", "1.5"]),  # ids: the engine's to check
]


@pytest.mark.parametrize(("path", "body", "field", "values"), INSIDE, ids=[f"{i[0]}-{i[1][:40]}" for i in INSIDE])
def test_hostile_numbers_inside_lists_and_objects(client, context, engine, path, body, field, values):
    for text in values:
        reply = post(client, path, body % text)
        assert reply.status_code == 400, (text, reply.text)
        message = reply.json["error"]["message"]
        assert field in message or "not valid JSON" in message, (text, message)
    assert engine.generations == [] and context.admission.open == 0
