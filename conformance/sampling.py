"""Applies libllama's samplers to seeded candidates and stores which survive, with their probabilities.

    LLAMA_CPP_DIR=.../bin python conformance/sampling.py       (needs llama-cpp-python; the directory holds libllama.so)

Writes conformance/results/sampling.json:
    vocabulary  a small byte-level BPE made for DRY's sequence breakers: the tokens' bytes, and llama.cpp's ids of texts
    cases       [{sampler, params, logits: {seed, n, scale}, tokens before, ids, probabilities}, ...]
                mirostat: a list of rounds, each with its logits, the ids it kept and the one that was chosen
tests/engine/sampling/test_sampling_conformance.py checks llamabox.engine.sampling against the file.
"""

import ctypes
import json
import os
import random
import tempfile
from pathlib import Path

import numpy as np

from llamabox.gguf import GGUFWriter

os.environ["LLAMA_CPP_LIB_PATH"] = os.environ["LLAMA_CPP_DIR"]
import llama_cpp  # noqa: E402  (it looks for its library when it is imported)

RESULTS = Path(__file__).parent / "results" / "sampling.json"
PIECES = [": ", ":\n", "a:", "**", "\n\n", "\n*", "x\n", "ab", "abc", "bc", "bc:", "c:", '"a', 'a"', "b*", "xx", "xy"]
SPELLINGS = [  # texts are made of few tokens, so that they repeat, and that some of them spell a sequence breaker
    ["ab", "c", "x"],
    ["a", "bc", ":"],
    ["bc", ":", "x"],
    ["bc:", "x", "b"],
    ["b", "c:", "x"],
    ["\n", "x\n", "x", "\n*"],
    ["abc", "y", "z", ": "],
]
MIN_KEEP = [0, 0, 1, 3, 50]
BREAKERS = [["\n", ":", '"', "*"], ["abc"], ["\n\n", "bc:x"], []]


def logits(seed: int, n: int, scale: float) -> np.ndarray:
    """f32 (n,); RandomState's streams never change."""
    return (np.random.RandomState(seed).standard_normal(n) * scale).astype(np.float32)


def apply(samplers: list, values: np.ndarray) -> tuple[list[int], list[float], int]:
    """Run samplers over candidates 0 .. n-1 -> (surviving ids, their probabilities, the chosen id or -1)."""
    data = (llama_cpp.llama_token_data * len(values))()
    for id, value in enumerate(values):
        data[id] = llama_cpp.llama_token_data(id, float(value), 0.0)
    pointer = ctypes.cast(data, ctypes.POINTER(llama_cpp.llama_token_data))
    array = llama_cpp.llama_token_data_array(pointer, len(values), -1, False)
    for sampler in samplers:
        llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
    left = [array.data[i] for i in range(array.size)]
    x = np.array([c.logit for c in left], np.float64)
    p = np.exp(x - x.max())
    chosen = left[array.selected].id if array.selected >= 0 else -1
    return [c.id for c in left], (p / p.sum()).tolist(), chosen


def make(name: str, p: dict, vocab, n_vocab: int):
    """One libllama sampler."""
    L = llama_cpp
    if name == "penalties":
        return L.llama_sampler_init_penalties(n_vocab, p["last_n"], p["repeat"], p["frequency"], p["presence"])
    if name == "dry":
        texts = [t.encode() for t in p["breakers"]]
        breakers = (ctypes.c_char_p * len(texts))(*texts)
        numbers = p["multiplier"], p["base"], p["allowed_length"], p["last_n"]
        return L.llama_sampler_init_dry(vocab, *numbers, breakers, len(texts))
    simple = {
        "top_k": lambda: L.llama_sampler_init_top_k(p["k"]),
        "top_n_sigma": lambda: L.llama_sampler_init_top_n_sigma(p["n"]),
        "typ_p": lambda: L.llama_sampler_init_typical(p["p"], p["min_keep"]),
        "top_p": lambda: L.llama_sampler_init_top_p(p["p"], p["min_keep"]),
        "min_p": lambda: L.llama_sampler_init_min_p(p["p"], p["min_keep"]),
        "xtc": lambda: L.llama_sampler_init_xtc(1.0, p["threshold"], p["min_keep"], 1),
        "temperature": lambda: L.llama_sampler_init_temp_ext(p["t"], p["spread"], p["exponent"]),
        "mirostat 1": lambda: L.llama_sampler_init_mirostat(n_vocab, 7, p["tau"], p["eta"], 100),
        "mirostat 2": lambda: L.llama_sampler_init_mirostat_v2(7, p["tau"], p["eta"]),
    }
    return simple[name]()


def random_params(name: str, r: random.Random) -> dict:
    """Parameters within and at the edges of what users write."""
    if name == "penalties":
        return {
            "last_n": r.choice([1, 5, 64]),
            "repeat": r.choice([1.0, 1.1, 0.8, 1.5]),
            "frequency": r.choice([0.0, 0.3, -0.2]),
            "presence": r.choice([0.0, 0.5, -0.5]),
        }
    if name == "dry":
        return {
            "multiplier": r.choice([0.8, 1.5, -0.5]),
            "base": r.choice([1.0, 1.75, 3.0]),
            "allowed_length": r.choice([0, 1, 2, 4]),
            "last_n": r.choice([4, 20, 1000]),
            "breakers": r.choice(BREAKERS),
        }
    if name == "temperature":
        spread = r.choice([0.0, 0.0, 0.3, 0.9, 2.0])
        return {"t": r.choice([0.0, 0.3, 0.8, 1.5, -1.0]), "spread": spread, "exponent": r.choice([1.0, 0.5, 2.0])}
    if name.startswith("mirostat"):
        return {"tau": r.choice([0.5, 2.0, 5.0]), "eta": r.choice([0.1, 0.5])}
    if name == "top_k":
        return {"k": r.choice([0, 1, 2, 40, 10_000])}
    if name == "xtc":
        return {"threshold": r.choice([0.0, 0.05, 0.1, 0.3, 0.5, 0.6]), "min_keep": r.choice(MIN_KEEP)}
    if name == "top_n_sigma":
        return {"n": r.choice([-1.0, 0.0, 0.5, 1.0, 2.0, 3.5])}
    return {"p": r.choice([0.0, 0.05, 0.1, 0.5, 0.9, 0.95, 0.999, 1.0, 1.1]), "min_keep": r.choice(MIN_KEEP)}


