"""Our /completion and /infill beside llama-server's stored answers: the same files, flags and bodies."""

import json
import sys
from pathlib import Path

import falcon.testing
import pytest

from llamabox.cli.options import parse_options
from llamabox.cli.serve import server_settings
from llamabox.server.admission import Admission
from llamabox.server.app import create_app
from llamabox.server.context import ServerContext
from llamabox.server.loading import load_served

sys.path.append(str(Path(__file__).resolve().parents[2] / "conformance"))
import served_completions  # noqa: E402
import served_embeddings  # noqa: E402

STORED = json.loads(served_completions.STORED.read_text())
FLAGS = "-c 512 -np 1 -ctk f32 -ctv f32 --no-warmup --infill --backend numpy".split()
EQUAL = (
    "index", "content", "prompt", "tokens", "tokens_predicted", "tokens_evaluated", "has_new_line", "truncated", "stop",
    "stop_type", "stopping_word",
)  # fmt: skip
NUMBERS = {"logprob": 2e-4, "prob": 2e-5}


def client_of(path, flags=()):
    settings = server_settings(parse_options(["-m", str(path), *FLAGS, *flags], {}))
    context = ServerContext(Admission(-1, 1), settings.defaults, settings.access, settings.endpoints)
    context.model = load_served(settings)
    return falcon.testing.TestClient(create_app(context)), context.model.engine


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(folder):
    client, engine = client_of(served_embeddings.make(served_completions.F32, folder))
    yield client
    engine.close()


def check(found, expected):
    assert {key: found[key] for key in EQUAL} == {key: expected[key] for key in EQUAL}
    check_probs(found.get("completion_probabilities", []), expected.get("completion_probabilities", []))


def check_probs(found, expected):
    """The same tokens in the same order, numbers within the bound."""
    assert [entry["id"] for entry in found] == [entry["id"] for entry in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys() and (ours["token"], ours["bytes"]) == (theirs["token"], theirs["bytes"])
        for name in ours.keys() & NUMBERS:
            assert ours[name] == pytest.approx(theirs[name], abs=NUMBERS[name])
        for name in ours.keys() & {"top_logprobs", "top_probs"}:
            check_probs(ours[name], theirs[name])


@pytest.mark.parametrize("name", ["probs", "ids"])
def test_completions_and_their_probabilities(model, name):
    expected = STORED["completion"][name]
    assert len(expected["completion_probabilities"]) == 12
    check(model.simulate_post("/completion", json=served_completions.COMPLETIONS[name]).json, expected)


def test_probabilities_after_the_samplers(model):
    """The token is drawn by another generator there; what it was drawn from is the same."""
    body = served_completions.COMPLETIONS["sampled"]
    found = model.simulate_post("/completion", json=body).json["completion_probabilities"][0]
    expected = STORED["completion"]["sampled"]["completion_probabilities"][0]
    check_probs(found["top_probs"], expected["top_probs"])
    assert found.keys() == expected.keys() and len(found["top_probs"]) == 20


def test_only_the_fields_that_were_asked_for(model):
    reply = model.simulate_post("/completion", json=served_completions.COMPLETIONS["fields"]).json
    assert reply == STORED["completion"]["fields"]


def test_several_prompts_in_one_request(model):
    replies = model.simulate_post("/completions", json=served_completions.COMPLETIONS["several"]).json
    for found, expected in zip(replies, STORED["completion"]["several"], strict=True):
        check(found, expected)


@pytest.mark.parametrize("flags", served_completions.FLAGS)
@pytest.mark.parametrize("name", served_completions.MODELS)
def test_infill_lays_out_the_same_prompt(folder, name, flags):
    path = served_embeddings.make(served_completions.MODELS[name], folder)
    client, engine = client_of(path, served_completions.FLAGS[flags])
    for case, body in served_completions.INFILLS.items():
        expected = STORED["infill"][name + flags][case]
        reply = client.simulate_post("/infill", json=body)
        found = {key: reply.json[key] for key in ("prompt", "tokens_evaluated", "content")}
        assert found == {key: expected[key] for key in found}, case
    engine.close()


def test_infill_needs_tokens_of_the_vocabulary(model):
    reply = model.simulate_post("/infill", json=served_completions.INFILLS["plain"])
    assert reply.status_code == 501 and "prefix token is missing" in reply.json["error"]["message"]


def test_infill_is_off_unless_asked(client):
    reply = client.simulate_post("/infill", json=served_completions.INFILLS["plain"])
    assert reply.status_code == 501 and "--infill" in reply.json["error"]["message"]


@pytest.mark.parametrize(("flags", "order"), [([], "pre suf"), (["--spm-infill"], "suf pre")])
def test_suffix_is_the_plain_pattern_of_infill(folder, flags, order):
    client, engine = client_of(served_embeddings.make(served_completions.MODELS["starcoder"], folder), flags)
    fim, encode = engine.tokenizer.fim, engine.tokenizer.encode
    texts = {"pre": encode("def f(", add_special=False), "suf": encode("return x", add_special=False)}
    ids = [id for part in order.split() for id in (fim[part], *texts[part])] + [fim["mid"]]
    fields = {"max_tokens": 4, "temperature": 0, "ignore_eos": True}
    reply = client.simulate_post("/v1/completions", json={"prompt": "def f(", "suffix": "return x", **fields}).json
    plain = client.simulate_post("/v1/completions", json={"prompt": ids, **fields}).json
    assert reply["choices"][0]["text"] == plain["choices"][0]["text"] != ""
    assert reply["usage"]["prompt_tokens"] == len(ids)
    engine.close()
