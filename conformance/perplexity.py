"""Perplexity of the shipped model in several types, beside llama-perplexity's, on 32 KiB of a text that it never saw.

    LLAMA_CPP_DIR=<folder of llama-perplexity and llama-quantize> python conformance/perplexity.py

The text is the beginning of Alice's Adventures in Wonderland (Lewis Carroll, 1865; public domain). llama-quantize makes
the other types from the shipped Q8_0; with rows of 192 values its K mixtures fall back to types of 32. Writes
conformance/results/perplexity.json and the table in docs/conformance.md; tests/test_perplexity.py reads the former.
"""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from docs_table import put

import llamabox
from llamabox.assets import tiny_chat_path
from llamabox.perplexity import perplexity

HERE = Path(__file__).resolve().parent
TEXT = HERE / "texts" / "alice.txt"
RESULTS = HERE / "results" / "perplexity.json"
TYPES = (
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q5_1",
    "Q5_0",
    "Q4_1",
    "Q4_0",
    "IQ4_NL",
    "Q4_K_M",
    "Q5_K_M",
    "Q2_K",
    "MXFP4_MOE",
)
PROGRAM = "llama.cpp 0c1e57098 (of llama-cpp-python 0.3.36), Release, GGML_NATIVE=ON"


def run(directory: Path, program: str, *words: str) -> str:
    command: Sequence[str] = [str(directory / program), *words]
    env = {**os.environ, "LD_LIBRARY_PATH": str(directory)}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        raise SystemExit(f"{program} failed: {done.stderr[-300:]}")
    return done.stdout + done.stderr


def theirs(directory: Path, path: Path) -> float:
    """llama-perplexity's final estimate; asked again where the program ended before its last line was written."""
    for _ in range(20):
        said = run(directory, "llama-perplexity", "-m", str(path), "-f", str(TEXT), "-t", "1")
        found = re.search(r"Final estimate: PPL = ([0-9.]+) ", said)
        if found is not None:
            return float(found[1])
    raise SystemExit(f"llama-perplexity gives no final estimate of {path}")


def ours(path: Path, backend: str) -> float:
    *_, last = perplexity(llamabox.load(path, backend=backend), TEXT.read_text())
    return last.perplexity


def main() -> None:
    directory, rows = Path(os.environ["LLAMA_CPP_DIR"]), {}
    with tempfile.TemporaryDirectory() as folder:
        for name in TYPES:
            path = tiny_chat_path()
            if name != "Q8_0":
                path = Path(folder) / f"{name}.gguf"
                run(directory, "llama-quantize", "--allow-requantize", str(tiny_chat_path()), str(path), name)
            rows[name] = {"llama.cpp": theirs(directory, path), "cpu": ours(path, "cpu"), "numpy": ours(path, "numpy")}
            print(name, rows[name], flush=True)
    command = "llama-perplexity -m FILE -f alice.txt -t 1 (c 512, KV f16)"
    RESULTS.write_text(json.dumps({"program": PROGRAM, "command": command, "perplexity": rows}, indent=1) + "\n")
    lines = [
        f"Of the shipped model on 32 KiB of a text that it never saw; {PROGRAM}; `python conformance/perplexity.py`.",
        "",
        "| type | llama.cpp | cpu | over llama.cpp | numpy (weights unpacked to f32) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, row in rows.items():
        change = 100 * (row["cpu"] / row["llama.cpp"] - 1)
        lines.append(f"| {name} | {row['llama.cpp']:.1f} | {row['cpu']:.1f} | {change:+.2f}% | {row['numpy']:.1f} |")
    put("perplexity", "\n".join(lines))


if __name__ == "__main__":
    main()
