"""Tokens a second with and without speculative decoding, on text that can be guessed.

    python tools/make_cycle_model.py qwen2-0.5b VOCAB model.gguf
    python tools/make_cycle_model.py qwen2-draft VOCAB draft.gguf
    python benchmarks/speculation.py model.gguf draft.gguf [--tokens 256] [--sequences 1,4,8] [--rounds 5] [--out FILE]

One process, the engine alone. Each round runs every way once, none among them, so that all meet the same machine; the
figures are medians, of speed-ups the median of the rounds' own ratios. Every answer must be that without speculation.
Prompts are half a cycle, so that n-grams begin to repeat within the answer. Defaults of llama-box: 16 tokens a draft.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import llamabox
from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationRequest, SamplingParams, SpeculationOptions

PERIOD = 64  # of make_cycle_model.py
RESULTS = Path(__file__).parent / "results" / "speculation.json"


def run(engine: Engine, n_sequences: int, n_tokens: int) -> dict:
    """Decode all sequences at once, after their prompts -> answers, seconds, counts."""
    generations = [
        engine.submit(
            GenerationRequest(
                tuple(range(PERIOD * (i + 1), PERIOD * (i + 1) + PERIOD // 2)),
                SamplingParams(temperature=0.0),
                n_predict=n_tokens + 1,
                ignore_eos=True,
                cache_prompt=False,
            )
        )
        for i in range(n_sequences)
    ]
    before, began = engine.status(), None
    while engine.step():
        if began is None and engine.status().predicted_tokens - before.predicted_tokens >= n_sequences:
            began, first = time.perf_counter(), engine.status()
    seconds, after = time.perf_counter() - began, engine.status()
    answers = []
    for generation in generations:
        answers.append([])
        while not isinstance(event := generation.next_event(0), FinishEvent):
            answers[-1] += event.tokens
    return {
        "answers": answers,
        "tokens_per_s": (after.predicted_tokens - first.predicted_tokens) / seconds,
        "drafted": after.drafted_tokens - before.drafted_tokens,
        "accepted": after.accepted_tokens - before.accepted_tokens,
        "steps": after.steps - first.steps,
    }


def compare(ways: dict[str, Engine], n_sequences: int, n_tokens: int, rounds: int) -> dict:
    """Every way in every round -> {way: figures}."""
    runs: dict[str, list[dict]] = {name: [] for name in ways}
    for i in range(rounds + 1):
        done = {name: run(engine, n_sequences, n_tokens) for name, engine in ways.items()}
        if any(d["answers"] != done["none"]["answers"] for d in done.values()):
            sys.exit("the answers are not those without speculation")
        for name in ways if i > 0 else ():  # the first round warms up
            runs[name].append(done[name])
    table = {}
    for name, own in runs.items():
        speedups = [r["tokens_per_s"] / n["tokens_per_s"] for r, n in zip(own, runs["none"], strict=True)]
        drafted = sum(r["drafted"] for r in own)
        table[name] = {
            "tokens_per_s": round(statistics.median(r["tokens_per_s"] for r in own), 1),
            "speedup": round(statistics.median(speedups), 2),
            "speedups": [round(s, 2) for s in speedups],
            "acceptance": round(sum(r["accepted"] for r in own) / drafted, 3) if drafted else None,
            "tokens_a_step": round(n_sequences * n_tokens / statistics.median(r["steps"] for r in own), 2),
        }
        print(f"{n_sequences:2} sequences, {name:8} {json.dumps(table[name])}", flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("draft")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--sequences", default="1,4,8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--draft-max", type=int, default=16)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    model = llamabox.load(args.model, threads=args.threads, threads_batch=args.threads)
    draft = llamabox.load(args.draft, backend=model.model.ops).model
    sequences = [int(n) for n in args.sequences.split(",")]
    options = EngineOptions(n_ctx=max(sequences) * (args.tokens + PERIOD), n_parallel=max(sequences))
    ways = {
        "none": None,
        "n-gram": SpeculationOptions(n_max=args.draft_max, ngram_min=1),
        "draft": SpeculationOptions(n_max=args.draft_max, model=draft),
    }
    engines = {name: Engine(model.model, None, options, speculation) for name, speculation in ways.items()}
    report = {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "command": " ".join(["python", sys.argv[0], *(Path(word).name for word in sys.argv[1:])]),
        "files": {Path(f).name: Path(f).stat().st_size for f in (args.model, args.draft)},
        "sequences": {n: compare(engines, n, args.tokens, args.rounds) for n in sequences},
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
