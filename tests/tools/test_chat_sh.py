"""tools/chat.sh against a small server that answers as the API does: requests sent, answers shown, errors told."""

import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "chat.sh"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq"))), reason="tools/chat.sh needs bash, curl and jq"
)


class Handler(BaseHTTPRequestHandler):
    """Streams "echo: <last message>" in two pieces; answers 400 to a request that says "fail"."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append((self.path, body))
        text = body["messages"][-1]["content"]
        if text == "fail":
            return self._send(400, "application/json", [json.dumps({"error": {"message": "no such thing"}}) + "\n"])
        deltas = [{"role": "assistant"}, {"content": "echo: "}, {"content": text}, {}]
        if "tools" in body:
            deltas.append({"tool_calls": [{"function": {"name": "get_weather"}}]})
        events = [json.dumps({"choices": [{"delta": delta}]}) for delta in deltas]
        usage = json.dumps({"choices": [], "usage": {"total_tokens": 3}})
        self._send(200, "text/event-stream", [f"data: {event}\n\n" for event in [*events, usage, "[DONE]"]])

    def _send(self, status, kind, parts):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        for part in parts:
            self.wfile.write(part.encode())

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.bodies = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def chat(server, *words, typed=None, **environment):
    url = f"http://127.0.0.1:{server.server_port}"
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "API_URL": url, "LC_ALL": "C.UTF-8", **environment}
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
            },
        )
    ]


def test_a_conversation(server):
    done = chat(server, typed="one\n\ntwo\nexit\nnever\n")
    assert (done.returncode, done.stdout) == (0, "echo: one\necho: two\n")
    assert [message["content"] for message in server.bodies[1][1]["messages"]] == ["one", "echo: one", "two"]
    assert [message["role"] for message in server.bodies[1][1]["messages"]] == ["user", "assistant", "user"]
    assert server.bodies[0][1].keys() == {"messages", "stream"}


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
        "messages": [{"role": "user", "content": "ü"}],
    }


def test_tools(server):
    done = chat(server, "call", TOOLS_WITH="true")
    assert (done.returncode, done.stdout) == (0, 'echo: call[{"function":{"name":"get_weather"}}]\n')
    (tool,) = server.bodies[0][1]["tools"]
    assert tool["type"] == "function" and tool["function"]["name"] == "get_weather"
    assert tool["function"]["parameters"]["required"] == ["location"]
    chat(server, "call", TOOLS_WITH="false")
    assert "tools" not in server.bodies[1][1]


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
