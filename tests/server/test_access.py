"""Keys and origins: who is let in, and what browsers are told."""

import falcon.testing
import pytest
from server_fakes import FakeEngine, make_context

from llamabox.server.access import Access, Cors
from llamabox.server.app import create_app

PATHS = ["/v1/models", "/models", "/props", "/metrics", "/nothing"]


def client_of(**fields):
    context = make_context(FakeEngine())
    context.access = Access(**fields)
    return falcon.testing.TestClient(create_app(context))


@pytest.fixture(scope="module")
def locked():
    return client_of(keys=("one", "zwei-ß"))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer two"}, {"Authorization": ""}, {"X-Api-Key": "on"}, {"Authorization": "Bearer "}],
)
def test_without_a_key_nothing_is_told(locked, path, headers):
    reply = locked.simulate_get(path, headers=headers)
    assert reply.status_code == 401 and reply.headers["www-authenticate"] == "Bearer"
    error = reply.json["error"]
    assert (error["message"], error["type"], error["code"]) == ("Invalid API Key", "authentication_error", 401)
    assert locked.simulate_post("/completion", json={"prompt": "x"}, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer one"},
        {"Authorization": "one"},
        {"X-Api-Key": "one"},
        {"Authorization": "Bearer " + "zwei-ß".encode().decode("latin-1")},
    ],
)
def test_any_of_the_keys_opens_in_any_form(locked, headers):
    assert locked.simulate_get("/v1/models", headers=headers).status_code == 200
    assert locked.simulate_post("/completion", json={"prompt": "x"}, headers=headers).status_code == 200


def test_what_is_public_needs_no_key(locked):
    for path in ("/health", "/v1/health", "/"):
        assert locked.simulate_get(path).status_code == 200


def test_without_keys_nobody_is_asked():
    assert client_of().simulate_get("/v1/models").status_code == 200


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


def cors_headers(reply):
    return {name[15:]: value for name, value in reply.headers.items() if name.startswith("access-control-")}


def test_cors_is_off_unless_asked():
    client = client_of()
    assert cors_headers(client.simulate_get("/health", headers={"Origin": "http://a"})) == {}
    assert cors_headers(client.simulate_options("/health", headers={"Origin": "http://a", **PREFLIGHT})) == {}


def test_named_origins_and_no_others():
    client = client_of(cors=Cors(("http://a", "http://b")))
    for origin in ("http://a", "http://b"):
        reply = client.simulate_get("/health", headers={"Origin": origin})
        assert reply.headers["vary"] == "Origin" and cors_headers(reply) == {
            "allow-origin": origin,
            "allow-credentials": "true",
            "expose-headers": "X-Request-ID",
        }
    assert cors_headers(client.simulate_get("/health", headers={"Origin": "http://c"})) == {}
    assert cors_headers(client.simulate_get("/health")) == {}


def test_every_origin_is_named_with_credentials_and_starred_without():
    for credentials, origin in ((True, "http://x"), (False, "*")):
        client = client_of(cors=Cors(("*",), credentials=credentials))
        told = cors_headers(client.simulate_get("/health", headers={"Origin": "http://x"}))
        assert told["allow-origin"] == origin and ("allow-credentials" in told) == credentials
    client = client_of(cors=Cors(("http://x",), credentials=False))
    assert cors_headers(client.simulate_get("/", headers={"Origin": "http://x"}))["allow-origin"] == "http://x"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        ("https://localhost:3000", True),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:3000", True),
        ("http://localhost.evil.com", False),
        ("http://notlocalhost", False),
        ("http://10.0.0.1", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_localhost_stands_for_every_port_of_this_machine(origin, allowed):
    client = client_of(cors=Cors(("localhost",)))
    assert ("allow-origin" in cors_headers(client.simulate_get("/", headers={"Origin": origin}))) == allowed


def test_preflights_are_answered_without_a_key_and_for_any_path():
    client = client_of(keys=("k",), cors=Cors(("http://a",), methods=("GET", "POST"), headers=("*",)))
    reply = client.simulate_options("/v1/chat/completions", headers={"Origin": "http://a", **PREFLIGHT})
    assert reply.status_code == 200 and reply.text == ""
    assert cors_headers(reply) == {
        "allow-origin": "http://a",
        "allow-credentials": "true",
        "allow-methods": "GET, POST",
        "allow-headers": "authorization, content-type",
    }
    other = client.simulate_options("/v1/chat/completions", headers={"Origin": "http://b", **PREFLIGHT})
    assert cors_headers(other) == {}
    fixed = client_of(cors=Cors(("http://a",), headers=("X-One", "X-Two")))
    reply = fixed.simulate_options("/completion", headers={"Origin": "http://a", **PREFLIGHT})
    assert cors_headers(reply)["allow-headers"] == "X-One, X-Two"


def test_errors_carry_the_headers_too():
    client = client_of(keys=("k",), cors=Cors(("http://a",)))
    for path, status in (("/v1/models", 401), ("/health/x", 401)):
        reply = client.simulate_get(path, headers={"Origin": "http://a"})
        assert reply.status_code == status and cors_headers(reply)["allow-origin"] == "http://a"
