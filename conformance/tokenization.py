"""Compares every tokenizer with llama.cpp's on random texts, and stores what fast tests check without llama.cpp.

    LLAMA_CPP_LIB_PATH=<bin> python conformance/tokenization.py [--texts 2000] [--pre-texts 1000]

For each vocabulary of conformance/vocabs: the ids of random texts, every token's bytes, special ids, end tokens and
detokenisation. For each pre-tokenizer name: random texts on one vocabulary, `tokenizer.ggml.pre` overridden in both
programs. Writes results/tokenizers.json, results/tokenizer_ids.json.gz (a sample of texts with llama.cpp's ids) and the
table between the markers of docs/conformance.md; exits 1 at any difference.
"""

import argparse
import gzip
import json
import random
import sys
from importlib.metadata import version
from pathlib import Path

from tokenizer_peer import Peer
from tokenizer_texts import random_text

from llamabox.gguf import open_gguf
from llamabox.tokenizer import Tokenizer, detokenize, load_tokenizer
from llamabox.tokenizer.pretokenizers import PRE_TOKENIZERS

HERE = Path(__file__).resolve().parent
VOCABS = HERE / "vocabs"
RESULTS = HERE / "results" / "tokenizers.json"
SAMPLE = HERE / "results" / "tokenizer_ids.json.gz"
DOCS = HERE.parent / "docs" / "conformance.md"
BEGIN, END = "<!-- tokenizers -->", "<!-- /tokenizers -->"
PRE_VOCAB = "ggml-vocab-gpt-2.gguf"
SAMPLED, PRE_SAMPLED = 60, 25  # texts kept for the fast tests
PROVENANCE = {
    "program": f"llama.cpp 0c1e57098 (llama-cpp-python {version('llama-cpp-python')}), libllama through llama_cpp",
    "command": "LLAMA_CPP_LIB_PATH=<bin> python conformance/tokenization.py",
}


def compare_texts(ours: Tokenizer, peer: Peer, count: int, seed: str) -> tuple[int, list, int]:
    """(texts with other ids, each case as llama.cpp has it, texts that detokenise to something else).

    A case: [text, add_special, parse_special, ids, remove_special, unparse_special, detokenised text].
    """
    rng = random.Random(seed)
    specials = special_texts(ours, rng)
    wrong, wrong_back, cases = 0, 0, []
    for _ in range(count):
        text = random_text(rng, specials)
        add_special, parse_special = rng.random() < 0.5, rng.random() < 0.5
        ids = peer.encode(text, add_special, parse_special)
        if ours.encode(text, add_special, parse_special) != ids:
            wrong += 1
            print(f"  {text!r} {add_special=} {parse_special=}: llama.cpp {ids}", file=sys.stderr)
        flags = rng.random() < 0.5, rng.random() < 0.5
        back = peer.detokenize(ids, *flags).decode("utf-8", "replace")
        wrong_back += detokenize(ours, ids, *flags) != back
        cases.append([text, add_special, parse_special, ids, *flags, back])
    return wrong, cases, wrong_back


def special_texts(ours: Tokenizer, rng: random.Random) -> list[str]:
    """The texts of up to 50 tokens that are cut out of text."""
    texts = [special.text for special in ours._specials]
    return rng.sample(texts, min(50, len(texts)))


def compare_tokens(ours: Tokenizer, peer: Peer) -> int:
    """How many tokens have other bytes, shown or hidden, than in llama.cpp."""
    return sum(
        ours.piece(id, special) != peer.piece(id, special) for special in (True, False) for id in range(ours.n_vocab)
    )


def compare_specials(ours: Tokenizer, peer: Peer) -> list[str]:
    """Names of special ids and flags that differ, and end ids."""
    fim = {f"fim_{name}": ours.fim.get(name) for name in ("pre", "suf", "mid", "pad", "rep", "sep")}
    mine = {name: getattr(ours, name, None) for name in peer.specials()} | fim
    wrong = [name for name, value in peer.specials().items() if mine[name] != value]
    return wrong + (["end_ids"] if sorted(ours.end_ids) != peer.end_ids() else [])


