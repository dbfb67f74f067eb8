"""The whole server, on a small random model: real sockets, real engine, the cpu backend."""

import http.client
import json
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from test_sockets import running, wait_for

from llamabox.engine import SamplingParams
from llamabox.server.admission import Admission
from llamabox.server.context import ServerContext
from llamabox.server.loading import load_served
from llamabox.server.requests import Defaults
from llamabox.server.settings import ServerSettings

ROOT = Path(__file__).parents[2]
N_CLIENTS = 12
GREEDY = {"temperature": 0, "n_predict": 24, "ignore_eos": True}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A llama of the skeletons' size with random weights and Llama's SentencePiece vocabulary."""
    out = tmp_path_factory.mktemp("model") / "small.gguf"
    skeleton = ROOT / "conformance" / "archs" / "skeletons" / "llama.json"
    vocabulary = ROOT / "conformance" / "vocabs" / "ggml-vocab-llama-spm.gguf"
    command = [sys.executable, ROOT / "tools" / "make_model.py", skeleton, vocabulary, out]
    subprocess.run(command, check=True, timeout=60)
    return str(out)


@pytest.fixture(scope="module")
def server(small):
    """(context, port) of a server with 3 sequences of 256 tokens."""
    defaults = Defaults(SamplingParams())
    settings = ServerSettings(
        small, defaults, n_ctx=3 * 256, n_parallel=3, load={"overrides": ["llama.context_length=int:256"]}
    )
    context = ServerContext(Admission(-1, settings.n_parallel), defaults)
    context.model = load_served(settings)
    with running(context) as port:
        yield context, port
    context.model.engine.close(timeout_s=5)


def stream(port, body, hang_up_after=None):
    """Text of a streamed /completion and its last chunk; hangs up after so many chunks when told to."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(
        "POST", "/completion", json.dumps({**body, "stream": True}), {"Content-Type": "application/json"}
    )
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    text, last = "", None
    for n, line in enumerate(line for line in reply if line.startswith(b"data: {")):
        last = json.loads(line[6:])
        text += last["content"]
        if n == hang_up_after:
            break
    connection.close()
    return text, last


def test_clients_that_stay_get_the_text_they_get_alone(server):
    context, port = server
    rng = random.Random(0)
    prompts = [f"Prompt {i} " + "word " * rng.randint(0, 30) for i in range(N_CLIENTS)]
    alone = [stream(port, {**GREEDY, "prompt": prompt, "cache_prompt": False})[0] for prompt in prompts]
    leaves = {i: rng.randint(0, 10) for i in range(0, N_CLIENTS, 3)}
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        jobs = [pool.submit(stream, port, {**GREEDY, "prompt": p}, leaves.get(i)) for i, p in enumerate(prompts)]
        texts = [job.result()[0] for job in jobs]
    assert len(set(alone)) > N_CLIENTS // 2
    assert [texts[i] for i in range(N_CLIENTS) if i not in leaves] == [
        alone[i] for i in range(N_CLIENTS) if i not in leaves
    ]
    wait_for(lambda: context.admission.open == 0)
    wait_for(lambda: context.model.engine.status().running == 0)


def test_requests_that_begin_alike_compute_the_beginning_once(server):
    _, port = server
    prefix = [300 + i for i in range(150)]
    with ThreadPoolExecutor(3) as pool:
        bodies = [{**GREEDY, "prompt": prefix + [400 + i], "n_predict": 2} for i in range(3)]
        computed = [job[1]["timings"]["prompt_n"] for job in pool.map(lambda body: stream(port, body), bodies)]
    assert sorted(computed)[:2] == [1, 1] and max(computed) == 151


def test_a_prompt_beyond_the_context_of_one_sequence_is_refused(server):
    _, port = server
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError, match="300 tokens"):
        client.completions.create(model="x", prompt=[5] * 300)


def test_stop_seed_and_bias_act(server):
    _, port = server
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)

    def complete(**fields):
        return client.completions.create(model="x", prompt="Once upon a time", max_tokens=16, **fields).choices[0]

    first, again, other = (complete(seed=s, temperature=1.0).text for s in (1, 1, 2))
    assert first == again != other
    stop = first[3:6]
    cut = complete(seed=1, temperature=1.0, stop=stop)
    assert cut.text == first[: first.index(stop)] and cut.finish_reason == "stop"
    assert complete(temperature=0, logit_bias={"15043": 100}).text == " Hello" * 16
    assert complete(seed=1).finish_reason == "length"


def test_a_stream_that_is_running_when_the_engine_closes_ends_with_an_error(small):
    defaults = Defaults(SamplingParams())
    context = ServerContext(Admission(-1, 1), defaults)
    context.model = load_served(ServerSettings(small, defaults, n_ctx=256, warmup=False))
    with running(context) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = {"prompt": "x", "n_predict": 200, "ignore_eos": True, "stream": True}
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        reply.readline()
        closer = threading.Thread(target=context.model.engine.close, args=(0.0,))
        closer.start()
        text = reply.read().decode()
        closer.join()
        assert "event: error" in text and "shutting down" in text
