"""Milliseconds of CPU time that choosing one token takes, for several settings.

    python benchmarks/sampling.py [--vocabulary 152064] [--scale 4] [--rounds 50] [--out FILE]

The logits are normal with this standard deviation: 4 gives about the entropy of a language model's, 0.1 is nearly flat.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np

from llamabox.engine import SamplingParams
from llamabox.engine.sampling import Candidates, Sampler

EVERY = {
    "repeat_penalty": 1.1,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "dry_multiplier": 0.8,
    "typical_p": 0.95,
    "top_n_sigma": 3.0,
    "xtc_probability": 0.5,
    "dynatemp_range": 0.5,
}
SETTINGS = {
    "defaults (top_k 40)": {},
    "temperature 0": {"temperature": 0.0},
    "defaults and repeat_penalty over 4,000 tokens": {"repeat_penalty": 1.1, "repeat_last_n": -1},
    "defaults and dry over 4,000 tokens": {"dry_multiplier": 0.8},
    "every filter on, top_k 40": EVERY,
    "every filter on, no top_k": {**EVERY, "top_k": 0},
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
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sampling.json")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    logits = (rng.standard_normal(args.vocabulary) * args.scale).astype(np.float32)
    row = Candidates(None, logits)
    prompt = rng.integers(0, args.vocabulary, 4000).tolist()
    found = {}
    for name, fields in SETTINGS.items():
        sampler = Sampler(SamplingParams(seed=1, **fields), prompt, args.vocabulary, 8192)
        sampler.sample(row)
        started = time.process_time()
        for _ in range(args.rounds):
            sampler.sample(row)
        found[name] = round(1e3 * (time.process_time() - started) / args.rounds, 2)
        print(f"{name:46} {found[name]:6.2f} ms")
    command = (
        f"python benchmarks/sampling.py --vocabulary {args.vocabulary} --scale {args.scale} --rounds {args.rounds}"
    )
    report = {"command": command, "machine": platform.machine(), "unit": "ms of processor time a token", "ms": found}
    args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
