"""Milliseconds of CPU time that choosing one token takes, for several settings.

    python benchmarks/sampling.py [--vocabulary 152064] [--scale 4] [--rounds 50]

The logits are normal with this standard deviation: 4 gives about the entropy of a language model's, 0.1 is nearly flat.
"""

import argparse
import time

import numpy as np

from llamabox.engine import SamplingParams
from llamabox.engine.sampling import Sampler

SETTINGS = {
    "defaults (top_k 40)": {},
    "temperature 0": {"temperature": 0.0},
    "defaults and repeat_penalty over 4,000 tokens": {"repeat_penalty": 1.1, "repeat_last_n": -1},
    "defaults and dry over 4,000 tokens": {"dry_multiplier": 0.8},
    "no top_k": {"top_k": 0},
    "no top_k, typical_p 0.9": {"top_k": 0, "typical_p": 0.9},
    "no top_k, xtc": {"top_k": 0, "xtc_probability": 1.0},
    "no top_k, dynatemp": {"top_k": 0, "dynatemp_range": 0.5},
    "temperature only": {"samplers": ("temperature",)},
    "mirostat 1": {"mirostat": 1},
    "mirostat 2": {"mirostat": 2},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=152_064)
    parser.add_argument("--scale", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=50)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    logits = (rng.standard_normal(args.vocabulary) * args.scale).astype(np.float32)
    prompt = rng.integers(0, args.vocabulary, 4000).tolist()
    for name, fields in SETTINGS.items():
        sampler = Sampler(SamplingParams(seed=1, **fields), prompt, args.vocabulary, 8192)
        sampler.sample(logits)
        started = time.process_time()
        for _ in range(args.rounds):
            sampler.sample(logits)
        print(f"{name:46} {1e3 * (time.process_time() - started) / args.rounds:6.2f} ms")


if __name__ == "__main__":
    main()
