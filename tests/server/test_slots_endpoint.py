"""/slots on a real engine, and the request fields and flags about slots and the context, each with another outcome."""

import os
import subprocess
import sys
from pathlib import Path

import falcon.testing
import pytest

from llamabox.engine import GenerationRequest, SamplingParams
from llamabox.server.admission import Admission
from llamabox.server.app import create_app
from llamabox.server.context import ServerContext
from llamabox.server.endpoints import Endpoints
from llamabox.server.loading import load_served
from llamabox.server.requests import Defaults
from llamabox.server.settings import ServerSettings

ROOT = Path(__file__).parents[2]
PROMPT = "Look in thy glass and tell the face thou viewest"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("slots") / "model.gguf"
    vocabulary = ROOT / "conformance" / "vocabs" / "ggml-vocab-llama-spm.gguf"
    skeleton = ROOT / "conformance" / "archs" / "skeletons" / "llama.json"
    command = [sys.executable, ROOT / "tools" / "make_model.py", skeleton, vocabulary, path]
    subprocess.run(command, check=True, timeout=60)
    return str(path)


@pytest.fixture
def serve(path, request, tmp_path):
    def make(slots=True, folder=tmp_path, defaults=None, **settings):
        defaults = Defaults(SamplingParams(temperature=0), **(defaults or {}))
        settings = {"n_ctx": 256, "n_parallel": 2, "warmup": False, "load": {"backend": "numpy"}, **settings}
        endpoints = Endpoints(slots=slots, slot_save_path=None if folder is None else str(folder))
        context = ServerContext(Admission(-1, 2), defaults, endpoints=endpoints)
        context.model = load_served(ServerSettings(path, defaults, **settings))
        request.addfinalizer(lambda: context.model.engine.close())
        client = falcon.testing.TestClient(create_app(context))
        client.engine = context.model.engine
        return client

    return make


def complete(client, prompt=PROMPT, headers=None, **fields):
    body = {"prompt": prompt, "n_predict": 6, "ignore_eos": True, **fields}
    reply = client.simulate_post("/completion", json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.json


def act(client, id, action, **body):
    return client.simulate_post(f"/slots/{id}", params={"action": action}, json=body)


def test_slots_are_listed_with_the_fields_of_both(serve):
    client = serve()
    assert [
        (s["id"], s["id_task"], s["state"], s["is_processing"], s["n_ctx"]) for s in client.simulate_get("/slots").json
    ] == [
        (0, -1, 0, False, 128),
        (1, -1, 0, False, 128),
    ]
    running = [
        client.engine.submit(GenerationRequest((1, 5, 6), n_predict=90, ignore_eos=True, tokens_per_second=2.0))
        for _ in range(2)
    ]
    while any(s.n_predicted == 0 for s in client.engine.slots()):
        pass
    slot = client.simulate_get("/slots").json[1]
    assert (slot["state"], slot["is_processing"], slot["params"]["n_predict"]) == (1, True, 90)
    assert slot["next_token"][0]["n_remain"] == 90 - slot["next_token"][0]["n_decoded"]
    for value, status in (("1", 503), ("0", 200)):
        assert client.simulate_get("/slots", params={"fail_on_no_slot": value}).status_code == status
    for generation in running:
        generation.cancel()


def test_what_is_off_names_its_flag(serve):
    client = serve(slots=False)
    assert client.simulate_get("/slots").status_code == 501 and "--slots" in client.simulate_get("/slots").text
    client = serve(folder=None)
    reply = act(client, 0, "erase")
    assert reply.status_code == 501 and "--slot-save-path" in reply.text
    assert client.simulate_get("/slots").status_code == 200


def test_save_restore_and_erase(serve, tmp_path):
    client = serve()
    first = complete(client, id_slot=1)
    assert first["id_slot"] == 1
    reply = act(client, 1, "save", filename="a.bin").json
    n = reply["n_saved"]
    assert (reply["id_slot"], reply["filename"]) == (1, "a.bin") and reply["timings"]["save_ms"] > 0
    assert reply["n_written"] == (tmp_path / "a.bin").stat().st_size
    assert act(client, 1, "erase").json == {"id_slot": 1, "n_erased": n}
    assert complete(client)["timings"]["cache_n"] == 0
    other = serve()
    reply = act(other, 0, "restore", filename="a.bin").json
    assert (reply["n_restored"], reply["n_read"]) == (n, (tmp_path / "a.bin").stat().st_size)
    again = complete(other)
    assert again["content"] == first["content"] and again["timings"]["cache_n"] == first["tokens_evaluated"] - 1


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/b", "/etc/passwd", "a\\b", "a\0", ".hidden", "a" * 300, "a\n", "C:x", "a ", 7, None],
)
def test_names_that_lead_elsewhere_are_refused(serve, tmp_path, name):
    client = serve()
    for action in ("save", "restore"):
        reply = act(client, 0, action, filename=name)
        assert reply.status_code == 400 and reply.json["error"]["param"] == "filename"
    assert list(tmp_path.iterdir()) == []


