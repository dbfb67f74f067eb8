"""Decode beside a plain read of the same bytes, its floor: every weight is read once a token, straight from the file.

    python benchmarks/floor.py FILE... [--llama-cpp DIR] [--rounds 7] [--tokens 24] [--threads 2] [--out FILE]

A round reads the weights of a token without computing anything (64 bytes at a time, the same threads and the same
mapped file), decodes a token with the `cpu` backend, reads again, and so on, and then runs llama-bench for as many
tokens, where DIR is given. How much a virtual machine can read changes with its neighbours within seconds, so the share
of the plain read is taken token by token, from the read just before; its median is printed.

    read                  GB/s of the plain read
    llamabox, llama.cpp   GB/s of weights while decoding
"""

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
from plain_read import Reader

import llamabox
from llamabox.gguf import open_gguf
from llamabox.kernels import Rows, make_step
from llamabox.kernels.host import cpu_name

CONTEXT = 64


def weights_of(path: str) -> list[np.ndarray]:
    """The matrices that every token needs whole: all but an embedding table that is not the output matrix too."""
    tensors = open_gguf(path).tensors
    tied = "output.weight" not in tensors
    return [t.data for name, t in tensors.items() if len(t.shape) > 1 and (tied or name != "token_embd.weight")]


class Decoder:
    """Decodes one sequence with the `cpu` backend, again from the start of an empty context when it is full."""

    def __init__(self, path: str, threads: int):
        self._model, self._pos = llamabox.load(path, threads=threads).model, 0
        self._cells = np.arange(CONTEXT, dtype=np.int32)
        self._cache = self._model.ops.kv_cache(self._model.config.kv_shapes(), CONTEXT)
        self.runner = self._model.ops._runner

    def seconds(self) -> float:
        """Of one token."""
        start = time.perf_counter()
        step = make_step([Rows(self._pos, 1, self._cells)], self._cache)
        self._model.forward(np.array([self._pos + 100], np.int32), step)
        self._pos = (self._pos + 1) % CONTEXT
        return time.perf_counter() - start


def llama_bench(directory: str, path: str, threads: int, tokens: int) -> float:
    """Tokens a second of llama-bench."""
    command = [f"{directory}/llama-bench", "-m", path, "-p", "0", "-n", str(tokens), "-t", str(threads), "-r", "1"]
    done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)[0]["avg_ts"]


def measure(path: str, how: argparse.Namespace) -> dict:
    """All rounds of a file, and medians of the shares."""
    weights = weights_of(path)
    decoder = Decoder(path, how.threads)
    reader = Reader(decoder.runner, weights)
    gigabytes = sum(data.nbytes for data in weights) / 1e9
    for _ in range(CONTEXT):
        reader.speed(), decoder.seconds()
    rounds, shares = [], []
    for _ in range(how.rounds):
        pairs = [(reader.speed(), gigabytes / decoder.seconds()) for _ in range(how.tokens)]
        shares += [ours / read for read, ours in pairs]
        found = {
            "read": statistics.median(read for read, _ in pairs),
            "llamabox": statistics.median(b for _, b in pairs),
        }
        if how.llama_cpp is not None:
            found["llama.cpp"] = gigabytes * llama_bench(how.llama_cpp, path, how.threads, how.tokens)
        rounds.append({name: round(x, 2) for name, x in found.items()})
    medians = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    return {
        "gigabytes_a_token": round(gigabytes, 4),
        "rounds": rounds,
        "median": medians,
        "llamabox over read": round(statistics.median(shares), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--llama-cpp")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    how = parser.parse_args()
    result = {"cpu": cpu_name(), "threads": how.threads, "tokens": how.tokens, "unit": "GB/s of weights", "files": {}}
    for path in how.files:
        result["files"][Path(path).name] = found = measure(path, how)
        print(Path(path).name, found["median"], "llamabox over read", found["llamabox over read"], flush=True)
        if how.out is not None:
            how.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
