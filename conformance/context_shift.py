"""llama-server's greedy tokens across context shifts, on a tiny model with a vocabulary.

    LLAMA_CPP_DIR=<folder of llama-server> python conformance/context_shift.py

Writes conformance/results/context_shift.json; tests/engine/test_context_shift_conformance.py reads it.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "context_shift.json"
N_CTX, N_PREDICT = 256, 320  # llama-server's contexts are multiples of 256
PROMPT = [1, *((31 * i) % 4000 + 300 for i in range(100))]
CASES = {"half": {}, "keep": {"n_keep": 20}, "all": {"n_keep": -1}, "few": {"n_keep": 33, "n_discard": 40}}
TYPES = ("f16", "f32")  # this llama-server ends with a signal when it shifts quantised keys of such small heads


def make_model(path: Path) -> None:
    """A llama of F32 weights with a real vocabulary."""
    vocabulary, skeleton = HERE / "vocabs" / "ggml-vocab-llama-spm.gguf", HERE / "archs" / "skeletons" / "llama.json"
    command = [sys.executable, HERE.parent / "tools" / "make_model.py", skeleton, vocabulary, path]
    subprocess.run(command, check=True)


def ask(port: int, path: str, body: dict | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def wait(port: int) -> None:
    for _ in range(100):
        try:
            ask(port, "/health")
            return
        except OSError:
            time.sleep(0.2)
    sys.exit("llama-server does not start")


def main() -> None:
    directory = Path(os.environ["LLAMA_CPP_DIR"])
    env = {**os.environ, "LD_LIBRARY_PATH": str(directory)}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ["-c", str(N_CTX), "-np", "1", "--context-shift", "-t", "1", "-fa", "off", "--port", str(port)]
    stored: dict = {"provenance": {"program": "llama-server (llama.cpp 0c1e57098)", "flags": flags[:-2]}, "tokens": {}}
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder) / "model.gguf")
        for name in TYPES:
            types = ["-ctk", name, "-ctv", name]
            command = [directory / "llama-server", "-m", Path(folder) / "model.gguf", *flags, *types]
            server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                wait(port)
                for case, fields in CASES.items():
                    common = {"temperature": 0, "n_predict": N_PREDICT, "ignore_eos": True, "return_tokens": True}
                    reply = ask(port, "/completion", {"prompt": PROMPT, "cache_prompt": False, **common, **fields})
                    stored["tokens"][f"{name} {case}"] = reply["tokens"]
                    print(name, case, reply["truncated"], len(reply["tokens"]), len(set(reply["tokens"])))
            finally:
                server.terminate()
                server.wait()
    RESULTS.write_text(json.dumps(stored, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
