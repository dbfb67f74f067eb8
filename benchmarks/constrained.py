"""What holding an answer to a grammar costs: decode with and without, turn by turn, and the time of one mask.

    python benchmarks/constrained.py MODEL.gguf VOCABULARY.gguf [--tokens 48] [--rounds 6] [--out FILE]

MODEL: of any weights; VOCABULARY: a file whose vocabulary fits it (conformance/vocabs/ggml-vocab-qwen2.gguf for Qwen2).
The grammars never end, so that both sides sample as many tokens: JSON strings in an array, and a regular expression.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import llamabox
from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationRequest, Grammar, SamplingParams
from llamabox.engine.constrain.constraints import Constraints
from llamabox.gguf import open_gguf
from llamabox.tokenizer import load_tokenizer

GRAMMARS = {
    "json": Grammar("json_schema", '{"type": "array", "items": {"type": "object"}, "minItems": 2000}'),
    "text": Grammar("gbnf", r'root ::= [a-zA-Z ,.]+ "#"'),
}


def decode(engine: Engine, grammar: Grammar | None, n: int) -> float:
    """Tokens a second after the first one."""
    request = GenerationRequest(
        tuple(range(1000, 1032)),
        SamplingParams(seed=1),
        n_predict=n,
        ignore_eos=True,
        grammar=grammar,
        cache_prompt=False,
    )
    generation, times = engine.submit(request), []
    while not isinstance(event := generation.next_event(0), FinishEvent):
        if event is None:
            engine.step()
        else:
            times.append(time.perf_counter())
    return (len(times) - 1) / (times[-1] - times[0])


def masks(tokenizer, grammar: Grammar, n: int) -> dict[str, float]:
    """Microseconds of following random tokens that the grammar allows."""
    pieces = [tokenizer.piece(id) for id in range(tokenizer.n_vocab)]
    constraints, rng, spent = Constraints(tokenizer, lambda: pieces), np.random.default_rng(1), []
    started = time.perf_counter()
    constraint = constraints.constraint(grammar, None)
    built = time.perf_counter() - started
    for _ in range(n):
        token = int(rng.choice(constraint.allowed))
        started = time.perf_counter()
        constraint.accept(token)
        spent.append(1e6 * (time.perf_counter() - started))
    return {
        "vocabulary_and_grammar_s": round(built, 3),
        "median_us": round(float(np.median(spent)), 1),
        "mean_us": round(float(np.mean(spent)), 1),
        "p99_us": round(float(np.percentile(spent, 99)), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("vocabulary")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--out")
    args = parser.parse_args()
    tokenizer = load_tokenizer(open_gguf(args.vocabulary).metadata)
    model = llamabox.load(args.model)
    engine = Engine(model.model, tokenizer, EngineOptions(n_ctx=1024))
    decode(engine, None, 8)
    result: dict = {
        "command": " ".join(["python", sys.argv[0], *(Path(word).name for word in sys.argv[1:])]),
        "n_vocab": tokenizer.n_vocab,
        "grammars": {},
    }
    for name, grammar in GRAMMARS.items():
        decode(engine, grammar, 8)
        pairs = [(decode(engine, None, args.tokens), decode(engine, grammar, args.tokens)) for _ in range(args.rounds)]
        free, held = (float(np.median(side)) for side in zip(*pairs, strict=True))
        result["grammars"][name] = {
            "unconstrained_tokens_per_s": round(free, 2),
            "constrained_tokens_per_s": round(held, 2),
            "cost_percent": round(100 * (free / held - 1), 2),
            "rounds": [[round(a, 2), round(b, 2)] for a, b in pairs],
            "mask": masks(tokenizer, grammar, 300),
        }
        print(name, result["grammars"][name], flush=True)
    if args.out:
        Path(args.out).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
