"""Embeddings and reranks per second of llamabox and llama-server, the same files and bodies, in alternation.

    python benchmarks/embeddings.py --llama-cpp FOLDER --minilm FOLDER [--pairs 5] [--threads 2] [--types f16,q8_0]
                                    [--only NAME] [--out results/embeddings.json]

--llama-cpp is the folder of llama-server and llama-quantize; --minilm that of all-MiniLM-L6-v2 (see
conformance/embeddings.py), whose real weights embed. The reranker has the shape of bge-reranker-base with a width of
384: 12 layers, random weights. Both servers run with the same threads, one request of theirs at a time is measured;
each pair measures llamabox, then llama-server. Ratios are medians over the pairs. The client is this process.
"""

import argparse
import http.client
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from served import Server, free_port, llama_served, served

from llamabox.gguf import open_gguf
from llamabox.gguf.convert import convert_folder

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tools"))
import make_model  # noqa: E402

WORDS = (
    "river stone cloud paper lamp forest window signal garden market winter summer bridge music letter number ocean "
    "engine candle silver copper planet story teacher doctor painter sailor farmer kitchen morning evening history"
).split()


@dataclass(frozen=True)
class Load:
    """Bodies sent to a path by so many clients; items: what is counted, embeddings or documents."""

    name: str
    path: str
    bodies: list[dict]
    items: int
    clients: int


def text(rng: random.Random, low: int, high: int) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))


def loads() -> dict[str, list[Load]]:
    """What is asked of the embedding model and of the reranker."""
    rng = random.Random(0)
    batches = [{"input": [text(rng, 5, 60) for _ in range(32)]} for _ in range(6)]
    singles = [{"input": text(rng, 5, 60)} for _ in range(96)]
    ranks = [{"query": text(rng, 5, 12), "documents": [text(rng, 20, 80) for _ in range(16)]} for _ in range(4)]
    return {
        "embed": [
            Load("embeddings, 32 a request", "/v1/embeddings", batches, 192, 2),
            Load("embeddings, one a request, 8 clients", "/v1/embeddings", singles, 96, 8),
        ],
        "rerank": [Load("documents ranked, 16 a request", "/v1/rerank", ranks, 64, 2)],
    }


def post(server: Server, path: str, body: dict) -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    if reply.status != 200:
        raise RuntimeError(f"{reply.status}: {data.decode()}")
    return json.loads(data)


def items_per_second(server: Server, load: Load) -> float:
    with ThreadPoolExecutor(load.clients) as pool:
        began = time.monotonic()
        list(pool.map(lambda body: post(server, load.path, body), load.bodies))
        return load.items / (time.monotonic() - began)


def compare(ours: Server, theirs: Server, load: Load, pairs: int) -> dict:
    """Alternating runs, after one of each that is not counted; the token counts of both must agree."""
    counts = [post(server, load.path, load.bodies[0])["usage"]["prompt_tokens"] for server in (ours, theirs)]
    if counts[0] != counts[1]:
        raise RuntimeError(f"{load.name}: {counts[0]} and {counts[1]} tokens for the same texts")
    for server in (ours, theirs):
        items_per_second(server, load)
    runs = [(items_per_second(ours, load), items_per_second(theirs, load)) for _ in range(pairs)]
    return {
        "llamabox": [round(a, 1) for a, _ in runs],
        "llama_server": [round(b, 1) for _, b in runs],
        "ratio": round(statistics.median(a / b for a, b in runs), 3),
    }


def make_files(arguments, folder: Path) -> dict[str, dict[str, Path]]:
    """kind -> type -> file: F16 by our own tools, the others by llama-quantize."""
    plain = {"embed": folder / "minilm.gguf", "rerank": folder / "rerank-12x384.gguf"}
    convert_folder(arguments.minilm, plain["embed"])
    vocab = open_gguf(ROOT / "conformance" / "vocabs" / "ggml-vocab-bert-bge.gguf")
    make_model.make_model(make_model.real_skeleton("rerank-12x384"), vocab, plain["rerank"], None, 512, 1)
    files: dict[str, dict[str, Path]] = {}
    for kind, source in plain.items():
        files[kind] = {}
        for type in arguments.types.split(","):
            files[kind][type] = source.with_name(f"{source.stem}-{type}.gguf")
            command = [f"{arguments.llama_cpp}/llama-quantize", source, files[kind][type], type]
            subprocess.run(command, check=True, capture_output=True)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-cpp", required=True)
    parser.add_argument("--minilm", required=True)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--types", default="f16,q8_0")
    parser.add_argument("--only", choices=("embed", "rerank"))
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "embeddings.json"))
    arguments = parser.parse_args()
    result: dict = {
        "command": "python benchmarks/embeddings.py --llama-cpp FOLDER --minilm FOLDER "
        f"--pairs {arguments.pairs} --threads {arguments.threads} --types {arguments.types}",
        "llama_server": "llama.cpp 0c1e57098 (llama-cpp-python 0.3.36); both servers: -np 4 -c 2048, defaults else",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "items_per_second": {},
    }
    flags = ["-t", arguments.threads, "-tb", arguments.threads, "-np", "4", "-c", "2048"]
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(arguments, Path(folder))
        for kind, some in loads().items():
            if arguments.only not in (None, kind):
                continue
            flag = "--embeddings" if kind == "embed" else "--rerank"
            for file in files[kind].values():
                path = str(file)
                with (
                    served(path, *flags, flag) as ours,
                    llama_served(arguments.llama_cpp, path, free_port(), *flags, flag) as theirs,
                ):
                    for load in some:
                        name = f"{file.stem}: {load.name}"
                        result["items_per_second"][name] = compare(ours, theirs, load, arguments.pairs)
                        print(name, json.dumps(result["items_per_second"][name]), flush=True)
    Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
