"""Attention alone: how fast decode reads keys and values, and how fast prefill computes.

    python benchmarks/attention.py [--threads 2] [--seconds 0.3] [--only decode|prefill] [--out results/attention.json]

decode   GB/s of keys and values read by one new row after so many cells (or by several sequences, one row each), and
         microseconds a layer. The layers' caches together are larger than the CPU's, as in a model.
prefill  GFLOPS (2 multiply-adds of a query head's size for every cell that a row sees) of one forward of so many rows.

Every figure is the median over calls that last `--seconds` together. Caches hold random values; a sequence has its
blocks in order, as an engine that has just started hands them out.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np
from compare_llama_cpp import cpu_name

from llamabox.kernels import BLOCK, KVCache, KVShape, Rows, make_step, open_backend
from llamabox.kernels.kv import encode

HERE = Path(__file__).parent
CACHED_BYTES = 100_000_000  # of all layers together: more than the CPU's caches hold
HEADS = {"qwen2-0.5b": (14, 2, 64), "llama-1b": (32, 8, 64), "llama-8b": (32, 8, 128), "mha": (16, 16, 64)}
DECODE = [("f16", name, 1, cells) for name in HEADS for cells in (256, 1024, 4096, 16384)]
DECODE += [(kind, "llama-1b", 1, 4096) for kind in ("f32", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl")]
DECODE += [("f16", "llama-1b", sequences, 512) for sequences in (8, 32)]
PREFILL = [("f16", name, rows, 0) for name in HEADS for rows in (128, 512, 2048)]
PREFILL += [("f16", "llama-1b", 512, 4096), ("q8_0", "llama-1b", 512, 4096), ("none", "mha", 512, 0)]


def filled_cache(heads: tuple, kind: str, n_blocks: int, n_layers: int) -> KVCache:
    """A cache whose every cell holds random values: what they are does not change how long attention takes."""
    shape = KVShape(heads[1], heads[2], heads[2])
    kv = KVCache([shape] * n_layers, n_blocks, kind, kind)
    values = np.random.default_rng(0).standard_normal((4, *kv.k[0].shape[1:3], heads[2])).astype(np.float32)
    some = encode(values, kind)
    for pool in kv.k + kv.v:
        pool[:] = some[np.arange(n_blocks) % 4]
    return kv


def seconds_a_call(call, n_calls: int, seconds: float) -> float:
    """The median over at least 3 rounds of n_calls calls, by call."""
    for i in range(n_calls):
        call(i)
    times = []
    while len(times) < 3 or sum(times) * n_calls < seconds:
        began = time.perf_counter()
        for i in range(n_calls):
            call(i)
        times.append((time.perf_counter() - began) / n_calls)
    return statistics.median(times)


def measure(ops, kind: str, heads: tuple, sequences: int, rows: int, before: int, seconds: float) -> dict:
    """Each of the sequences has so many cells already and gets so many rows."""
    n, n_kv, size = heads
    blocks = -(-(before + rows) // BLOCK)
    random = np.random.default_rng(1)
    q = random.standard_normal((sequences * rows, n, size)).astype(np.float32)
    k, v = random.standard_normal((2, sequences * rows, n_kv, size)).astype(np.float32)
    kv, n_layers = None, 1
    if kind != "none":
        layer = filled_cache(heads, kind, 1, 1).size_bytes * blocks * sequences
        n_layers = max(1, min(32, -(-CACHED_BYTES // layer))) if rows == 1 else 1
        kv = filled_cache(heads, kind, blocks * sequences, n_layers)
    order = np.arange(blocks * sequences).reshape(sequences, blocks)
    step = make_step([Rows(before, rows, order[i] if kv else ()) for i in range(sequences)], kv, causal=kv is not None)

    def call(layer):
        ops.attend(q, k, v, step, layer, scale=size**-0.5)

    took = seconds_a_call(call, n_layers, seconds)
    if rows == 1:
        row_bytes = kv.size_bytes // n_layers // (blocks * sequences * BLOCK)
        read = sequences * (before + 1) * row_bytes
        return {"gb_per_s": round(read / took / 1e9, 1), "us": round(took * 1e6, 1)}
    seen = sum(before + i + 1 for i in range(rows)) if kv else rows * rows
    return {"gflops": round(4 * seen * n * size * sequences / took / 1e9, 1), "ms": round(took * 1e3, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--only", choices=["decode", "prefill"])
    parser.add_argument("--out", default=str(HERE / "results" / "attention.json"))
    arguments = parser.parse_args()
    ops = open_backend("cpu", threads=arguments.threads)
    result = {
        "machine": cpu_name(),
        "python": platform.python_version(),
        "command": f"python benchmarks/attention.py --threads {arguments.threads} --seconds {arguments.seconds}",
        "decode": {},
        "prefill": {},
    }
    if arguments.only != "prefill":
        for kind, name, sequences, cells in DECODE:
            label = f"{name} {kind} {sequences} x {cells}"
            result["decode"][label] = measure(ops, kind, HEADS[name], sequences, 1, cells - 1, arguments.seconds)
            print("decode ", label, result["decode"][label], flush=True)
    if arguments.only != "decode":
        for kind, name, rows, before in PREFILL:
            label = f"{name} {kind} {rows} after {before}"
            result["prefill"][label] = measure(ops, kind, HEADS[name], 1, rows, before, arguments.seconds)
            print("prefill", label, result["prefill"][label], flush=True)
    Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
