"""/metrics: every name of llama-box and llama-server, and values that follow from the requests that were served."""

import re
from pathlib import Path

import falcon.testing
import pytest
from prometheus_client.parser import text_string_to_metric_families
from server_fakes import make_context

from llamabox.assets import tiny_chat_path
from llamabox.engine import EngineStatus, SamplingParams
from llamabox.server.admission import Admission
from llamabox.server.app import create_app
from llamabox.server.context import ServerContext
from llamabox.server.endpoints import Endpoints
from llamabox.server.loading import load_served
from llamabox.server.metrics import Metrics
from llamabox.server.metrics.families import Rates
from llamabox.server.requests import Defaults
from llamabox.server.settings import ServerSettings

NAMES = (Path(__file__).parent / "names.txt").read_text().split()


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def client():
    defaults = Defaults(SamplingParams(temperature=0))
    settings = ServerSettings(str(tiny_chat_path()), defaults, n_ctx=512, n_parallel=2, load={"backend": "numpy"})
    context = ServerContext(Admission(-1, 2), defaults, endpoints=Endpoints(metrics=True))
    context.model = load_served(settings)
    yield falcon.testing.TestClient(create_app(context))
    context.model.engine.close()


def test_every_name_is_there_from_the_start_and_nothing_is_registered_globally(client):
    reply = client.simulate_get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert int(reply.headers["process-start-time-unix"]) > 1.7e9
    found = {key[0] for key in samples(reply.text)}
    assert len(NAMES) == 18 + 14 and set(NAMES) <= found
    from prometheus_client import REGISTRY

    assert not any(family.name.startswith(("llamabox", "llamacpp")) for family in REGISTRY.collect())
    assert all(re.search(rf"# HELP {re.escape(name)} .", reply.text) for name in NAMES)


def test_counters_count_what_was_served(client):
    before = samples(client.simulate_get("/metrics").text)
    body = {"prompt": [5, 6, 7, 8, 9, 10], "n_predict": 4, "ignore_eos": True, "cache_prompt": False}
    for _ in range(2):
        assert client.simulate_post("/completion", json=body).json["tokens_predicted"] == 4
    text = client.simulate_get("/metrics").text
    after = samples(text)
    grown = {key[0]: after[key] - before[key] for key in after if key in before}
    for prefix in ("llamabox", "llamacpp"):
        assert grown[f"{prefix}:prompt_tokens_total"] == 12
        assert grown[f"{prefix}:tokens_predicted_total"] == 8
        assert grown[f"{prefix}:n_decode_total"] == 8, "one for each prompt with its first token, three for the rest"
        assert grown[f"{prefix}:prompt_seconds_total"] > 0 and grown[f"{prefix}:tokens_predicted_seconds_total"] > 0
        assert after[(f"{prefix}:n_busy_slots_per_decode",)] == 1
        assert after[(f"{prefix}:requests_processing",)] == 0
        rate = after[(f"{prefix}:predicted_tokens_seconds",)]
        assert rate == pytest.approx(8 / grown[f"{prefix}:tokens_predicted_seconds_total"])
    assert after[("llamacpp:n_tokens_max",)] == 10
    assert grown["llamabox:time_to_first_token_seconds_count"] == 2
    assert grown["llamabox:time_per_output_token_seconds_count"] == 2
    assert grown["llamabox:time_to_first_token_seconds_sum"] > 0
    again = samples(client.simulate_get("/metrics").text)
    assert again[("llamabox:predicted_tokens_seconds",)] == 0, "nothing since the last look"


def test_cached_tokens_are_counted_apart(client):
    body = {"prompt": [50 + i % 100 for i in range(100)], "n_predict": 1}
    client.simulate_post("/completion", json=body)
    before = samples(client.simulate_get("/metrics").text)
    client.simulate_post("/completion", json=body)
    after = samples(client.simulate_get("/metrics").text)
    assert after[("llamacpp:prompt_tokens_cached_total",)] - before[("llamacpp:prompt_tokens_cached_total",)] == 99
    assert after[("llamabox:prompt_tokens_total",)] - before[("llamabox:prompt_tokens_total",)] == 1


def test_what_an_engine_status_says_arrives_under_its_name():
    status = EngineStatus(
        running=3, waiting=4, kv_blocks=10, kv_used=5, steps=8, busy=20, drafts=6, drafted_tokens=30,
        accepted_tokens=15, accepted_by_position=(6, 9), tokens_max=77,
    )  # fmt: skip
    found = samples(Metrics(lambda: status).text().decode())
    assert found[("llamabox:requests_processing",)] == 3 and found[("llamabox:requests_deferred",)] == 4
    assert found[("llamabox:kv_cache_usage_ratio",)] == 0.5
    assert found[("llamabox:n_busy_slots_per_decode",)] == 2.5
    assert found[("llamabox:tokens_drafted_total",)] == found[("llamacpp:spec_decode_num_draft_tokens_total",)] == 30
    assert found[("llamabox:tokens_drafted_accepted_total",)] == 15
    assert found[("llamacpp:spec_decode_num_drafts_total",)] == 6
    positions = [found[("llamacpp:spec_decode_num_accepted_tokens_per_pos_total", ("position", p))] for p in "01"]
    assert positions == [6, 9]
    assert Rates.between(status, status) == Rates(0, 0)


def test_the_endpoint_is_off_unless_asked(engine):
    reply = falcon.testing.TestClient(create_app(make_context(engine))).simulate_get("/metrics")
    assert reply.status_code == 501 and "--metrics" in reply.json["error"]["message"]
