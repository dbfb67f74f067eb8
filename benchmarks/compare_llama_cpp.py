"""llamabox beside llama.cpp on the same files and machine, in alternating runs; medians of the pairwise ratios.

    python benchmarks/compare_llama_cpp.py FILE... --llama-cpp DIR [--pairs 5] [--threads 2]
        [--what prefill,decode,batch] [--out results/speed.json]

DIR holds llama-bench, llama-batched-bench and libllama.so (Release, GGML_NATIVE=ON; at their default settings). Prefill
and decode: `llama-bench` and `llamabox bench` with the same options. Batch: 8 sequences that decode together,
`llama-batched-bench` and batched.py. Every run is a process of its own; none is discarded.
"""

import argparse
import ctypes
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
WHAT = ("prefill", "decode", "batch")


def run(command: list[str]) -> str:
    """The command's standard output; the run ends with its message where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr[-500:]}")
    return done.stdout


def bench(program: list[str], path: str, how: argparse.Namespace) -> dict:
    """pp and tg of llama-bench, or of what takes its options, in tokens a second."""
    lengths = {"prefill": ("-p", how.prefill), "decode": ("-n", how.decode)}
    options = ["-m", path, "-t", str(how.threads), "-r", "1", "-o", "json"]
    for what, (option, length) in lengths.items():
        options += [option, str(length if what in how.what else 0)]
    tests = json.loads(run([*program, *options])) if not set(lengths).isdisjoint(how.what) else []
    return {"prefill" if test["n_prompt"] else "decode": test["avg_ts"] for test in tests}


def theirs(path: str, how: argparse.Namespace) -> dict:
    found = bench([f"{how.llama_cpp}/llama-bench"], path, how)
    if "batch" in how.what:
        context = how.sequences * (how.batch_prompt + how.batch_decode)
        options = ["-c", str(context), "-npp", str(how.batch_prompt), "-ntg", str(how.batch_decode)]
        options += ["-t", str(how.threads), "-npl", str(how.sequences), "--output-format", "jsonl"]
        lines = run([f"{how.llama_cpp}/llama-batched-bench", "-m", path, *options]).splitlines()
        found["batch"] = next(json.loads(line)["speed_tg"] for line in lines if line.startswith("{"))
    return found


def ours(path: str, how: argparse.Namespace) -> dict:
    found = bench([sys.executable, "-m", "llamabox", "bench"], path, how)
    if "batch" in how.what:
        options = ["--prompt", str(how.batch_prompt), "--decode", str(how.batch_decode), "--threads", str(how.threads)]
        options += ["--sequences", str(how.sequences)]
        found["batch"] = json.loads(run([sys.executable, str(HERE / "batched.py"), path, *options]))["speed_tg"]
    return found


def compare(path: str, how: argparse.Namespace) -> dict:
    sides: tuple[Callable, ...] = (ours, theirs)
    pairs = []
    for i in range(how.pairs):  # who begins changes from pair to pair
        found = {side: side(path, how) for side in (sides if i % 2 == 0 else sides[::-1])}
        pairs.append((found[ours], found[theirs]))
    return {
        what: {
            "llamabox": [round(a[what], 2) for a, _ in pairs],
            "llama.cpp": [round(b[what], 2) for _, b in pairs],
            "ratio": round(statistics.median(a[what] / b[what] for a, b in pairs), 3),
        }
        for what in how.what
    }


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def system_info(directory: str) -> str:
    """What llama.cpp says that it was built for."""
    library = ctypes.CDLL(f"{directory}/libllama.so")
    library.llama_print_system_info.restype = ctypes.c_char_p
    return library.llama_print_system_info().decode().strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--llama-cpp", required=True)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--what", type=lambda text: text.split(","), default=",".join(WHAT))
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--batch-prompt", type=int, default=128)
    parser.add_argument("--batch-decode", type=int, default=32)
    parser.add_argument("--out", default=str(HERE / "results" / "speed.json"))
    how = parser.parse_args()
    if not set(how.what) <= set(WHAT):
        parser.error(f"--what {','.join(how.what)}: expected some of {','.join(WHAT)}")
    chosen = {name: value for name, value in vars(how).items() if name not in ("files", "llama_cpp", "out")}
    chosen["what"] = ",".join(how.what)
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in chosen.items())
    result = {
        "machine": f"{cpu_name()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "llama.cpp": system_info(how.llama_cpp),
        "command": f"python benchmarks/compare_llama_cpp.py FILES --llama-cpp DIR {options}",
        "unit": "tokens a second",
        "files": {},
    }
    for path in how.files:
        result["files"][Path(path).name] = found = compare(path, how)
        print(Path(path).name, {what: found[what]["ratio"] for what in how.what}, flush=True)
        Path(how.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
