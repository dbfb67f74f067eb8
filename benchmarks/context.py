"""Decode after many tokens: llamabox beside llama-bench -d on one file, in alternating runs; medians of the ratios.

    python benchmarks/context.py FILE --llama-cpp DIR [--pairs 5] [--depths 0,4096,16384] [--out results/context.json]

DIR holds llama-bench (Release, GGML_NATIVE=ON). It fills its context by a real prefill, outside of what it times. Here
the cache is filled with random values at once: how long attention takes does not depend on them. llama-bench leaves
flash attention off, llama-server turns it on: the first pair of each depth runs both, the faster one is compared with.
Every run is a process of its own; none is discarded.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from compare_llama_cpp import cpu_name

import llamabox
from llamabox.kernels import BLOCK, Rows, make_step
from llamabox.kernels.kv import encode

HERE = Path(__file__).parent
WARM = 4  # tokens: the second of a kind of step compiles its plan


def fill(pool: np.ndarray, size: int, type_name: str) -> None:
    """Random values in every cell of a layer's keys or values, heads of `size`."""
    values = np.random.default_rng(0).standard_normal((4, *pool.shape[1:3], size)).astype(np.float32)
    pool[:] = encode(values, type_name)[np.arange(len(pool)) % 4]


def decode(path: str, depth: int, n_tokens: int, threads: int) -> float:
    """Tokens a second, one at a time, after `depth` cells; as llama-bench's tg, after WARM unmeasured ones."""
    model = llamabox.load(path, threads=threads).model
    table = np.arange(-(-(depth + n_tokens + WARM) // BLOCK), dtype=np.int32)
    shapes = model.config.kv_shapes()
    cache = model.ops.kv_cache(shapes, len(table), "f16", "f16")
    for layer, shape in enumerate(shapes):
        fill(cache.k[layer], shape.k_dim, "f16")
        fill(cache.v[layer], shape.v_dim, "f16")
    tokens = np.random.default_rng(0).integers(0, model.config.n_vocab, (n_tokens + WARM, 1)).astype(np.int32)
    for i, token in enumerate(tokens):
        if i == WARM:
            began = time.perf_counter()
        model.ops.to_numpy(model.forward(token, make_step([Rows(depth + i, 1, table)], cache)))
    return n_tokens / (time.perf_counter() - began)


def ours(depth: int, how: argparse.Namespace) -> float:
    options = ["--depths", str(depth), "--decode", str(how.decode), "--threads", str(how.threads), "--ours"]
    command = [sys.executable, __file__, how.file, *options]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peer(depth: int, flash: int, how: argparse.Namespace) -> float:
    command = [f"{how.llama_cpp}/llama-bench", "-m", how.file, "-p", "0", "-n", str(how.decode), "-d", str(depth)]
    command += ["-t", str(how.threads), "-fa", str(flash), "-r", "1", "-o", "json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0]["avg_ts"]


def compare(depth: int, how: argparse.Namespace) -> dict:
    """Figures of one depth."""
    mine = [ours(depth, how)]
    first = {flash: peer(depth, flash, how) for flash in (0, 1)}
    flash = max(first, key=first.__getitem__)
    theirs = [first[flash]]
    for _ in range(how.pairs - 1):
        mine.append(ours(depth, how))
        theirs.append(peer(depth, flash, how))
    return {
        "llamabox": [round(x, 2) for x in mine],
        "llama.cpp": [round(x, 2) for x in theirs],
        "llama.cpp's flash attention": "on" if flash else "off",
        "llama.cpp the other way": round(first[1 - flash], 2),
        "ratio": round(statistics.median(a / b for a, b in zip(mine, theirs, strict=True)), 3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--llama-cpp")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--depths", default="0,4096,16384")
    parser.add_argument("--decode", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default=str(HERE / "results" / "context.json"))
    parser.add_argument("--ours", action="store_true", help="run llamabox alone and print its figure")
    how = parser.parse_args()
    depths = [int(depth) for depth in how.depths.split(",")]
    if how.ours:
        print(decode(how.file, depths[0], how.decode, how.threads))
        return
    if how.llama_cpp is None:
        parser.error("--llama-cpp: the folder of llama-bench is needed")
    out, name = Path(how.out), Path(how.file).name
    result = json.loads(out.read_text()) if out.exists() else {"files": {}}
    result.update(
        machine=f"{cpu_name()}, {os.cpu_count()} cores",
        python=platform.python_version(),
        command=f"python benchmarks/context.py FILE --llama-cpp DIR --pairs {how.pairs} --depths {how.depths} "
        f"--decode {how.decode} --threads {how.threads}",
        unit="tokens a second",
    )
    result["files"][name] = {}
    for depth in depths:
        result["files"][name][str(depth)] = found = compare(depth, how)
        print(name, depth, found["ratio"], flush=True)
        out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
