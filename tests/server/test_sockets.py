"""Real sockets on 127.0.0.1: time limits, hang-ups, refusals under load, and the openai client."""

import http.client
import select
import socket
import threading
import time
from contextlib import contextmanager

import openai
import pytest
from server_fakes import FakeEngine, make_context

from llamabox.server.app import create_app
from llamabox.server.sockets import HTTPServer


@contextmanager
def running(context, timeout_s=600, idle_s=60, keepalive_s=15):
    """A server in a thread; yields its port."""
    server = HTTPServer(
        create_app(context), "127.0.0.1", 0, context.admission.n_threads, timeout_s, idle_s, keepalive_s
    )
    stopped = threading.Event()

    def loop():
        while not stopped.is_set():
            server.loop_once()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        stopped.set()
        server.pull_trigger()
        thread.join()
        server.stop_accepting()
        server.flush_and_close(time.monotonic() + 2)


def request_bytes(body: bytes, path="/completion") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def seconds_until_closed(connection: socket.socket, limit_s: float = 30) -> float:
    connection.settimeout(limit_s)
    began = time.monotonic()
    while connection.recv(1 << 16):
        pass
    return time.monotonic() - began


def wait_for(condition, limit_s=30.0):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_an_idle_connection_is_closed_after_conn_idle(context):
    with running(context, idle_s=1) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        assert 0.5 < seconds_until_closed(connection) < 20


def test_a_served_connection_is_closed_after_conn_keepalive(context):
    with running(context, idle_s=60, keepalive_s=1) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in connection.recv(1 << 16)
            assert 0.5 < seconds_until_closed(connection) < 20


def test_half_a_request_is_dropped_after_timeout(context):
    with running(context, timeout_s=1) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request_bytes(b'{"prompt": "x"}')[:-3])
        assert 0.5 < seconds_until_closed(connection) < 20


def test_a_client_that_does_not_read_is_dropped_after_timeout(context, engine):
    with running(context, timeout_s=1) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        text = "x" * (8 << 20)  # more than the sockets' buffers take
        context.model.tokenizer.decode = lambda ids, special=False: text
        connection.sendall(request_bytes(b'{"tokens": [1]}', "/detokenize"))
        time.sleep(6)
        received = 0
        connection.settimeout(30)
        try:
            while data := connection.recv(1 << 16):
                received += len(data)
        except ConnectionResetError:
            pass
        assert received < len(text)


def test_a_hang_up_cancels_a_silent_stream_and_a_silent_reply(context, engine):
    with running(context) as port:
        for body in (b'{"prompt": "silence", "stream": true}', b'{"prompt": "silence"}'):
            connection = socket.create_connection(("127.0.0.1", port))
            n = len(engine.generations)
            connection.sendall(request_bytes(body))
            wait_for(lambda n=n: len(engine.generations) > n)
            connection.close()
            wait_for(engine.generations[-1].cancelled.is_set)
        wait_for(lambda: context.admission.open == 0)


def test_health_answers_while_200_clients_hold_streams_or_are_refused(engine):
    context = make_context(engine)
    with running(context) as port:
        connections = []
        for _ in range(200):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(request_bytes(b'{"prompt": "silence", "stream": true}'))
            connections.append(connection)
        wait_for(lambda: context.admission.open == context.admission.limit)
        assert health(port) == 200
        n_refused = 200 - context.admission.limit
        wait_for(lambda: len(select.select(connections, [], [], 0)[0]) >= n_refused)  # a silent stream sends nothing
        answered = select.select(connections, [], [], 0)[0]
        refused = sum(b"503" in connection.recv(1 << 16)[:20] for connection in answered)
        for connection in connections:
            connection.close()
        assert refused == len(answered) == n_refused
        wait_for(lambda: context.admission.open == 0)


def health(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/health")
    status = connection.getresponse().status
    connection.close()
    return status


def test_what_waitress_refuses_itself_has_an_openai_body(context):
    with running(context) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        reply = b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()
        assert reply.startswith("HTTP/1.1 413") and '"invalid_request_error"' in reply


def test_a_taken_port_is_an_error(context):
    with running(context) as port:
        with pytest.raises(OSError):
            HTTPServer(create_app(context), "127.0.0.1", port, 2, 1, 1, 1)


@pytest.fixture(scope="module")
def sdk():
    engine = FakeEngine()
    with running(make_context(engine)) as port:
        yield openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0), engine


MESSAGES = [{"role": "user", "content": "hi"}]


def test_openai_client_chat(sdk):
    client, engine = sdk
    reply = client.chat.completions.create(
        model="x", messages=MESSAGES, n=2, seed=3, stop=["END"], logit_bias={"97": -1}, max_tokens=9
    )
    assert [c.message.content for c in reply.choices] == ["Hello wörld #3", "Hello wörld #4"]
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 6
    request = engine.generations[-2].request
    assert request.stop == ("END",) and request.sampling.logit_bias == ((97, -1.0),)


def test_openai_client_streams(sdk):
    client, _ = sdk
    stream = client.chat.completions.create(
        model="x", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello wörld #7"
    assert chunks[-1].usage.completion_tokens == 3 and chunks[0].choices[0].delta.role == "assistant"


def test_openai_client_sees_errors_as_its_own_types(sdk):
    client, _ = sdk
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model="x", messages=MESSAGES, temperature=-1)
    with pytest.raises(openai.APIError, match="l_out-3"):
        list(client.completions.create(model="x", prompt="break", stream=True))


def test_openai_client_lists_models(sdk):
    client, _ = sdk
    assert [m.id for m in client.models.list()] == ["tiny"]