def test_links_and_damaged_files_are_refused(serve, tmp_path):
    client = serve()
    outside = tmp_path.parent / "outside.bin"
    outside.write_bytes(b"secret")
    os.symlink(outside, tmp_path / "link")
    (tmp_path / "bad").write_bytes(b"x" * 100)
    for name in ("link", "bad", "missing"):
        reply = act(client, 0, "restore", filename=name)
        assert reply.status_code == 400 and reply.json["error"]["param"] == "filename", name
        assert "secret" not in reply.text
    act(client, 0, "save", filename="link")
    assert outside.read_bytes() == b"secret" and not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    "id, action, param",
    [("2", "erase", "id_slot"), ("-1", "erase", "id_slot"), ("x", "save", "id_slot"), ("0", "copy", "action")],
)
def test_bad_slots_and_actions(serve, id, action, param):
    reply = act(serve(), id, action, filename="a")
    assert reply.status_code == 400 and reply.json["error"]["param"] == param


def test_a_full_context_shifts_unless_the_server_says_no(serve):
    shifted = complete(serve(), n_predict=200)
    assert shifted["truncated"] and shifted["tokens_predicted"] == 200
    kept = complete(serve(), n_predict=200, n_keep=20)
    dropped = complete(serve(), n_predict=200, n_discard=5)
    by_flag = complete(serve(defaults={"n_keep": 20}), n_predict=200)
    assert (
        len({answer["content"] for answer in (shifted, kept, dropped)}) == 3 and by_flag["content"] == kept["content"]
    )
    assert kept["generation_settings"]["n_keep"] == 20 and dropped["generation_settings"]["n_discard"] == 5
    ended = complete(serve(context_shift=False), n_predict=200)
    assert (ended["truncated"], ended["stop_type"]) == (True, "limit") and ended["tokens_predicted"] < 128


def test_unified_memory_lifts_the_share(serve):
    for settings, n_ctx in (
        ({}, 128),
        ({"kv_unified": True}, 256),
        ({"kv_unified": True, "kv_unified_per_slot": 200}, 200),
    ):
        client = serve(**settings)
        assert client.simulate_get("/props").json["default_generation_settings"]["n_ctx"] == n_ctx
        assert client.simulate_get("/slots").json[0]["n_ctx"] == n_ctx
        reply = client.simulate_post("/completion", json={"prompt": [5] * n_ctx})
        assert reply.status_code == 400 and str(n_ctx) in reply.json["error"]["message"]


def test_chunks_are_reused_when_the_request_or_the_server_says_so(serve):
    first, second = [5, *range(20, 60), 7, *range(100, 150)], [5, *range(100, 150), 9]
    for defaults, fields, n_cached in (({}, {}, 1), ({}, {"n_cache_reuse": 30}, 51), ({"n_cache_reuse": 30}, {}, 51)):
        client = serve(defaults=defaults)
        complete(client, first, id_slot=0, n_predict=1, **fields)
        assert complete(client, second, id_slot=0, **fields)["timings"]["cache_n"] == n_cached


def test_cache_prompt(serve):
    for defaults, fields, cached in (
        ({}, {}, True),
        ({}, {"cache_prompt": False}, False),
        ({"cache_prompt": False}, {}, False),
    ):
        client = serve(defaults=defaults)
        complete(client, **fields)
        assert (complete(client, **fields)["timings"]["cache_n"] > 0) == cached


def test_tokens_per_second(serve):
    header = "X-Request-Tokens-Per-Second"

    def speed(client, **headers):
        return complete(client, headers=headers, n_predict=5)["timings"]["predicted_per_second"]

    free = serve()
    assert speed(free, **{header: "10"}) > 60, "without a limit of the server the header has no say"
    limited = serve(tokens_per_second=40)
    assert speed(limited) < 60 and speed(limited, **{header: "10"}) < 15
    assert 20 < speed(limited, **{header: "1000"}) < 60, "the header may only lower it"
    for bad in ("0", "-1", "x", "nan", "inf"):
        reply = limited.simulate_post("/completion", json={"prompt": "a"}, headers={header: bad})
        assert reply.status_code == 400 and reply.json["error"]["param"] == header
    measured = serve(tokens_per_second=-1).engine
    assert measured is not None


@pytest.mark.parametrize("field", ["id_slot", "n_keep", "n_discard", "n_cache_reuse"])
@pytest.mark.parametrize("value", [-2, 2**31, 1.5, "1", True])
def test_bad_values_name_their_field(serve, field, value):
    reply = serve().simulate_post("/completion", json={"prompt": "a", field: value})
    assert reply.status_code == 400 and reply.json["error"]["param"] == field
