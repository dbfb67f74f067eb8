"""/v1/embeddings, /embedding and /embeddings over a fake engine, whose vectors are (tokens, first byte, 0, -1)."""

import base64
import struct
from dataclasses import replace

import pytest

from llamabox.server.embedding import Embeddings, EmbeddingSettings, embedding_pooling


def post(client, path="/v1/embeddings", **body):
    return client.simulate_post(path, json=body)


def vectors(reply):
    assert reply.status_code == 200, reply.text
    return [entry["embedding"] for entry in reply.json["data"]]


@pytest.fixture
def serve(context):
    """serve(pooling=..., **settings): the embedding side of the served model."""

    def change(pooling="last", **settings):
        old = context.model.embeddings
        changed = replace(old, settings=replace(old.settings, **settings), pooling=pooling)
        context.model = replace(context.model, embeddings=changed)

    return change


def unit(*x):
    size = sum(v * v for v in x) ** 0.5
    return pytest.approx([v / size for v in x], rel=1e-6)


def test_the_reply_is_openai_s(client):
    reply = post(client, input=["hi", "abc"], model="m", user="u").json
    assert (reply["object"], reply["model"]) == ("list", "m")
    assert [(e["object"], e["index"]) for e in reply["data"]] == [("embedding", 0), ("embedding", 1)]
    assert reply["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert post(client, input="hi").json["model"] == "tiny"


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("hi", [b"hi"]),
        (["hi"], [b"hi"]),
        (["hi", "abc"], [b"hi", b"abc"]),
        ([7, 8, 9], [b"\7\10\11"]),
        ([[7, 8], [9]], [b"\7\10", b"\11"]),
        (["hi", [9]], [b"hi", b"\11"]),
        ([7, "hi", 9], [b"\7hi\11"]),
        ({"prompt_string": "hi"}, [b"hi"]),
        ([{"content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}], [b"hi"]),
    ],
    ids=str,
)
def test_every_form_of_input(client, value, texts):
    found = vectors(post(client, input=value, embd_normalize=-1))
    assert found == [[len(text), text[0], 0, -1] for text in texts]


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (None, "input"),
        ("", "input"),
        ([], "input"),
        (["a", ""], "input[1]"),
        (["a", []], "input[1]"),
        ([[1, None]], "input[0][1]"),
        ([[1, True]], "input[0][1]"),
        ([1.5], "input[0]"),
        ({"content": "x"}, "input"),
        ([{"content": [{"type": "image_url"}]}], "input[0].content[0]"),
        (["a"] * 2049, "input"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_input_that_is_none_is_refused_by_its_index(client, context, value, param):
    reply = post(client, input=value)
    assert reply.status_code == 400 and reply.json["error"]["param"] == param
    assert context.admission.open == 0


def test_vectors_have_length_one_unless_asked_otherwise(client, serve):
    assert vectors(post(client, input="hi")) == [unit(2, 104, 0, -1)]
    assert vectors(post(client, input="hi", embd_normalize=1)) == [pytest.approx([x / 107 for x in (2, 104, 0, -1)])]
    serve(normalize=-1)  # --embd-normalize -1
    assert vectors(post(client, input="hi")) == [[2, 104, 0, -1]]
    assert vectors(post(client, input="hi", embd_normalize=2)) == [unit(2, 104, 0, -1)]


def test_dimensions_shorten_and_normalise_again(client):
    assert vectors(post(client, input="hi", dimensions=2)) == [unit(2, 104)]
    assert vectors(post(client, input="hi", dimensions=4)) == [unit(2, 104, 0, -1)]
    reply = post(client, input="hi", dimensions=5)
    assert reply.status_code == 400 and reply.json["error"]["param"] == "dimensions"
    assert "found 5, expected at most 4" in reply.json["error"]["message"]


def test_base64_holds_the_same_numbers(client):
    text = vectors(post(client, input="hi", encoding_format="base64"))[0]
    assert list(struct.unpack("<4f", base64.b64decode(text))) == vectors(post(client, input="hi"))[0]
    assert post(client, input="hi", encoding_format="float").json == post(client, input="hi").json
    assert post(client, input="hi", encoding_format="hex").json["error"]["param"] == "encoding_format"


def test_pooling_none_is_refused_in_openai_s_form_and_gives_a_vector_a_token_in_llama_server_s(client, serve):
    serve(pooling="none")
    reply = post(client, input="hi")
    assert reply.status_code == 400 and "/embedding" in reply.json["error"]["message"]
    for path in ("/embedding", "/embeddings"):
        reply = post(client, path, content=["hi", "a"])
        assert reply.json == [
            {"index": 0, "embedding": [[2, 104, 0, -1], [2, 105, 0, -1]]},  # never normalised
            {"index": 1, "embedding": [[1, 97, 0, -1]]},
        ]


def test_llama_server_s_form(client):
    for path in ("/embedding", "/embeddings"):
        assert post(client, path, input="hi").json == [{"index": 0, "embedding": [unit(2, 104, 0, -1)]}]
    assert post(client, content="hi").json == post(client, "/embedding", content="hi").json  # the field chooses
    largest = post(client, "/embedding", content="hi", embd_normalize=0).json[0]["embedding"][0]
    assert largest == pytest.approx([x / 104 * 32760 for x in (2, 104, 0, -1)])
    assert post(client, "/embedding").json["error"]["param"] == "input"


def test_scores_of_a_classifier_are_never_normalised(client, serve):
    serve(pooling="rank")
    assert vectors(post(client, input="hi", embd_normalize=2)) == [[2, 104, 0, -1]]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embedding", "/embeddings"])
def test_the_endpoint_opens_with_embeddings_or_rerank(client, serve, path):
    for embeddings, rerank, status in ((False, False, 501), (True, False, 200), (False, True, 200)):
        serve(embeddings=embeddings, rerank=rerank)
        reply = post(client, path, input="hi")
        assert reply.status_code == status
    serve(embeddings=False, rerank=False)
    error = post(client, path, input="hi").json["error"]
    assert error["type"] == "not_supported_error" and "--embeddings" in error["message"]


def test_chat_goes_on_beside_embeddings_and_an_encoder_has_none(client, context):
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    assert post(client, "/v1/chat/completions", **chat).status_code == 200
    context.model = replace(context.model, generates=False)
    for path, body in (
        ("/v1/chat/completions", chat),
        ("/v1/completions", {"prompt": "hi"}),
        ("/completion", {"prompt": "hi"}),
    ):
        error = post(client, path, **body).json["error"]
        assert (error["code"], error["type"]) == (501, "not_supported_error") and "embedding model" in error["message"]
    assert post(client, input="hi").status_code == 200


def test_an_engine_s_error_is_told(client, context):
    error = post(client, input=["hi", "break"]).json["error"]
    assert (error["code"], error["message"]) == (500, "embeddings are NaN")
    assert context.admission.open == 0


class FakeLoaded:
    def __init__(self, pooling, causal, rank_pooling="cls"):
        self.pooling, self.causal, self.rank_pooling = pooling, causal, rank_pooling


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        (FakeLoaded("cls", False), None, "cls"),
        (FakeLoaded("cls", False), "mean", "mean"),
        (FakeLoaded("mean", False), "none", "none"),
        (FakeLoaded("none", True), None, "last"),
        (FakeLoaded("none", False), None, "mean"),
        (FakeLoaded("rank", False), None, "cls"),
        (FakeLoaded("rank", True, "last"), None, "last"),
        (FakeLoaded("rank", False), "rank", "rank"),
    ],
)
def test_pooling_is_the_option_s_or_the_file_s(model, asked, expected):
    assert embedding_pooling(model, asked) == expected


def test_rerank_opens_as_llama_server_has_it():
    assert EmbeddingSettings(embeddings=True, pooling="rank").opens_rerank
    assert not EmbeddingSettings(embeddings=True).opens_rerank
    assert Embeddings().settings == EmbeddingSettings(False, False, None, 2)
