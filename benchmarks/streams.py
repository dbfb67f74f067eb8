"""32 streams of chat: llamabox's engine alone, its server, and llama-server, in alternating runs on the same file.

    python benchmarks/streams.py FILE --llama-cpp DIR [--pairs 5] [--streams 32] [--tokens 64] [--out FILE]

DIR holds llama-server. The load generator (load.py) is a process of its own; its processor time is reported, and so is
the servers'. Tokens a second count from the first request to the end of the last reply, prompts included.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from compare_llama_cpp import cpu_name
from served import free_port, llama_served, served

HERE = Path(__file__).parent
QUESTION = "Tell me the story of number {i} in a few words."


def engine_alone(arguments) -> dict:
    """The engine in a process without HTTP: the same prompts, all submitted at once."""
    command = [sys.executable, str(HERE / "engine_alone.py"), arguments.file, "--prompt", QUESTION]
    command += ["--streams", str(arguments.streams), "--tokens", str(arguments.tokens)]
    command += ["--threads", str(arguments.threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def loaded(server, arguments, body: str) -> dict:
    """One run of the generator against a running server."""
    command = [sys.executable, str(HERE / "load.py"), str(server.port), "/v1/chat/completions", body]
    command += ["--streams", str(arguments.streams)]
    before = server.cpu_seconds()
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found["server_cpu_s"] = round(server.cpu_seconds() - before, 2)
    found["tokens_per_second"] = round(arguments.streams * arguments.tokens / found["seconds"], 1)
    return found


@contextmanager
def chat_body(arguments):
    """A file with the request that every stream sends."""
    body = {
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": arguments.tokens,
        "temperature": 0,
        "ignore_eos": True,
        "cache_prompt": False,
        "stream": True,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(body, file)
        file.flush()
        yield file.name


def one_round(arguments, body: str) -> dict:
    """Each program once; servers are started for the round, and get one run of two tokens first."""
    flags = ("-np", str(arguments.streams), "-c", str(256 * arguments.streams), "-t", str(arguments.threads))
    found = {"engine": engine_alone(arguments)}
    with served(arguments.file, *flags) as server:
        found["server"] = loaded(server, arguments, body)
    with llama_served(arguments.llama_cpp, arguments.file, free_port(), *flags) as server:
        found["llama-server"] = loaded(server, arguments, body)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--llama-cpp", required=True)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default=str(HERE / "results" / "streams.json"))
    arguments = parser.parse_args()
    with chat_body(arguments) as body:
        rounds = [one_round(arguments, body) for _ in range(arguments.pairs)]

    def ratio(a: str, b: str) -> float:
        return round(statistics.median(r[a]["tokens_per_second"] / r[b]["tokens_per_second"] for r in rounds), 3)

    result = {
        "machine": f"{cpu_name()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "command": f"python benchmarks/streams.py {Path(arguments.file).name} --llama-cpp DIR "
        f"--pairs {arguments.pairs} --streams {arguments.streams} --tokens {arguments.tokens} "
        f"--threads {arguments.threads}",
        "server_over_engine": ratio("server", "engine"),
        "server_over_llama_server": ratio("server", "llama-server"),
        "rounds": rounds,
    }
    text = json.dumps(result, indent=1)
    print(text)
    Path(arguments.out).write_text(text + "\n")


if __name__ == "__main__":
    main()
