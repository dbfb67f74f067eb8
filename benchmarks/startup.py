"""Time from start to ready and resident memory, beside llama-server on the same files, in alternating runs.

    python benchmarks/startup.py FILE... --llama-cpp DIR [--pairs 3] [--out results/startup.json]

Ready: /health answers 200. Memory: after one request of 256 tokens and 32 more. The first start
compiles kernels: run it twice.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from served import Server, served

CONTEXT = 4096
REQUEST = {"prompt": [100 + i for i in range(256)], "n_predict": 32, "temperature": 0, "ignore_eos": True}
HELP = [str(Path(sys.executable).with_name("llamabox")), "--help"]


@contextmanager
def llama_server(directory: str, path: str):
    """llama.cpp's server on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [f"{directory}/llama-server", "-m", path, "--port", str(port), "-c", str(CONTEXT), "-np", "1", "-t", "2"]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(process, port, command)
    try:
        while not healthy(server):
            time.sleep(0.02)
        server.ready_s = time.monotonic() - began
        yield server
    finally:
        process.terminate()
        process.wait(30)


def healthy(server: Server) -> bool:
    try:
        return server.get("/health")[0] == 200
    except OSError:
        return False


def measure(context) -> dict:
    with context as server:
        server.stream(REQUEST)
        return {"ready_s": server.ready_s, "resident_mib": server.resident_bytes() / 2**20}


def seconds_for_help() -> float:
    began = time.monotonic()
    subprocess.run(HELP, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--llama-cpp", required=True)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "startup.json"))
    arguments = parser.parse_args()
    results = {"cores": os.cpu_count(), "help_s": round(statistics.median(seconds_for_help() for _ in range(5)), 3)}
    for path in arguments.files:
        ours, theirs = [], []
        for _ in range(arguments.pairs):
            ours.append(measure(served(path, "-c", str(CONTEXT))))
            theirs.append(measure(llama_server(arguments.llama_cpp, path)))
        results[Path(path).name] = {
            "file_mib": round(Path(path).stat().st_size / 2**20, 1),
            "llamabox": {k: round(statistics.median(run[k] for run in ours), 2) for k in ours[0]},
            "llama-server": {k: round(statistics.median(run[k] for run in theirs), 2) for k in theirs[0]},
        }
    print(json.dumps(results, indent=1))
    Path(arguments.out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
