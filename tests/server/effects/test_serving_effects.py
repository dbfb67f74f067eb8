"""Each flag about the model, its context and its batches, from the command line to what a client sees."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import falcon.testing
import pytest

from llamabox.cli.options import parse_options
from llamabox.cli.serve import server_settings
from llamabox.engine import Engine
from llamabox.server.admission import Admission
from llamabox.server.app import create_app
from llamabox.server.context import ServerContext
from llamabox.server.loading import load_served

LONG = "the sea " * 120
CHAT = {"messages": [{"role": "user", "content": "Hello"}]}


class Client:
    """What one server says."""

    def __init__(self, context):
        self.model = context.model
        self._client = falcon.testing.TestClient(create_app(context))

    def get(self, path):
        return self._client.simulate_get(path).json

    def post(self, path, body):
        reply = self._client.simulate_post(path, json=body)
        assert reply.status_code == 200, reply.text
        return reply.json

    def complete(self, prompt="Tell me", **body):
        return self.post("/completion", {"prompt": prompt, "n_predict": 8, "temperature": 0, **body})


@contextmanager
def served(*flags):
    """A client of the model that ships, served as the flags say."""
    settings = server_settings(parse_options(["--backend", "numpy", "--no-warmup", *flags]))
    context = ServerContext(Admission(settings.n_threads, settings.n_parallel), settings.defaults)
    context.model = load_served(settings)
    yield Client(context)
    context.model.engine.close()


def test_alias_is_the_models_name():
    with served() as plain, served("--alias", "my-model") as named:
        assert plain.get("/v1/models")["data"][0]["id"] != "my-model"
        assert named.get("/v1/models")["data"][0]["id"] == "my-model"
        assert named.post("/v1/completions", {"prompt": "a", "max_tokens": 1})["model"] == "my-model"


def test_ctx_size_is_shared_by_the_parallel_sequences():
    with served("-c", "512", "-np", "4") as client:
        props = client.get("/props")
        assert (props["default_generation_settings"]["n_ctx"], props["total_slots"]) == (128, 4)
    with served("-c", "512", "-np", "1") as client:
        assert client.get("/props")["default_generation_settings"]["n_ctx"] == 512


@pytest.mark.parametrize("flag", ["-b", "-ub"])
def test_a_batch_holds_at_most_so_many_rows(flag):
    def steps(*flags):
        with served("-c", "1024", *flags) as client:
            client.complete(LONG, n_predict=1, cache_prompt=False)
            return client.model.engine.status().steps

    assert steps(flag, "16") >= 240 // 16 > steps(flag, "512")


def test_without_continuous_batching_one_request_runs_at_a_time():
    def most_running(*flags):
        with served("-np", "2", *flags) as client, ThreadPoolExecutor(2) as pool:
            body = {"n_predict": 60, "ignore_eos": True}
            jobs = [pool.submit(client.complete, f"Question {i}", **body) for i in range(2)]
            most = 0
            while not all(job.done() for job in jobs):
                most = max(most, client.model.engine.status().running)
                time.sleep(0.001)
            assert all(job.result()["tokens_predicted"] == 60 for job in jobs)
            return most

    assert (most_running(), most_running("--no-cont-batching")) == (2, 1)


def test_warmup_runs_the_model_before_the_first_request(monkeypatch):
    warmed = []
    monkeypatch.setattr(Engine, "warm_up", lambda engine: warmed.append(engine))
    with served():
        assert warmed == []
    with served("--warmup"):
        assert len(warmed) == 1


def test_override_kv_changes_the_models_metadata():
    with served() as plain, served("--override-kv", "tokenizer.ggml.add_bos_token=bool:true") as changed:
        body = {"content": "Hello", "add_special": True}
        n_plain, n_changed = (len(c.post("/tokenize", body)["tokens"]) for c in (plain, changed))
        assert n_changed == n_plain + 1


def test_chat_templates_by_name_by_text_and_from_a_file(tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text("FILE {{ messages[0].content }}")
    expected = {
        ("--chat-template", "zephyr"): "<|user|>\nHello",
        ("--chat-template", "TEXT {{ messages[0].content }}"): "TEXT Hello",
        ("--chat-template-file", str(file)): "FILE Hello",
    }
    for flags, beginning in expected.items():
        with served(*flags) as client:
            assert client.post("/apply-template", CHAT)["prompt"].startswith(beginning)


def test_special_shows_the_control_tokens():
    prompt = "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n"
    with served() as plain, served("--special") as special:
        hidden, shown = (c.complete(prompt, n_predict=60)["content"] for c in (plain, special))
        assert shown == hidden + "<|im_end|>"


def test_no_cache_prompt_computes_every_prompt_whole():
    def cached(*flags):
        with served("-c", "1024", *flags) as client:
            client.complete(LONG)
            return client.complete(LONG)["timings"]["cache_n"]

    assert cached() > 200
    assert cached("--no-cache-prompt") == 0


def test_backend_computes():
    with served() as client:
        assert client.model.engine.model.ops.name == "numpy"
    with served("--backend", "cpu") as client:
        assert client.model.engine.model.ops.name == "cpu"
    with served("--backend", "torch", "-t", "1", "-dev", "none") as client:
        assert client.model.engine.model.ops.device.name == "CPU"


def test_threads_http_bounds_the_requests_under_way():
    assert server_settings(parse_options(["--threads-http", "12"])).n_threads == 12
    assert Admission(12, 1).limit < Admission(40, 1).limit
