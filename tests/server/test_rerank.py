"""/v1/rerank and its other names over a fake engine, whose score of a prompt is its number of tokens."""

import math
from dataclasses import replace

import pytest

DOCUMENTS = ["bb", "dddd", "a", "ccc"]
N_AROUND = 4  # BOS query EOS document EOS, of the query "q"


def post(client, path="/v1/rerank", **body):
    return client.simulate_post(path, json={"query": "q", **body})


def found(reply):
    assert reply.status_code == 200, reply.text
    return [(result["index"], result["relevance_score"]) for result in reply.json["results"]]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v1/reranking", "/v2/rerank", "/rerank", "/reranking"])
def test_documents_come_best_first_under_every_name(client, path):
    reply = post(client, path, documents=DOCUMENTS, normalize=False, model="m")
    assert found(reply) == [(i, len(DOCUMENTS[i]) + N_AROUND) for i in (1, 3, 0, 2)]
    assert (reply.json["model"], reply.json["object"]) == ("m", "list")
    n_tokens = sum(map(len, DOCUMENTS)) + N_AROUND * 4
    assert reply.json["usage"] == {"prompt_tokens": n_tokens, "total_tokens": n_tokens}


def test_scores_are_sigmoids_unless_normalize_is_false(client):
    raw = dict(found(post(client, documents=DOCUMENTS, normalize=False)))
    for body in ({}, {"normalize": True}, {"normalize": None}):
        scores = found(post(client, documents=DOCUMENTS, **body))
        assert [i for i, _ in scores] == [1, 3, 0, 2]
        assert all(score == pytest.approx(1 / (1 + math.exp(-raw[i]))) for i, score in scores)


@pytest.mark.parametrize(("top_n", "count"), [(None, 4), (1, 1), (2, 2), (99, 4)])
def test_top_n(client, top_n, count):
    assert [i for i, _ in found(post(client, documents=DOCUMENTS, top_n=top_n))] == [1, 3, 0, 2][:count]


def test_documents_come_back_unless_refused(client):
    documents = ["bb", {"text": "dddd"}]
    results = post(client, documents=documents).json["results"]
    assert [r["document"] for r in results] == [{"text": "dddd"}, {"text": "bb"}]
    results = post(client, documents=documents, return_documents=False).json["results"]
    assert all("document" not in r for r in results)
    with_query = post(client, query={"text": "q"}, documents=documents, normalize=False)
    assert found(with_query) == found(post(client, documents=documents, normalize=False))


def test_text_embeddings_inference_s_form(client):
    reply = post(client, texts=DOCUMENTS[:2], raw_scores=True)
    assert reply.json == [{"index": 1, "score": 4 + N_AROUND}, {"index": 0, "score": 2 + N_AROUND}]
    scores = [r["score"] for r in post(client, texts=DOCUMENTS[:2], return_text=True, top_n=1).json]
    assert scores == [pytest.approx(1 / (1 + math.exp(-8)))]
    assert post(client, texts=DOCUMENTS, return_text=True).json[0]["text"] == "dddd"


def test_equal_scores_keep_their_order(client):
    assert [i for i, _ in found(post(client, documents=["aa", "bb", "cc"]))] == [0, 1, 2]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "documents"),
        ({"documents": None}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": 123}, "documents"),
        ({"documents": ["a", 1]}, "documents[1]"),
        ({"documents": ["a", ""]}, "documents[1]"),
        ({"documents": ["a", {"txt": "x"}]}, "documents[1]"),
        ({"documents": ["a"] * 2049}, "documents"),
        ({"texts": ["a", ""]}, "texts[1]"),
        ({"documents": ["a"], "query": ""}, "query"),
        ({"documents": ["a"], "query": 3}, "query"),
        ({"documents": ["a"], "top_n": 0}, "top_n"),
        ({"documents": ["a"], "top_n": -1}, "top_n"),
        ({"documents": ["a"], "normalize": 1}, "normalize"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_wrong_is_named(client, context, body, param):
    reply = post(client, **body)
    assert reply.status_code == 400 and reply.json["error"]["param"] == param
    assert context.admission.open == 0


def test_it_is_off_without_the_flag_or_the_model(client, context):
    served = context.model
    for change, message in (
        ({"settings": replace(served.embeddings.settings, rerank=False)}, "--rerank"),
        ({"classifier": False}, "no reranker"),
    ):
        context.model = replace(served, embeddings=replace(served.embeddings, **change))
        error = post(client, documents=["a"]).json["error"]
        assert (error["code"], error["type"]) == (501, "not_supported_error") and message in error["message"]