def vocabularies(count: int, sample: dict) -> dict:
    """The whole comparison for every vocabulary."""
    table = {}
    for path in sorted(VOCABS.glob("*.gguf")):
        ours, peer = load_tokenizer(open_gguf(path).metadata), Peer(path)
        wrong, cases, wrong_back = compare_texts(ours, peer, count, path.name)
        table[path.stem] = {
            "model": ours.vocab.text("model"),
            "tokens": ours.n_vocab,
            "texts": count,
            "texts_that_differ": wrong,
            "detokenised_that_differ": wrong_back,
            "tokens_that_differ": compare_tokens(ours, peer),
            "specials_that_differ": compare_specials(ours, peer),
        }
        sample["vocabs"][path.name] = cases[:SAMPLED]
        peer.close()
        print(path.stem, table[path.stem], flush=True)
    return table


def pre_tokenizers(count: int, sample: dict) -> dict:
    """Texts that differ for every pre-tokenizer name, on one vocabulary with the name overridden."""
    path = VOCABS / PRE_VOCAB
    metadata = open_gguf(path).metadata
    table = {}
    for name in PRE_TOKENIZERS:
        overrides = {"tokenizer.ggml.pre": name}
        if name == "whitespace":  # llama.cpp aborts at a space unless the model drops it
            overrides["tokenizer.ggml.model"] = "whitespace"
        ours, peer = load_tokenizer(metadata | overrides), Peer(path, overrides)
        wrong, cases, wrong_back = compare_texts(ours, peer, count, name)
        table[name] = {"texts": count, "texts_that_differ": wrong, "detokenised_that_differ": wrong_back}
        sample["pre"][name] = {"overrides": overrides, "cases": cases[:PRE_SAMPLED]}
        peer.close()
        print(name, wrong, wrong_back, flush=True)
    return table


def differences(results: dict) -> int:
    """How many things differ in all."""
    rows = [*results["vocabularies"].values(), *results["pre_tokenizers"].values()]
    values = [value for row in rows for key, value in row.items() if key.endswith("that_differ")]
    return sum(len(value) if isinstance(value, list) else value for value in values)


def markdown(results: dict) -> str:
    """The table for docs/conformance.md."""
    rows = [
        f"| {name.removeprefix('ggml-vocab-')} | {row['model']} | {row['tokens']} | {row['texts']} | "
        f"{row['texts_that_differ']} | {row['tokens_that_differ']} | {row['detokenised_that_differ']} |"
        for name, row in results["vocabularies"].items()
    ]
    pre = results["pre_tokenizers"]
    texts, wrong = (sum(row[key] for row in pre.values()) for key in ("texts", "texts_that_differ"))
    head = "| vocabulary | model | tokens | texts | other ids | tokens with other bytes | other detokenised text |"
    return "\n".join(
        [
            f"Against {results['provenance']['program']}; `{results['provenance']['command']}`.\n",
            head,
            "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            f"\nPre-tokenizer names, each set in both programs on {PRE_VOCAB}: {len(pre)}; texts in all: {texts}; "
            f"with other ids: {wrong}.",
        ]
    )


def write(results: dict, sample: dict) -> None:
    """Store both files, and the table where docs/conformance.md has the markers."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    with SAMPLE.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
        file.write(json.dumps(sample, separators=(",", ":")).encode())
    text = DOCS.read_text(encoding="utf-8")
    if BEGIN in text:
        before, rest = text.split(BEGIN)
        table = f"{BEGIN}\n{markdown(results)}\n{END}"
        DOCS.write_text(before + table + rest.split(END)[1], encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=2000, help="random texts for each vocabulary")
    parser.add_argument("--pre-texts", type=int, default=1000, help="random texts for each pre-tokenizer name")
    args = parser.parse_args()
    sample: dict = {"provenance": PROVENANCE, "pre_vocab": PRE_VOCAB, "vocabs": {}, "pre": {}}
    results = {
        "provenance": PROVENANCE,
        "vocabularies": vocabularies(args.texts, sample),
        "pre_tokenizers": pre_tokenizers(args.pre_texts, sample),
    }
    write(results, sample)
    print(f"{differences(results)} differences")
    return 1 if differences(results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
