"""Embeddings and rerank as clients use them: OpenAI's SDK and plain HTTP, real sockets, engine and vocabularies."""

import base64
import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openai
import pytest
from test_sockets import running

from llamabox.cli.options import parse_options
from llamabox.cli.serve import server_settings
from llamabox.server.admission import Admission
from llamabox.server.context import ServerContext
from llamabox.server.loading import load_served

sys.path.append(str(Path(__file__).resolve().parents[2] / "conformance"))
import served_embeddings as stored  # noqa: E402

SEED_EXAMPLE = {
    "model": "jina-reranker-v1-tiny-en",
    "query": "Organic skincare products for sensitive skin",
    "top_n": 3,
    "documents": stored.DOCUMENTS,
}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """start(Case, *flags) -> (context, port) of a server, kept for the module."""
    folder, open_servers, contexts = tmp_path_factory.mktemp("models"), [], []

    def server(case, *flags):
        path = stored.make(case, folder)
        settings = server_settings(parse_options(["-m", str(path), "--no-warmup", *flags], {}))
        context = ServerContext(Admission(-1, settings.n_parallel), settings.defaults)
        context.model = load_served(settings)
        contexts.append(context)
        open_servers.append(running(context))
        return context, open_servers[-1].__enter__()

    yield server
    for opened in open_servers:
        opened.__exit__(None, None, None)
    for context in contexts:
        context.model.engine.close(timeout_s=5)


@pytest.fixture(scope="module")
def encoder(start):
    return start(stored.CASES["bert"], "--embeddings")


@pytest.fixture(scope="module")
def client(encoder):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{encoder[1]}/v1", api_key="x", max_retries=0)


def post(port, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    result = reply.status, json.loads(reply.read())
    connection.close()
    return result


def test_the_sdk_s_default_of_base64_and_floats_are_the_same(client):
    default = client.embeddings.create(model="m", input=["hello world", "a"])  # the SDK asks for base64
    floats = client.embeddings.create(model="m", input=["hello world", "a"], encoding_format="float")
    assert [e.embedding for e in default.data] == [e.embedding for e in floats.data]
    assert all(np.linalg.norm(e.embedding) == pytest.approx(1, abs=1e-6) for e in default.data)
    text = client.embeddings.create(model="m", input="a", encoding_format="base64").data[0].embedding
    assert np.frombuffer(base64.b64decode(text), "<f4").tolist() == default.data[1].embedding


def test_dimensions_and_token_ids(client, encoder):
    whole = client.embeddings.create(model="m", input="hello world").data[0].embedding
    short = client.embeddings.create(model="m", input="hello world", dimensions=16).data[0].embedding
    np.testing.assert_allclose(short, np.array(whole[:16]) / np.linalg.norm(whole[:16]), rtol=1e-5)
    ids = encoder[0].model.tokenizer.encode("hello world")
    assert client.embeddings.create(model="m", input=ids).data[0].embedding == whole
    assert client.embeddings.create(model="m", input=[ids, [101]]).usage.prompt_tokens == len(ids) + 1


def test_errors_are_openai_s(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.embeddings.create(model="m", input=["short", "long " * 300])
    assert error.value.param == "input[1]" and "too large" in str(error.value)
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="m", input="")
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert refused.value.status_code == 501


def test_many_clients_with_batches_of_mixed_size_get_what_each_gets_alone(client):
    batches = [
        [f"text {i} " + "word " * (7 * i % 40) for i in range(n, n + size)] for n, size in enumerate((1, 9, 2, 30))
    ]
    alone = [[client.embeddings.create(model="m", input=t).data[0].embedding for t in batch] for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(client.embeddings.create, model="m", input=batches[i % 4]) for i in range(16)]
        for i, job in enumerate(jobs):
            assert [e.embedding for e in job.result().data] == alone[i % 4]  # the same bits in any batch


def test_the_example_of_llama_box_s_readme(start):
    _, port = start(stored.CASES["jina-bert-v2-rank"], "-c", "8192", "-np", "4", "--rerank")
    status, reply = post(port, "/v1/rerank", SEED_EXAMPLE)
    assert status == 200 and reply["model"] == SEED_EXAMPLE["model"]
    results = reply["results"]
    assert len(results) == 3
    assert [r["relevance_score"] for r in results] == sorted((r["relevance_score"] for r in results), reverse=True)
    assert all(r["document"]["text"] == SEED_EXAMPLE["documents"][r["index"]] for r in results)
    raw = post(port, "/rerank", {**SEED_EXAMPLE, "normalize": False})[1]["results"]
    for ours, score in zip(results, raw, strict=True):
        assert ours["relevance_score"] == pytest.approx(1 / (1 + np.exp(-score["relevance_score"])))
    long = {**SEED_EXAMPLE, "documents": ["short", "long " * 600]}
    status, error = post(port, "/v1/rerank", long)
    assert status == 400 and error["error"]["param"] == "documents[1]" and "too large" in error["error"]["message"]
    assert post(port, "/v1/embeddings", {"input": "hi"})[0] == 200  # --rerank opens it too


def test_a_text_model_serves_chat_and_embeddings_and_no_rerank(start):
    case = stored.Case("llama", "llama-spm", (), ())
    context, port = start(case, "--embeddings", "--rerank", "-c", "512", "-np", "2")
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="x", max_retries=0)
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "temperature": 0, "seed": 1}
    alone = client.chat.completions.create(**chat).choices[0].message.content
    texts = ["a text", "another text " * 9, "x"]
    vectors = [e.embedding for e in client.embeddings.create(model="m", input=texts).data]
    with ThreadPoolExecutor(6) as pool:
        chats = [pool.submit(client.chat.completions.create, **chat) for _ in range(3)]
        embeddings = [pool.submit(client.embeddings.create, model="m", input=texts) for _ in range(3)]
        assert all(job.result().choices[0].message.content == alone for job in chats)
        assert all([e.embedding for e in job.result().data] == vectors for job in embeddings)
    status, error = post(port, "/v1/rerank", SEED_EXAMPLE)
    assert status == 501 and "no reranker" in error["error"]["message"]
    assert context.model.engine.status().running == 0


def test_without_the_flags_the_endpoints_are_off(start):
    _, port = start(stored.Case("llama", "llama-spm", (), ()))
    for path, body in (("/v1/embeddings", {"input": "hi"}), ("/v1/rerank", SEED_EXAMPLE)):
        status, error = post(port, path, body)
        assert status == 501 and error["error"]["type"] == "not_supported_error"
