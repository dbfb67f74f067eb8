"""Several sequences that decode together, as llama-batched-bench measures them; prints one line of JSON.

    python benchmarks/batched.py FILE [--prompt 128] [--decode 64] [--sequences 8] [--threads 2]

Every sequence gets a prompt of its own, then all get one token a step; S_TG is the tokens of all of them over the time
of these steps. The tokens are random: nothing is sampled, as in llama-batched-bench.
"""

import argparse
import json
import time

import numpy as np

import llamabox
from llamabox.kernels import BLOCK, Rows, make_step


def measure(model, n_prompt: int, n_decode: int, n_sequences: int) -> dict:
    """Tokens a second of the prompts (one sequence after another) and of the steps."""
    blocks = -(-(n_prompt + n_decode) // BLOCK)
    tables = np.arange(n_sequences * blocks, dtype=np.int32).reshape(n_sequences, blocks)
    cache = model.ops.kv_cache(model.config.kv_shapes(), tables.size, "f16", "f16")
    random = np.random.default_rng(0)

    def forward(parts: list[Rows]) -> None:
        tokens = random.integers(0, model.config.n_vocab, sum(part.count for part in parts)).astype(np.int32)
        model.ops.to_numpy(model.forward(tokens, make_step(parts, cache)))

    began = time.perf_counter()
    for table in tables:
        forward([Rows(0, n_prompt, table)])
    read = time.perf_counter()
    for position in range(n_prompt, n_prompt + n_decode):
        forward([Rows(position, 1, table) for table in tables])
    end = time.perf_counter()
    return {"speed_pp": n_sequences * n_prompt / (read - began), "speed_tg": n_sequences * n_decode / (end - read)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    model = llamabox.load(arguments.file, threads=arguments.threads).model
    measure(model, 16, 2, arguments.sequences)
    print(json.dumps(measure(model, arguments.prompt, arguments.decode, arguments.sequences)))


if __name__ == "__main__":
    main()
