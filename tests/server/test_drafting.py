"""A server that drafts: the draft model is loaded and compared, and replies tell what became of the guesses."""

import subprocess
import sys
from pathlib import Path

import falcon.testing
import pytest

from llamabox.engine import RequestError, SamplingParams, SpeculativeParams
from llamabox.server.admission import Admission
from llamabox.server.app import create_app
from llamabox.server.context import ServerContext
from llamabox.server.loading import load_served
from llamabox.server.requests import Defaults
from llamabox.server.settings import ServerSettings, SpeculationSettings

ROOT = Path(__file__).parents[2]
DEFAULTS = Defaults(SamplingParams(), speculative=SpeculativeParams(8, 1, 0.0))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small random models of two vocabularies, by name."""
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for name, vocabulary in (("llama", "llama-spm"), ("other", "gpt-2")):
        made[name] = str(folder / f"{name}.gguf")
        skeleton = ROOT / "conformance" / "archs" / "skeletons" / "llama.json"
        command = [sys.executable, ROOT / "tools" / "make_model.py", skeleton]
        command += [ROOT / "conformance" / "vocabs" / f"ggml-vocab-{vocabulary}.gguf", made[name]]
        subprocess.run(command, check=True, timeout=60)
    return made


def load(target, **speculation):
    settings = SpeculationSettings(**speculation) if speculation else None
    load = {"backend": "numpy"}
    return load_served(
        ServerSettings(target, DEFAULTS, load=load, n_ctx=512, n_parallel=2, warmup=False, speculation=settings)
    )


def completion(served, **fields):
    context = ServerContext(Admission(-1, 2), DEFAULTS)
    context.model = served
    body = {"prompt": "Once upon a time", "temperature": 0, "n_predict": 30, "ignore_eos": True, **fields}
    reply = falcon.testing.TestClient(create_app(context)).simulate_post("/completion", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json


def test_replies_are_the_same_and_tell_of_drafts(files):
    plain = load(files["llama"])
    expected = completion(plain)
    assert "draft_n" not in expected["timings"]
    plain.engine.close()
    served = load(files["llama"], path=files["llama"])
    reply = completion(served)
    assert reply["content"] == expected["content"]
    assert 20 <= reply["timings"]["draft_n_accepted"] <= reply["timings"]["draft_n"]
    fewer = completion(served, **{"speculative.n_max": 1, "cache_prompt": False})
    assert fewer["content"] == expected["content"]
    assert fewer["timings"]["draft_n"] <= 15
    assert "draft_n" not in completion(served, **{"speculative.n_max": 0})["timings"]
    status = served.engine.status()
    assert status.drafted_tokens == reply["timings"]["draft_n"] + fewer["timings"]["draft_n"]
    served.engine.close()


def test_n_gram_lookup(files, tmp_path):
    dynamic = tmp_path / "dynamic"
    served = load(files["llama"], ngram_min=1, dynamic=str(dynamic))
    bias = [[15043, 1000]]
    reply = completion(served, logit_bias=bias)
    assert reply["content"] == " Hello" * 30
    assert reply["timings"]["draft_n_accepted"] > 15
    served.engine.close(timeout_s=5)
    assert dynamic.stat().st_size > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"grammar": 'root ::= ("abc " | "de, ")+'},
        {"json_schema": {"type": "array", "items": {"type": "integer"}, "minItems": 8}},
        {"grammar": 'root ::= ("abc " | "de, ")+', "temperature": 1.0, "seed": 4, "top_k": 0},
    ],
    ids=["grammar", "json_schema", "sampled"],
)
def test_constrained_answers_are_those_without(files, fields):
    plain, served = load(files["llama"]), load(files["llama"], path=files["llama"], ngram_min=1)
    replies = [completion(s, **fields) for s in (plain, served)]
    assert replies[0]["content"] == replies[1]["content"] and len(replies[0]["content"]) > 10
    assert replies[1]["timings"]["draft_n"] > replies[1]["timings"]["draft_n_accepted"]
    for s in (plain, served):
        s.engine.close()


def test_a_draft_model_of_another_vocabulary_is_refused(files):
    with pytest.raises(RequestError, match="draft model: its vocabulary type is gpt2, expected .* llama"):
        load(files["llama"], path=files["other"])


def test_an_encoder_cannot_draft(files, tmp_path):
    skeleton = ROOT / "conformance" / "archs" / "skeletons" / "bert.json"
    vocabulary = ROOT / "conformance" / "vocabs" / "ggml-vocab-bert-bge.gguf"
    out = str(tmp_path / "bert.gguf")
    subprocess.run(
        [sys.executable, ROOT / "tools" / "make_model.py", skeleton, vocabulary, out], check=True, timeout=60
    )
    with pytest.raises(RequestError, match="bert gives embeddings and no text"):
        load(files["llama"], path=out)
    with pytest.raises(RequestError, match="speculative decoding: bert gives embeddings and no text"):
        load(out, ngram_min=1)
