"""Flags of the server that need no model: the address, the prefix of paths, what requests get that say nothing."""

import socket
import time
from dataclasses import replace

import falcon.testing
import pytest

from llamabox.server.app import create_app
from llamabox.server.prefix import Prefixed
from llamabox.server.sockets import HTTPServer


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def bound(context, port, reuse_port):
    return HTTPServer(create_app(context), "127.0.0.1", port, 2, 60, 60, 15, reuse_port)


def closed(server):
    server.stop_accepting()
    server.flush_and_close(time.monotonic())


def test_two_sockets_share_a_port_when_both_say_so(context):
    port = free_port()
    first = bound(context, port, True)
    try:
        closed(bound(context, port, True))
        with pytest.raises(OSError):
            bound(context, port, False)
    finally:
        closed(first)
    alone = bound(context, port, False)
    try:
        with pytest.raises(OSError):
            bound(context, port, True)
    finally:
        closed(alone)


def test_a_prefix_is_before_every_path(context):
    client = falcon.testing.TestClient(Prefixed(create_app(context), "/llm/a"))
    assert client.simulate_get("/llm/a/health").json == {"status": "ok"}
    reply = client.simulate_post("/llm/a/completion", json={"prompt": "x"})
    assert reply.status_code == 200 and reply.json["content"].startswith("Hello")
    for path in ("/health", "/llm/health", "/llm/ab/health", "/"):
        reply = client.simulate_get(path)
        assert reply.status_code == 404 and "begin with /llm/a" in reply.json["error"]["message"]
        assert reply.json["error"]["type"] == "not_found_error"
    assert client.simulate_get("/llm/a/nothing").status_code == 404


def test_requests_that_say_nothing_get_the_server_s_ignore_eos_and_stop(context, engine, client):
    def asked(**fields):
        client.simulate_post("/completion", json={"prompt": "x", **fields})
        return engine.generations[-1].request

    assert (asked().ignore_eos, asked().stop) == (False, ())
    context.defaults = replace(context.defaults, ignore_eos=True, stop=("###",))
    assert (asked().ignore_eos, asked().stop) == (True, ("###",))
    assert (asked(ignore_eos=False).ignore_eos, asked(stop=["a"]).stop, asked(stop=[]).stop) == (False, ("a",), ())


def test_tags_are_told_with_the_model(context, client):
    assert client.simulate_get("/v1/models").json["data"][0]["tags"] == []
    context.model = replace(context.model, tags=("chat", "small"))
    assert client.simulate_get("/v1/models").json["data"][0]["tags"] == ["chat", "small"]
