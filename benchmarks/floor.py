"""Decode beside a plain read of the same bytes, its floor: every weight is read once a token, straight from the file.

    python benchmarks/floor.py FILE... [--llama-cpp DIR] [--rounds 7] [--tokens 24] [--threads 2] [--out FILE]

Each round reads the weights of a token once without computing anything (64 bytes at a time, the same threads and the
same mapped file), decodes tokens with the `cpu` backend, reads again, runs llama-bench for as many tokens, where DIR is
given, and reads again. How much a virtual machine can read changes with its neighbours, so the share of the plain read
is taken round by round, from the mean of the reads before and after; medians are printed.

    read       GB/s of the plain read
    llamabox, llama.cpp   GB/s of weights while decoding, and the share of the plain read
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
from llamabox.kernels.cpu.runner import Runner
from llamabox.kernels.host import cpu_name
from llamabox.kernels.placement import Threads


def weights_of(path: str) -> list[np.ndarray]:
    """The matrices that every token needs whole: all but an embedding table that is not the output matrix too."""
    tensors = open_gguf(path).tensors
    tied = "output.weight" not in tensors
    return [t.data for name, t in tensors.items() if len(t.shape) > 1 and (tied or name != "token_embd.weight")]


class Decoder:
    """Decodes one sequence with the `cpu` backend, always the same tokens at the start of an empty context."""

    def __init__(self, path: str, threads: int, tokens: int):
        self._model, self._tokens = llamabox.load(path, threads=threads).model, tokens
        self._cells = np.arange(tokens + 1, dtype=np.int32)
        self._cache = self._model.ops.kv_cache(self._model.config.kv_shapes(), tokens + 1)

    def speed(self) -> float:
        """Tokens a second, one token left out."""
        for pos in range(self._tokens + 1):
            if pos == 1:
                start = time.perf_counter()
            self._model.forward(np.array([pos + 100], np.int32), make_step([Rows(pos, 1, self._cells)], self._cache))
        return self._tokens / (time.perf_counter() - start)


def llama_bench(directory: str, path: str, threads: int, tokens: int) -> float:
    """Tokens a second of llama-bench."""
    command = [f"{directory}/llama-bench", "-m", path, "-p", "0", "-n", str(tokens), "-t", str(threads), "-r", "1"]
    done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)[0]["avg_ts"]


def measure(path: str, how: argparse.Namespace) -> dict:
    """All rounds of a file, and medians of the shares."""
    weights = weights_of(path)
    reader, decoder = Reader(Runner(Threads(how.threads)), weights), Decoder(path, how.threads, how.tokens)
    gigabytes = sum(data.nbytes for data in weights) / 1e9
    reader.speed(), decoder.speed()
    rounds = []
    for _ in range(how.rounds):
        reads, found = [reader.speed()], {"llamabox": gigabytes * decoder.speed()}
        reads.append(reader.speed())
        if how.llama_cpp is not None:
            found["llama.cpp"] = gigabytes * llama_bench(how.llama_cpp, path, how.threads, how.tokens)
            reads.append(reader.speed())
        rounds.append({"read": [round(x, 2) for x in reads], **{name: round(x, 2) for name, x in found.items()}})
    shares = {"llamabox": statistics.median(r["llamabox"] / statistics.mean(r["read"][:2]) for r in rounds)}
    if how.llama_cpp is not None:
        shares["llama.cpp"] = statistics.median(r["llama.cpp"] / statistics.mean(r["read"][1:]) for r in rounds)
    return {
        "gigabytes_a_token": round(gigabytes, 4),
        "rounds": rounds,
        "share": {k: round(v, 3) for k, v in shares.items()},
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
        medians = {k: statistics.median(np.mean(r[k]) for r in found["rounds"]) for k in found["rounds"][0]}
        print(Path(path).name, {k: round(float(v), 1) for k, v in medians.items()}, "share", found["share"], flush=True)
        if how.out is not None:
            how.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
