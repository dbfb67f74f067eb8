"""Our server beside llama-server's stored answers: the same files, flags and bodies, real vocabularies."""

import json
import sys
from pathlib import Path

import falcon.testing
import numpy as np
import pytest

from llamabox.cli.options import parse_options
from llamabox.cli.serve import server_settings
from llamabox.server.admission import Admission
from llamabox.server.app import create_app
from llamabox.server.context import ServerContext
from llamabox.server.loading import load_served

sys.path.append(str(Path(__file__).resolve().parents[2] / "conformance"))
import served_embeddings  # noqa: E402
from logits import nmse  # noqa: E402

STORED = json.loads(served_embeddings.STORED.read_text())
BOUND, BOUND_GELU = 1e-8, 1e-6  # as in conformance/archs/README.md
SCORES = 5  # times the bound: a score is a small sum of large products, so GELU's rounding in llama.cpp shows more
EXACT = ("nomic-bert", "qwen3-embedding", "qwen3-rerank")  # no GELU in them
FLAGS = ["-c", "1024", "-np", "4", "-ctk", "f32", "-ctv", "f32", "--no-warmup", "--backend"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module", params=served_embeddings.CASES)
def served(request, folder):
    """(name, case, client of a server started with the case's flags)"""
    case = served_embeddings.CASES[request.param]
    path = served_embeddings.make(case, folder)
    backend = "numpy" if request.param == "bert" else "cpu"
    settings = server_settings(parse_options(["-m", str(path), *case.flags, *FLAGS, backend], {}))
    context = ServerContext(Admission(-1, 4), settings.defaults)
    context.model = load_served(settings)
    yield request.param, case, falcon.testing.TestClient(create_app(context))
    context.model.engine.close()


def test_answers_are_llama_server_s(served):
    name, case, client = served
    bound = BOUND if name in EXACT else BOUND_GELU
    for path in case.paths:
        reply, expected = client.simulate_post(path, json=served_embeddings.body(path)), STORED["replies"][name][path]
        assert reply.status_code == 200, reply.text
        check = {"/v1/embeddings": check_openai, "/embedding": check_native, "/rerank": check_scores}[path]
        check(reply.json, expected, bound)


def check_openai(found, expected, bound):
    assert found["usage"] == expected["usage"]  # the same tokens
    for ours, theirs in zip(found["data"], expected["data"], strict=True):
        assert (ours["index"], ours["object"]) == (theirs["index"], theirs["object"])
        assert nmse(theirs["embedding"], ours["embedding"]) <= bound


def check_native(found, expected, bound):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["index"] == theirs["index"]
        assert nmse(theirs["embedding"], ours["embedding"]) <= bound


def check_scores(found, expected, bound):
    assert found["usage"] == expected["usage"]
    results = expected["results"]
    assert [r["index"] for r in found["results"]] == [r["index"] for r in results]
    theirs, ours = (np.array([r["relevance_score"] for r in some]) for some in (results, found["results"]))
    assert nmse(theirs, ours) <= SCORES * bound
    assert nmse(theirs - theirs.mean(), ours - theirs.mean()) <= 2 * SCORES * bound  # what tells documents apart


def test_what_is_stored_is_what_is_asked():
    assert {name: tuple(replies) for name, replies in STORED["replies"].items()} == {
        name: case.paths for name, case in served_embeddings.CASES.items()
    }
