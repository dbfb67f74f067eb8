"""tools/chat.sh against a small server that answers as the API does: requests sent, answers shown, errors told."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "chat.sh"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq"))), reason="tools/chat.sh needs bash, curl and jq"
)


class Handler(BaseHTTPRequestHandler):
    """Streams "echo: <last message>" in two pieces; answers 400 to a request that says "fail".

    With tools, a user's "weather in X" is answered with a call in pieces, "twice in X" with two calls.
    """

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append((self.path, body))
        self.server.keys.append(self.headers["Authorization"])
        text, role = body["messages"][-1]["content"], body["messages"][-1]["role"]
        if text == "fail":
            return self._send(400, "application/json", [json.dumps({"error": {"message": "no such thing"}}) + "\n"])
        deltas = [{"role": "assistant"}, {"content": "echo: "}, {"content": text}, {}]
        if "tools" in body and role == "user" and " in " in text:
            kind, _, place = text.partition(" in ")
            deltas = [d for i in range(2 if kind == "twice" else 1) for d in call_deltas(i, place)]
        events = [json.dumps({"choices": [{"delta": delta}]}) for delta in deltas]
        usage = json.dumps({"choices": [], "usage": self.server.usage})
        self._send(200, "text/event-stream", [f"data: {event}\n\n" for event in [*events, usage, "[DONE]"]])

    def _send(self, status, kind, parts):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        for part in parts:
            self.wfile.write(part.encode())

    def log_message(self, *words):
        pass


def call_deltas(index, place):
    start = {
        "index": index,
        "id": f"c{index}",
        "type": "function",
        "function": {"name": "get_weather", "arguments": ""},
    }
    pieces = ['{"location": ', json.dumps(place), "}"]
    return [
        {"tool_calls": [start]},
        *({"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces),
    ]


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.bodies, server.keys, server.usage = [], [], {"total_tokens": 3}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def chat(server, *words, typed=None, **environment):
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", **environment}
    if server is not None:
        env["API_URL"] = f"http://127.0.0.1:{server.server_port}"
    return subprocess.run(
        ["bash", str(SCRIPT), *words], env=env, input=typed or "", capture_output=True, text=True, timeout=60
    )


def test_one_answer(server):
    done = chat(server, "Hi", 'there "you"\\n', SYSTEM="Be kind.", MAX_TOKENS="5", TEMP="0", SEED="7", STOP='["x"]')
    assert (done.returncode, done.stdout, done.stderr) == (0, 'echo: Hi there "you"\\n\n', "")
    assert server.bodies == [
        (
            "/v1/chat/completions",
            {
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": 'Hi there "you"\\n'},
                ],
                "max_tokens": 5,
                "temperature": 0,
                "seed": 7,
                "stop": ["x"],
                "stream": True,
                "stream_options": {"include_usage": True},
            },
        )
    ]


def test_a_conversation(server):
    done = chat(server, typed="one\n\ntwo\nexit\nnever\n")
    assert (done.returncode, done.stdout) == (0, "echo: one\necho: two\n")
    assert [message["content"] for message in server.bodies[1][1]["messages"]] == ["one", "echo: one", "two"]
    assert [message["role"] for message in server.bodies[1][1]["messages"]] == ["user", "assistant", "user"]
    assert server.bodies[0][1].keys() == {"messages", "stream", "stream_options"}


def test_a_request_from_a_file(server, tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"model": "m", "temperature": 0.5, "messages": [{"role": "user", "content": "ü"}]}))
    done = chat(server, f"@{path}", TEMP="1", TOP_P="0.5")
    assert (done.returncode, done.stdout) == (0, "echo: ü\n")
    assert server.bodies[0][1] == {
        "model": "m",
        "temperature": 0.5,
        "top_p": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "ü"}],
    }


def test_a_call_is_shown_answered_and_fed_back(server):
    done = chat(server, "weather in Oslo", TOOLS_WITH="true")
    result = '{"city":"Oslo","temperature":23,"condition":"cloudy"}'
    assert (done.returncode, done.stdout) == (0, f"echo: {result}\n")
    assert done.stderr == f'call: get_weather {{"location": "Oslo"}}\nmade-up result: {result}\n'
    first, second = (body for _, body in server.bodies)
    (tool,) = first["tools"]
    assert tool["type"] == "function" and tool["function"]["name"] == "get_weather"
    assert tool["function"]["parameters"]["required"] == ["location"]
    function = {"name": "get_weather", "arguments": '{"location": "Oslo"}'}
    assert second["messages"] == [
        {"role": "user", "content": "weather in Oslo"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c0", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c0", "content": result},
    ]
    assert second["tools"] == first["tools"]


def test_two_calls_in_one_answer_get_two_results(server):
    chat(server, "twice in Rome", TOOLS_WITH="true")
    roles = [(m["role"], m.get("tool_call_id")) for m in server.bodies[1][1]["messages"]]
    assert roles == [("user", None), ("assistant", None), ("tool", "c0"), ("tool", "c1")]


def test_a_conversation_keeps_calls_and_results(server):
    chat(server, typed="weather in Oslo\nand now?\n", TOOLS_WITH="true")
    roles = [message["role"] for message in server.bodies[2][1]["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


def test_without_tools_there_are_none(server):
    done = chat(server, "weather in Oslo", TOOLS_WITH="false")
    assert done.stdout == "echo: weather in Oslo\n" and "tools" not in server.bodies[0][1]


def test_a_forced_call_is_forced_once(server):
    chat(server, "weather in Oslo", TOOLS_WITH="true", TOOL_CHOICE="required")
    assert [body["tool_choice"] for _, body in server.bodies] == ["required", "auto"]
    named = {"type": "function", "function": {"name": "get_weather"}}
    chat(server, "hi", TOOLS_WITH="true", TOOL_CHOICE=json.dumps(named))
    assert server.bodies[2][1]["tool_choice"] == named


def test_tools_of_a_request_from_a_file_are_not_run(server, tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"tools": [{}], "messages": [{"role": "user", "content": "weather in Oslo"}]}))
    done = chat(server, f"@{path}")
    assert (done.stdout, done.stderr) == ("", 'call: get_weather {"location": "Oslo"}\n')
    assert len(server.bodies) == 1


def test_counts_are_told_as_far_as_they_are_there(server):
    server.usage = {"prompt_tokens": 7, "completion_tokens": 3, "time_to_first_token_ms": 12.3456}
    assert chat(server, "hi").stderr == "[7 tokens in, 3 out, first after 12.35 ms]\n"
    server.usage |= {"time_per_output_token_ms": 2, "tokens_per_second": 500.5}
    server.usage |= {"draft_tokens": 4, "draft_tokens_acceptance": 0.75}
    assert chat(server, "hi").stderr == (
        "[7 tokens in, 3 out, first after 12.35 ms, then 2 ms each, 500.5 tokens/s, 4 drafted, 75% accepted]\n"
    )


def test_a_key_is_sent(server):
    chat(server, "hi", API_KEY="s3cret")
    chat(server, "hi")
    assert server.keys == ["Bearer s3cret", None]


def test_an_error_of_the_server_is_told(server):
    done = chat(server, "fail")
    assert done.returncode != 0
    assert done.stderr == "error: no such thing\n"


def test_a_conversation_goes_on_after_an_error_and_forgets_it(server):
    done = chat(server, typed="one\nfail\ntwo\n")
    assert done.returncode == 0
    assert [message["content"] for message in server.bodies[2][1]["messages"]] == ["one", "echo: one", "two"]


def test_no_server(server):
    server.shutdown()
    server.server_close()
    done = chat(server, "Hi")
    assert done.returncode != 0 and "curl" in done.stderr


def test_the_model_that_ships_calls_and_reports():
    words = ["serve", "--backend", "numpy", "--port", "0", "--no-warmup", "--temp", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA")}
    process = subprocess.Popen(
        [sys.executable, "-m", "llamabox", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    try:
        url = process.stdout.readline().split()[-1]
        deadline = time.monotonic() + 60
        while not healthy(url):
            assert time.monotonic() < deadline and process.poll() is None, "the server did not get ready"
            time.sleep(0.05)
        done = chat(
            None, typed="What is the weather like in Paris today?\nTell me a joke.\n", TOOLS_WITH="true", API_URL=url
        )
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert done.returncode == 0
    assert 'call: get_weather {"location": "Paris"}\nmade-up result: {"city":"Paris","temperature":' in done.stderr
    report, joke = done.stdout.splitlines()
    degrees = re.search(r'"temperature":(\d+)', done.stderr)[1]
    assert "Paris" in report and degrees in report and "Why did" in joke
    assert len(re.findall(r"^\[\d+ tokens in, \d+ out", done.stderr, re.MULTILINE)) == 3


def healthy(url):
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False
