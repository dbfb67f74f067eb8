"""The real programs on a small random model: start, answer, tell of mistakes, stop."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from llamabox.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA")}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A llama of the skeletons' size with random weights and Llama's SentencePiece vocabulary."""
    out = tmp_path_factory.mktemp("model") / "small.gguf"
    skeleton = ROOT / "conformance" / "archs" / "skeletons" / "llama.json"
    vocabulary = ROOT / "conformance" / "vocabs" / "ggml-vocab-llama-spm.gguf"
    subprocess.run(
        [sys.executable, ROOT / "tools" / "make_model.py", skeleton, vocabulary, out], check=True, timeout=60
    )
    return str(out)


def llamabox(*words, text=None, **environment):
    """Run a command to its end, with a pipe that holds `text` as standard input."""
    return subprocess.run(
        [sys.executable, "-m", "llamabox", *words],
        input=text if text is not None else "",
        capture_output=True,
        text=True,
        timeout=120,
        env=ENVIRONMENT | environment,
    )


FAST = ("--backend", "numpy", "-c", "128", "-n", "8", "-s", "5")


def test_complete_gives_the_same_text_for_the_same_seed(model):
    runs = [llamabox("complete", "-m", model, *FAST, "-s", seed, "Once upon a time") for seed in ("5", "5", "6")]
    assert [run.returncode for run in runs] == [0, 0, 0], runs[0].stderr
    first, second, other = (run.stdout for run in runs)
    assert first == second != other and first.strip() and first.endswith("\n")


def test_options_reach_the_sampler(model):
    banned = llamabox("complete", "-m", model, *FAST, "--samplers", "top_k", "--top-k", "1", "-n", "3", "Once")
    biased = llamabox("complete", "-m", model, *FAST, "-l", "15043+100", "-n", "3", "Once")  # 15043: " Hello"
    assert biased.stdout == " Hello Hello Hello\n"
    assert banned.returncode == 0 and banned.stdout != biased.stdout


def test_chat_answers_a_pipe_and_warns_of_the_missing_template(model):
    done = llamabox("chat", "-m", model, *FAST, text="Hello")
    assert done.returncode == 0 and done.stdout.endswith("\n")
    assert re.fullmatch(
        r"\S+ \S+ W chat\.named: the model file has no chat template \(.*\); using chatml\n", done.stderr
    )
    named = llamabox("chat", "-m", model, *FAST, "--chat-template", "chatml", text="Hello")
    assert (named.stdout, named.stderr) == (done.stdout, "")


@pytest.mark.parametrize(
    "words, message",
    [
        (["complete", "-m", "no.gguf", "x"], "-m no.gguf: found no such file, expected a GGUF file"),
        (["complete", "-m", __file__, "x"], "not a GGUF file"),
        (
            ["complete", "-m", "MODEL", "-c", "16", "word " * 40],
            "the prompt has 42 tokens, the context of one sequence holds 16",
        ),
        (["complete", "-m", "MODEL", "-l", "32000+1", "x"], "logit_bias: found token id 32000"),
        (["complete", "-m", "MODEL", "--override-kv", "llama.block_count=str:x", "x"], "llama.block_count"),
        (["chat", "-m", "MODEL", "--chat-template", "{{ nope(", "x"], "the chat template does not compile"),
    ],
)
def test_a_mistake_is_one_line(model, words, message, capsys, pipe):
    pipe("")
    assert main([*(model if word == "MODEL" else word for word in words), "--backend", "numpy"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error


@pytest.mark.parametrize(
    "words, message", [(["-m", __file__], "not a GGUF file"), (["--chat-template", "no"], "found 'no'")]
)
def test_a_mistake_that_shows_while_loading_ends_the_server(model, words, message):
    done = llamabox("serve", "-m", model, "--port", "0", "--backend", "numpy", "--no-warmup", *words)
    errors = [line for line in done.stderr.splitlines() if not re.match(r"\d{4}-", line)]  # all but the log
    assert done.returncode == 2 and len(errors) == 1
    assert errors[0].startswith("error: ") and message in errors[0]


@pytest.fixture
def server(model):
    """A running llama-box: (process, URL)."""
    command = [sys.executable, "-m", "llamabox", "serve", "-m", model, "--port", "0", "-c", "128", "--backend", "numpy"]
    process = subprocess.Popen(
        [*command, "-np", "2", "-ngl", "99"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | {"LLAMA_ARG_MODEL_ALIAS": "nick"},
    )
    try:
        yield process, process.stdout.readline().split()[-1]
    finally:
        process.kill()
        process.communicate()


def get(url, body=None):
    """The JSON of a reply, asked for again while the model is loading."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    for _ in range(200):
        try:
            return json.load(urllib.request.urlopen(request, timeout=60))
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.1)
    raise AssertionError("the model does not load")


def test_serve_answers_and_stops_on_a_signal(server):
    process, url = server
    assert get(f"{url}/health") == {"status": "ok"}
    assert get(f"{url}/v1/models")["data"][0]["id"] == "nick"
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "temperature": 0}
    reply = get(f"{url}/v1/chat/completions", body)
    assert reply["model"] == "nick" and reply["usage"]["completion_tokens"] == 4

    port = url.rsplit(":", 1)[1]
    second = llamabox("serve", "-m", __file__, "--port", port)
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n"

    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert log.count("no GPU is present: -ngl is without effect") == 1
    assert "SIGTERM" in log.splitlines()[-1]


def test_serve_refuses_a_draft_model_of_another_vocabulary(model):
    draft = str(ROOT / "llamabox" / "assets" / "tiny-chat.gguf")
    done = llamabox("serve", "-m", model, "-md", draft, "--port", "0", "--backend", "numpy")
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "draft model: its " in errors[0] and "expected that of the model" in errors[0]
