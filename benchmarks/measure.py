"""Prefill and decode of one model in this process, as llama-bench measures them; prints one line of JSON.

    python benchmarks/measure.py FILE [--prefill 256] [--decode 64] [--threads 2] [--backend cpu]

Prefill: one forward of so many tokens into an empty cache, logits of the last. Decode: one token at a time into an
empty cache, as llama-bench's tg. Both after one unmeasured round. The tokens are fixed: sampling costs nothing here.
"""

import argparse
import json
import time

import numpy as np

import llamabox
from llamabox.kernels import BLOCK, Rows, make_step


def tokens_per_second(model, n_rows: int, n_steps: int) -> float:
    """n_steps forwards of n_rows tokens each, into a new cache."""
    n_tokens = n_rows * n_steps
    table = np.arange(-(-n_tokens // BLOCK), dtype=np.int32)
    cache = model.ops.kv_cache(model.config.kv_shapes(), len(table), "f16", "f16")
    tokens = np.random.default_rng(0).integers(0, model.config.n_vocab, n_tokens).astype(np.int32)
    began = time.perf_counter()
    for start in range(0, n_tokens, n_rows):
        step = make_step([Rows(start, n_rows, table)], cache)
        model.ops.to_numpy(model.forward(tokens[start : start + n_rows], step))
    return n_tokens / (time.perf_counter() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--prefill", type=int, default=256)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backend", default="cpu")
    arguments = parser.parse_args()
    model = llamabox.load(arguments.file, backend=arguments.backend, threads=arguments.threads).model
    tokens_per_second(model, arguments.prefill, 1)
    tokens_per_second(model, 1, 2)
    prefill = tokens_per_second(model, arguments.prefill, 1)
    decode = tokens_per_second(model, 1, arguments.decode)
    print(json.dumps({"prefill": prefill, "decode": decode}))


if __name__ == "__main__":
    main()
