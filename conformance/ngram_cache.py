"""Drafts of llama.cpp's n-gram caches (common/ngram-cache.cpp), and a file of one.

    LLAMA_CPP_VERSION=0.3.36 LLAMA_CPP_SRC=.../llama.cpp LLAMA_CPP_DIR=.../bin python conformance/ngram_cache.py

Needs g++, llama.cpp's source, and a directory with its shared libraries. Writes conformance/results/ngram_cache.json:
    cases  [{n_min, n_draft, static, dynamic, context: tokens of the texts that were counted, draft}, ...]
    file   {n_min, text: the tokens that were counted, bytes: the file that llama.cpp saved, in base64}
and fails if llama.cpp, given a file of ours, saves it with other contents.
tests/engine/speculation/test_lookup.py and test_ngram_file.py check llamabox against the file.

Where several followers are equally frequent, llama.cpp takes the first in the order of its hash table. Such cases are
left out: a case counts only if it comes out the same with that order turned around, and with its tokens renamed.
"""

import base64
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from llamabox.engine.speculation.ngram_file import read_ngrams, write_ngrams
from llamabox.engine.speculation.ngrams import NgramTable

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "ngram_cache.json"
N_TOKENS, N_NAMES, N_CASES = 40, 4, 120
TEXTS = ("static", "dynamic", "context")


def build(folder: Path) -> Path:
    """The driver, compiled against llama.cpp."""
    source, libraries = Path(os.environ["LLAMA_CPP_SRC"]), os.environ["LLAMA_CPP_DIR"]
    includes = [f"-I{source / part}" for part in ("common", "include", "ggml/include")]
    link = [f"-L{libraries}", "-lllama-common", "-lllama", "-lggml-base", f"-Wl,-rpath,{libraries}"]
    program = folder / "ngram_cache"
    subprocess.run(["g++", "-O1", *includes, HERE / "ngram_cache.cpp", *link, "-o", program], check=True)
    return program


def drafts(program: Path, cases: list[dict], *arguments: str) -> list[list[int]]:
    """What llama.cpp drafts in each case."""
    lines = [
        f"{c['n_min']} {c['n_draft']} " + " ".join(f"{len(c[t])} {' '.join(map(str, c[t]))}" for t in TEXTS)
        for c in cases
    ]
    done = subprocess.run([program, *arguments], input="\n".join(lines), capture_output=True, text=True, check=True)
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


def text(r: random.Random, n: int, sureness: float) -> list[int]:
    """n tokens, each of which has one follower that comes with the probability `sureness`."""
    usual = {a: r.randrange(N_TOKENS) for a in range(N_TOKENS)}
    tokens = [r.randrange(N_TOKENS)]
    while len(tokens) < n:
        tokens.append(usual[tokens[-1]] if r.random() < sureness else r.randrange(N_TOKENS))
    return tokens


def make_case(r: random.Random) -> dict:
    sizes = [r.choice([0, 100, 400]), r.choice([0, 50, 300]), r.choice([1, 2, 3, 20, 60, 200])]
    sureness = r.choice([0.3, 0.6, 0.9])
    whole = text(r, sum(sizes), sureness)  # of one piece, so that what follows what is the same in all three
    at = [0, sizes[0], sizes[0] + sizes[1], sum(sizes)]
    parts = {name: whole[at[i] : at[i + 1]] for i, name in enumerate(TEXTS)}
    return {"n_min": r.choice([1, 1, 2, 3, 4]), "n_draft": r.choice([1, 4, 16]), **parts}


def renamed(case: dict, names: list[int]) -> dict:
    return {**case, **{t: [names[token] for token in case[t]] for t in TEXTS}}


def sure_cases(program: Path, r: random.Random) -> list[dict]:
    """Cases in which no choice between equals was made, with llama.cpp's draft; half of them draft something."""
    cases = [make_case(r) for _ in range(40 * N_CASES)]
    answers = drafts(program, cases)
    sure = [True] * len(cases)
    for turn in range(2 * N_NAMES):
        names = r.sample(range(1000), N_TOKENS)
        others = drafts(program, [renamed(case, names) for case in cases], *["turned"][: turn % 2])
        for i, other in enumerate(others):
            sure[i] &= other == [names[token] for token in answers[i]]
    kept = [{**case, "draft": answer} for case, answer, ok in zip(cases, answers, sure, strict=True) if ok]
    long = [case for case in kept if len(case["draft"]) > 1][: N_CASES // 2]
    short = [case for case in kept if len(case["draft"]) <= 1][: N_CASES - len(long)]
    return long + short


def check_our_file(program: Path, folder: Path, r: random.Random) -> None:
    """llama.cpp reads what we write."""
    table = NgramTable()
    table.count(text(r, 500, 0.5), 0)
    ours, copied = folder / "ours", folder / "copied"
    write_ngrams(ours, table.items())
    subprocess.run([program, "copy", ours, copied], check=True)
    expected = {ngram: dict(followers) for ngram, followers in table.items()}
    if dict(read_ngrams(copied, N_TOKENS)) != expected:
        sys.exit("llama.cpp reads a file of ours otherwise than it was written")


def main() -> None:
    r = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        check_our_file(program, Path(folder), r)
        saved = Path(folder) / "saved"
        case = {"n_min": 1, "n_draft": 1, "static": [], "dynamic": text(r, 120, 0.5), "context": [1]}
        drafts(program, [case], "save", str(saved))
        file = {"n_min": 1, "text": case["dynamic"], "bytes": base64.b64encode(saved.read_bytes()).decode()}
        cases = sure_cases(program, r)
    stored = {
        "program": "llama.cpp common/ngram-cache.cpp, of llama-cpp-python's source package",
        "version": os.environ["LLAMA_CPP_VERSION"],
        "command": "python conformance/ngram_cache.py",
        "file": file,
    }
    lines = ",\n  ".join(json.dumps(case, separators=(",", ":")) for case in cases)
    RESULTS.write_text(f'{json.dumps(stored)[:-1]},\n "cases": [\n  {lines}\n]}}\n')
    n_tokens = sum(len(case["draft"]) for case in cases)
    print(f"{len(cases)} cases, {n_tokens} drafted tokens -> {RESULTS}")


if __name__ == "__main__":
    main()
