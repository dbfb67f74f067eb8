"""Compares grammars and JSON schemas with llama.cpp's own converter and matcher, and stores what it accepts.

    LLAMA_CPP_SRC=.../src LLAMA_CPP_DIR=.../bin python conformance/grammars.py     (needs g++; seconds)

LLAMA_CPP_SRC is llama.cpp's source tree, LLAMA_CPP_DIR holds libllama.so and libllama-common.so built from it.
Compiles conformance/grammars_oracle.cpp and writes conformance/results/grammars.json:
    cases         [{kind, source, texts, accepts: one character a text, "1" or "0"; or error}, ...]
    disagreements what llamabox answers otherwise
tests/engine/constrain/test_grammar_conformance.py checks llamabox.grammar against the file.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from grammars_cases import cases  # noqa: E402

from llamabox.grammar import accepts_gbnf, accepts_json_schema  # noqa: E402

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "grammars.json"
PROGRAM = (
    "llama.cpp of llama-cpp-python 0.3.36: json_schema_to_grammar, llama_grammar_init_impl, llama_grammar_accept_str"
)
LIMIT_S = 20


def main() -> int:
    source, libraries = Path(os.environ["LLAMA_CPP_SRC"]), Path(os.environ["LLAMA_CPP_DIR"])
    with tempfile.TemporaryDirectory() as folder:
        oracle = Path(folder) / "oracle"
        includes = [f"-I{source / name}" for name in ("common", "src", "include", "ggml/include", "vendor")]
        links = [f"-L{libraries}", "-lllama-common", "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{libraries}"]
        subprocess.run(
            ["g++", "-std=c++17", "-O1", *includes, str(HERE / "grammars_oracle.cpp"), "-o", str(oracle), *links],
            check=True,
        )
        found = [answer(oracle, *case) for case in cases()]
    command = "LLAMA_CPP_SRC=.../src LLAMA_CPP_DIR=.../bin python conformance/grammars.py"
    differences = disagreements(found)
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in found)
    notes = ",\n".join("  " + json.dumps(d, ensure_ascii=False) for d in differences)
    RESULTS.write_text(
        f'{{"program": {json.dumps(PROGRAM)},\n "command": {json.dumps(command)},\n "cases": [\n{lines}\n ],\n'
        f' "disagreements": [\n{notes}\n ]}}\n'
    )
    n_texts = sum(len(case["texts"]) for case in found)
    print(f"{len(found)} grammars and schemas, {n_texts} texts, {len(differences)} disagreements")
    for d in differences:
        print(d)
    return 0


def answer(oracle: Path, kind: str, source: str, texts: list[str]) -> dict:
    """What llama.cpp says to one case; "error" too when it crashes or does not end."""
    request = json.dumps({"kind": kind, "source": source, "texts": texts})
    try:
        run = subprocess.run([oracle], input=request, capture_output=True, text=True, timeout=LIMIT_S)
        reply = json.loads(run.stdout) if run.returncode == 0 else {"error": f"it ends with {run.returncode}"}
    except subprocess.TimeoutExpired:
        reply = {"error": f"it does not end within {LIMIT_S} s"}
    case = {"kind": kind, "source": source, "texts": texts}
    if "error" in reply:
        return {**case, "error": reply["error"]}
    return {**case, "accepts": "".join("1" if yes else "0" for yes in reply["accepts"])}


def ours(kind: str, source: str, text: str) -> bool:
    return accepts_gbnf(source, text) if kind == "gbnf" else accepts_json_schema(json.loads(source), text)


def disagreements(found: list[dict]) -> list[dict]:
    """Each case where llamabox answers otherwise, with the texts."""
    different = []
    for case in found:
        kind, source = case["kind"], case["source"]
        try:
            mine = "".join("1" if ours(kind, source, text) else "0" for text in case["texts"])
        except ValueError as error:
            if "error" not in case:
                different.append(
                    {"kind": kind, "source": source, "llamabox": f"error: {error}", "llama.cpp": "accepted"}
                )
            continue
        if "error" in case:
            different.append({"kind": kind, "source": source, "llamabox": "accepted", "llama.cpp": case["error"]})
        elif wrong := [t for t, a, b in zip(case["texts"], case["accepts"], mine, strict=True) if a != b]:
            different.append({"kind": kind, "source": source, "texts": wrong})
    return different


if __name__ == "__main__":
    sys.exit(main())
