"""Store llama-server's answers on /completion (probabilities, progress, limits) and /infill.

    python conformance/served_completions.py LLAMA_SERVER

LLAMA_SERVER is the program, built from llama-cpp-python's sources. Writes conformance/results/served_completions.json;
tests/server/test_served_completions.py asks our server the same and compares.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from served_embeddings import Case, make, post, rounded, started

STORED = Path(__file__).resolve().parent / "results" / "served_completions.json"
SETTINGS = ["-c", "512", "-np", "1", "-t", "2", "-fa", "off", "-ctk", "f32", "-ctv", "f32", "--no-warmup"]
GREEDY = {"temperature": 0, "n_predict": 12, "cache_prompt": False}
CODE = {"input_prefix": "def add(a, b):\n    ", "input_suffix": "\n    return c\n", "n_predict": 1, "temperature": 0}
EXTRA = [{"filename": "one.py", "text": "x = 1\n"}, {"text": "y = [2]\n" * 20}]
FIELDS = ["content", "prompt", "tokens", "generation_settings/n_predict", "stop_type", "stopping_word", "nothing/here"]
COMPLETIONS = {
    "probs": {**GREEDY, "prompt": "What is the capital of France?", "n_probs": 5},
    "ids": {**GREEDY, "prompt": [12, 34, "hello", 56], "n_probs": 3},
    "sampled": {
        "prompt": "Once upon a time", "n_predict": 1, "n_probs": 20, "post_sampling_probs": True, "temperature": 1.5,
        "top_k": 30, "top_p": 0.9, "min_p": 0.01, "seed": 1, "cache_prompt": False,
    },
    "fields": {**GREEDY, "prompt": "Hello", "return_tokens": True, "response_fields": FIELDS},
    "several": {**GREEDY, "prompt": ["Hello", [12, 34], {"prompt_string": "Good day"}], "n_predict": 3},
}  # fmt: skip
INFILLS = {
    "plain": CODE,
    "prompt": {**CODE, "prompt": "c = "},
    "extra": {**CODE, "input_extra": EXTRA},
    "long": {**CODE, "input_prefix": "a = [1, 2]\n" * 40, "input_suffix": "print(a)\n" * 40, "input_extra": EXTRA},
    "mixed": {**CODE, "input_prefix": ["x", 100, 200, "y <s> "]},
}
FIM = {
    f"tokenizer.ggml.fim_{part}_token_id": id
    for part, id in zip(("pre", "mid", "suf"), (151659, 151660, 151661), strict=True)
}
REPO = {"tokenizer.ggml.fim_rep_token_id": 151663, "tokenizer.ggml.fim_sep_token_id": 151664}  # Qwen2.5's ids
BPE = {
    f"tokenizer.ggml.fim_{part}_token_id": id
    for part, id in zip(("pre", "mid", "suf"), (128003, 128004, 128005), strict=True)
}
MODELS = {
    "qwen2": Case("qwen2", "qwen2", (), (), FIM | REPO),
    "starcoder": Case("llama", "starcoder", (), ()),
    "llama-bpe": Case("llama", "llama-bpe", (), (), BPE),
}
F32 = Case("llama", "llama-spm", (), ())  # of quantised weights the two programs take different products
FLAGS = {"": ["-b", "128", "-n", "16"], "-spm": ["-b", "128", "-n", "16", "--spm-infill"]}


def asked(program: str, model: Path, flags: list[str], path: str, bodies: dict[str, dict]) -> dict:
    """name -> reply"""
    with started([program, "-m", str(model), *SETTINGS, *flags]):
        return {name: kept(rounded(post(path, body))) for name, body in bodies.items()}


def kept(reply):
    """What does not depend on the clock or on defaults that are not ours."""
    if isinstance(reply, list):
        return [kept(item) for item in reply]
    return {key: value for key, value in reply.items() if key not in ("timings", "generation_settings", "id_slot")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="llama-server")
    program = parser.parse_args().program
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stderr.splitlines()[0]
    result: dict = {
        "program": f"llama-server, {version} (llama.cpp 0c1e57098, llama-cpp-python 0.3.36)",
        "settings": " ".join(SETTINGS),
        "command": "python conformance/served_completions.py LLAMA_SERVER",
        "infill": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        result["completion"] = asked(program, make(F32, Path(folder)), [], "/completion", COMPLETIONS)
        for name, case in MODELS.items():
            for suffix, flags in FLAGS.items():
                result["infill"][name + suffix] = asked(program, make(case, Path(folder)), flags, "/infill", INFILLS)
    STORED.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
