"""Store llama-server's answers on /v1/embeddings, /embedding and /rerank for tiny random models, real vocabularies.

    python conformance/served_embeddings.py LLAMA_SERVER

LLAMA_SERVER is the program, built from llama-cpp-python's sources. Writes conformance/results/served_embeddings.json;
tests/server/test_served_embeddings.py asks our server the same and compares.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE / "archs"), str(HERE.parent / "tools")]
import make_model  # noqa: E402
import materialize  # noqa: E402

from llamabox.gguf import ValueType, open_gguf  # noqa: E402

STORED = HERE / "results" / "served_embeddings.json"
PORT = 18765
SETTINGS = ["-c", "1024", "-np", "4", "-t", "2", "-fa", "off", "-ctk", "f32", "-ctv", "f32", "--no-warmup"]
TEXTS = [
    "The giant panda is a bear species endemic to China.",
    "hi",
    "Ein Flugzeug fliegt über den Wolken: 10,000 m hoch.",
    "日本語 and emoji 😀 in one sentence",
    "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)",
    "token <s> [SEP] </s> <|endoftext|> texts",
    "ran " * 30 + "away.",
]
QUERY = "Organic skincare products for sensitive skin"
DOCUMENTS = [
    "Eco-friendly kitchenware for modern homes",
    "Biodegradable cleaning supplies for eco-conscious consumers",
    "Organic cotton baby clothes for sensitive skin",
    "Natural organic skincare range for sensitive skin",
    "Tech gadgets for smart homes: 2024 edition",
    "Sustainable gardening tools and compost solutions",
    "Sensitive skin-friendly facial cleansers and toners",
    "Organic food wraps and storage solutions",
    "All-natural pet food for dogs with allergies",
    "Yoga mats made from recycled materials </s>",
]
QWEN3_RERANK = (
    "<|im_start|>system\nJudge whether the Document meets the Query.<|im_end|>\n<|im_start|>user\n<Query>: {query}\n"
    "<Document>: {document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
TYPES = {str: ValueType.STRING, bool: ValueType.BOOL, int: ValueType.UINT32}
SEP = "tokenizer.ggml.seperator_token_id"  # spelt so
XLM = {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": True, "tokenizer.ggml.add_sep_token": True}


@dataclass(frozen=True)
class Case:
    """A skeleton with a vocabulary, keys changed in its metadata, the server's flags, and the paths to ask."""

    skeleton: str
    vocab: str
    flags: tuple[str, ...]
    paths: tuple[str, ...]
    keys: dict = field(default_factory=dict)


EMBED, RERANK = ("/v1/embeddings", "/embedding"), ("/rerank",)
CASES = {
    "bert": Case("bert-mean", "bert-bge", ("--embeddings",), EMBED),
    "bert-cls": Case("bert-mean", "bert-bge", ("--embedding", "--pooling", "cls"), EMBED),
    "bert-last": Case("bert-mean", "bert-bge", ("--embeddings", "--pooling", "last"), EMBED),
    "bert-none": Case("bert-mean", "bert-bge", ("--embeddings", "--pooling", "none"), EMBED[1:]),
    "bert-taxicab": Case("bert-mean", "bert-bge", ("--embeddings", "--embd-normalize", "1"), EMBED),
    "bert-rank": Case("bert-rank", "bert-bge", ("--rerank",), RERANK),
    "xlm-roberta-rank": Case("xlm-roberta-rank", "nomic-bert-moe", ("--reranking",), RERANK, XLM),
    "jina-bert-v2-rank": Case("jina-bert-v2-rank", "llama-spm", ("--rerank",), RERANK, XLM | {SEP: 2}),
    "modern-bert-rank": Case("modern-bert-rank", "gpt-2", ("--embeddings", "--pooling", "rank"), RERANK),
    "nomic-bert": Case("nomic-bert", "bert-bge", ("--embeddings", "--pooling", "mean"), EMBED),
    "gemma-embedding": Case("gemma-embedding", "llama-spm", ("--embeddings", "--pooling", "mean"), EMBED),
    "qwen3-embedding": Case("qwen3-embedding", "qwen2", ("--embeddings", "--pooling", "last"), EMBED),
    "qwen3-rerank": Case(
        "qwen3-rerank", "qwen2", ("--rerank",), RERANK, {"tokenizer.chat_template.rerank": QWEN3_RERANK}
    ),
}


def make(case: Case, folder: Path) -> Path:
    """Write the case's model, unless it is there."""
    name = "-".join([case.skeleton, case.vocab, *(["keys"] if case.keys else [])])
    path = folder / f"{name}.gguf"
    if not path.exists():
        vocab = open_gguf(HERE / "vocabs" / f"ggml-vocab-{case.vocab}.gguf")
        types = {key: TYPES[type(value)] for key, value in case.keys.items()}
        changed = SimpleNamespace(
            path=vocab.path, metadata=vocab.metadata | case.keys, value_types=vocab.value_types | types
        )
        skeleton = materialize.load_skeleton(HERE / "archs" / "skeletons" / f"{case.skeleton}.json")
        make_model.make_model(skeleton, changed, path, None, 256, 1)
    return path


def body(path: str) -> dict:
    """What is asked of a path; scores are llama-server's own, which are not normalised."""
    if path == "/rerank":
        return {"query": QUERY, "documents": DOCUMENTS, "normalize": False}
    return {"input": TEXTS}


def post(path: str, data: dict) -> dict | list:
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}{path}", json.dumps(data).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())


def wait_until_ready(server: subprocess.Popen) -> None:
    for _ in range(600):
        if server.poll() is not None:
            sys.exit(f"the server ended with {server.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    sys.exit("the server does not answer")


@contextmanager
def started(command: list[str]) -> Iterator[None]:
    """A server while it is needed."""
    server = subprocess.Popen([*command, "--port", str(PORT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_ready(server)
        yield
    finally:
        server.terminate()
        server.wait(30)


def ask(program: str, path: Path, case: Case) -> dict:
    """path -> llama-server's reply, numbers rounded to 7 digits, what f32 holds."""
    with started([program, "-m", str(path), *SETTINGS, *case.flags]):
        return {path: rounded(post(path, body(path))) for path in case.paths}


def rounded(value):
    """The same with floats of 7 digits, and without the name of the file."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items() if key != "model"}
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="llama-server")
    program = parser.parse_args().program
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stderr.splitlines()[0]
    result: dict = {
        "program": f"llama-server, {version} (llama.cpp 0c1e57098, llama-cpp-python 0.3.36)",
        "settings": " ".join(SETTINGS),
        "command": "python conformance/served_embeddings.py LLAMA_SERVER",
        "replies": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            result["replies"][name] = ask(program, make(case, Path(folder)), case)
            print(name, flush=True)
    STORED.write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")).replace('"bert', '\n"bert') + "\n")


if __name__ == "__main__":
    main()
