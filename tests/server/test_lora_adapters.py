"""/lora-adapters, and the lora field of requests, on a real engine with two adapters."""

import subprocess
import sys
from pathlib import Path

import falcon.testing
import pytest

from llamabox.engine import SamplingParams
from llamabox.server.admission import Admission
from llamabox.server.app import create_app
from llamabox.server.context import ServerContext
from llamabox.server.loading import load_served
from llamabox.server.requests import Defaults
from llamabox.server.settings import ServerSettings

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "conformance"))
import adapters  # noqa: E402

GREEDY = {"prompt": "Look in thy glass", "temperature": 0, "n_predict": 8, "ignore_eos": True}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small llama with a vocabulary, and two adapters of it."""
    folder = tmp_path_factory.mktemp("loras")
    model = folder / "model.gguf"
    vocabulary = ROOT / "conformance" / "vocabs" / "ggml-vocab-llama-spm.gguf"
    skeleton = ROOT / "conformance" / "archs" / "skeletons" / "llama.json"
    subprocess.run(
        [sys.executable, ROOT / "tools" / "make_model.py", skeleton, vocabulary, model], check=True, timeout=60
    )
    paths = [str(folder / f"{name}.gguf") for name in "ab"]
    for path, name in zip(paths, "ab", strict=True):
        adapters.write_lora(adapters.Adapter(name, tensors=()), model, path)
    return str(model), paths


def serve(files, request, scales=(1.0, 1.0), **settings):
    path, loras = files
    load = {"backend": "numpy", "lora": list(zip(loras, scales, strict=False))}
    context = ServerContext(Admission(-1, 1), Defaults(SamplingParams()))
    context.model = load_served(
        ServerSettings(path, Defaults(SamplingParams()), n_ctx=256, load=load, warmup=False, **settings)
    )
    request.addfinalizer(lambda: context.model.engine.close())
    return falcon.testing.TestClient(create_app(context))


@pytest.fixture(scope="module")
def client(files, request):
    """Two adapters, at 1.0 and at 0.5."""
    return serve(files, request, (1.0, 0.5))


@pytest.fixture(scope="module")
def settable(files, request):
    return serve(files, request, lora_init_without_apply=True)


def text(client, **fields):
    reply = client.simulate_post("/completion", json={**GREEDY, **fields})
    assert reply.status_code == 200, reply.text
    return reply.json["content"]


def scales(client):
    return [item["scale"] for item in client.simulate_get("/lora-adapters").json]


def test_adapters_are_listed(client, files):
    (_, loras) = files
    listed = client.simulate_get("/lora-adapters").json
    assert listed == [
        {"id": 0, "path": loras[0], "scale": 1.0, "task_name": "", "prompt_prefix": ""},
        {"id": 1, "path": loras[1], "scale": 0.5, "task_name": "", "prompt_prefix": ""},
    ]


def test_a_request_chooses_its_adapters(client):
    one, other = [{"id": 0, "scale": 1.0}], [{"id": 1, "scale": 1.0}]
    off = [{"id": 0, "scale": 0}]
    texts = [text(client, lora=lora) for lora in (one, other, off)]
    assert len(set(texts)) == 3
    both = [{"id": 0, "scale": 1.0}, {"id": 1, "scale": 0.5}]
    assert text(client) == text(client, lora=[]) == text(client, lora=both) != texts[0]


def test_scales_start_at_0_without_apply_and_post_sets_them(settable, client):
    off = text(client, lora=[{"id": 0, "scale": 0}])
    assert scales(settable) == [0.0, 0.0] and text(settable) == off
    reply = settable.simulate_post("/lora-adapters", json=[{"id": 1, "scale": 1.0}])
    assert (reply.status_code, reply.json) == (200, {"success": True})
    assert scales(settable) == [0.0, 1.0]
    assert text(settable) == text(client, lora=[{"id": 1, "scale": 1.0}])
    settable.simulate_post("/lora-adapters", json=[{"id": 0, "scale": 1}])
    assert scales(settable) == [1.0, 0.0]
    settable.simulate_post("/lora-adapters", json=[])
    assert scales(settable) == [0.0, 0.0] and text(settable) == off


def test_post_needs_lora_init_without_apply_and_both_need_an_adapter(client, files, request):
    reply = client.simulate_post("/lora-adapters", json=[{"id": 0, "scale": 0}])
    assert reply.status_code == 501 and "--lora-init-without-apply" in reply.json["error"]["message"]
    assert scales(client) == [1.0, 0.5]
    bare = serve((files[0], []), request)
    for reply in (bare.simulate_get("/lora-adapters"), bare.simulate_post("/lora-adapters", json=[])):
        assert reply.status_code == 501 and "--lora" in reply.json["error"]["message"]
        assert reply.json["error"]["type"] == "not_supported_error"
    reply = bare.simulate_post("/completion", json={**GREEDY, "lora": [{"id": 0, "scale": 1.0}]})
    assert (reply.status_code, reply.json["error"]["param"]) == (400, "lora")


BAD = [
    [{"id": 2, "scale": 1.0}],
    [{"id": -1, "scale": 1.0}],
    [{"id": 0.5, "scale": 1.0}],
    [{"id": True, "scale": 1.0}],
    [{"id": "0", "scale": 1.0}],
    [{"id": 0}],
    [{"scale": 1.0}],
    [{"id": 0, "scale": 1e300}],
    [{"id": 0, "scale": -1e300}],
    [{"id": 0, "scale": "1"}],
    [{"id": 0, "scale": True}],
    [{"id": 0, "scale": None}],
    [{"id": 0, "scale": 1}, {"id": 0, "scale": 2}],
    [5],
    {"id": 0, "scale": 1.0},
    "0",
    5,
]


@pytest.mark.parametrize("lora", BAD, ids=str)
def test_bad_adapters_are_refused_and_change_nothing(client, settable, lora):
    reply = client.simulate_post("/completion", json={**GREEDY, "lora": lora})
    assert reply.status_code == 400 and reply.json["error"]["param"].startswith("lora")
    before = scales(settable)
    reply = settable.simulate_post("/lora-adapters", json=lora)
    assert reply.status_code == 400 and reply.json["error"]["type"] == "invalid_request_error"
    assert scales(settable) == before


def test_nan_is_no_scale(settable):
    headers = {"Content-Type": "application/json"}
    reply = settable.simulate_post("/lora-adapters", body='[{"id": 0, "scale": NaN}]', headers=headers)
    assert reply.status_code == 400