def one_case(chain: list[str], r: random.Random, vocab, n_vocab: int) -> dict:
    """One sampler, or several in a chain."""
    params = [random_params(name, r) for name in chain]
    if "top_n_sigma" in chain and "typ_p" in chain[chain.index("top_n_sigma") :]:
        params[chain.index("typ_p")]["p"] = 1.0  # libllama's typ_p computes NaN from the -inf that top_n_sigma leaves
    looks_back = any(name in ("penalties", "dry") for name in chain)
    n = n_vocab if looks_back else r.choice([1, 2, 5, 40, 300])
    source = {"seed": r.randrange(10**6), "n": n, "scale": r.choice([0.3, 2.0, 6.0])}
    letters = [tokenize(vocab, text)[0] for text in r.choice(SPELLINGS)]
    before = [r.choice(letters) for _ in range(r.choice([3, 30, 200]))] if looks_back else []
    samplers = [make(name, p, vocab, n_vocab) for name, p in zip(chain, params, strict=True)]
    for sampler in samplers:
        for token in before:
            llama_cpp.llama_sampler_accept(sampler, token)
    ids, p, _ = apply(samplers, logits(**source))
    for sampler in samplers:
        llama_cpp.llama_sampler_free(sampler)
    return {
        "sampler": chain,
        "params": params,
        "logits": source,
        "tokens": before,
        "ids": ids if ids != list(range(n)) else "all",
        "probabilities": [float(f"{x:.5g}") for x in p],
    }


def mirostat_case(name: str, r: random.Random) -> dict:
    """Several rounds, since each moves mu."""
    params, n = random_params(name, r), 300
    sampler, rounds = make(name, params, None, n), []
    for _ in range(6):
        source = {"seed": r.randrange(10**6), "n": n, "scale": r.choice([1.0, 3.0])}
        ids, _, chosen = apply([sampler], logits(**source))
        rounds.append({"logits": source, "ids": ids, "chosen": chosen})
    llama_cpp.llama_sampler_free(sampler)
    return {"sampler": [name], "params": [params], "rounds": rounds}


def byte_letters() -> list[str]:
    """GPT-2's letter for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    letters = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}
    return [letters[b] for b in range(256)]


def write_vocabulary(path: Path) -> list[bytes]:
    """A vocabulary of all bytes, then PIECES, each merged from its longest beginning. -> the tokens' bytes"""
    letters = byte_letters()
    spell = {piece: "".join(letters[b] for b in piece.encode()) for piece in PIECES}
    merges = [f"{spell[p][:-1]} {spell[p][-1]}" for p in PIECES]
    tokens = letters + [spell[p] for p in PIECES]
    w = GGUFWriter(path, "gpt2")
    w.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", "gpt-2")
    w.add("tokenizer.ggml.tokens", tokens).add("tokenizer.ggml.merges", merges)
    w.add("tokenizer.ggml.token_type", np.ones(len(tokens), np.int32))
    w.add("tokenizer.ggml.bos_token_id", 0).add("tokenizer.ggml.eos_token_id", 0).write()
    return [bytes([b]) for b in range(256)] + [p.encode() for p in PIECES]


def tokenize(vocab, text: str) -> list[int]:
    data, room = text.encode(), (llama_cpp.llama_token * 100)()
    n = llama_cpp.llama_tokenize(vocab, data, len(data), room, 100, False, False)
    return list(room[:n])


def main() -> None:
    llama_cpp.llama_backend_init()
    r = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        pieces = write_vocabulary(path)
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        vocab = llama_cpp.llama_model_get_vocab(model)
        ends = {t[i:] for texts in BREAKERS for t in texts for i in range(1, len(t) + 1)}
        names = ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"]
        cases = [one_case([name], r, vocab, len(pieces)) for name in names for _ in range(60 if name == "dry" else 25)]
        cases += [one_case(names, r, vocab, len(pieces)) for _ in range(40)]
        cases += [one_case(r.sample(names, 4), r, vocab, len(pieces)) for _ in range(40)]
        cases += [mirostat_case(name, r) for name in ("mirostat 1", "mirostat 2") for _ in range(10)]
        stored = {
            "program": "libllama through llama-cpp-python",
            "version": llama_cpp.__version__,
            "command": "python conformance/sampling.py",
            "vocabulary": {
                "pieces": [p.decode("latin-1") for p in pieces],
                "encoded": {text: tokenize(vocab, text) for text in sorted(ends)},
            },
            "cases": cases,
        }
        llama_cpp.llama_model_free(model)
    lines = [json.dumps(case, separators=(",", ":")) for case in stored.pop("cases")]
    head = json.dumps(stored, separators=(",", ":"))[:-1]
    RESULTS.write_text(head + ',"cases":[\n' + ",\n".join(lines) + "\n]}\n")
    print(f"{len(lines)} cases, {RESULTS.stat().st_size} bytes: {RESULTS}")


if __name__ == "__main__":
    main()
