"""What the server says of itself."""

import falcon.testing
import pytest
from server_fakes import make_context

from llamabox.server.app import create_app
from llamabox.server.endpoints import Endpoints


def test_models_under_all_their_paths(client):
    listed = client.simulate_get("/v1/models").json
    assert client.simulate_get("/models").json == listed
    entry = listed["data"][0]
    assert (entry["id"], entry["object"], entry["meta"]["n_ctx"]) == ("tiny", "model", 200)
    assert listed["models"][0]["name"] == "tiny"
    for path in ("/v1/models/tiny", "/models/tiny"):
        assert client.simulate_get(path).json == entry
    for path in ("/v1/models/other", "/v1/models/a/b", "/models/Tiny"):
        reply = client.simulate_get(path)
        error = reply.json["error"]
        assert reply.status_code == 404 and (error["code"], error["param"]) == ("model_not_found", "model")


def test_a_name_with_slashes_is_found(engine):
    context = make_context(engine)
    object.__setattr__(context.model, "alias", "org/name:q4")
    client = falcon.testing.TestClient(create_app(context))
    assert client.simulate_get("/v1/models/org/name:q4").json["id"] == "org/name:q4"


def test_health_and_root(client):
    assert client.simulate_get("/v1/health").json == {"status": "ok"}
    assert client.simulate_get("/").json["name"] == "llamabox"


@pytest.mark.parametrize("path", ["/chat/completions", "/models", "/health", "/chat/completions/input_tokens"])
def test_paths_of_openai_answer_with_and_without_v1(client, path):
    bodies = [client.simulate_post(prefix + path, json={}).text for prefix in ("", "/v1")]
    assert bodies[0] == bodies[1] and "unknown route" not in bodies[0]


def test_props_tells_of_switches_and_can_be_posted_to_only_when_allowed(engine):
    for allowed in (False, True):
        context = make_context(engine)
        context.endpoints = Endpoints(props=allowed, metrics=allowed)
        client = falcon.testing.TestClient(create_app(context))
        props = client.simulate_get("/props").json
        assert (props["endpoint_props"], props["endpoint_metrics"]) == (allowed, allowed)
        assert props["chat_template_caps"]["supports_tools"] is False
        reply = client.simulate_post("/props", json={})
        if allowed:
            assert reply.json == {"success": True}
        else:
            assert reply.status_code == 501 and "--props" in reply.json["error"]["message"]
