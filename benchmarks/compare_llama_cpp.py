"""llamabox beside llama.cpp on the same files and machine, in alternating runs; medians of the pairwise ratios.

    python benchmarks/compare_llama_cpp.py FILE... --llama-cpp DIR [--pairs 5] [--threads 2] [--out results/speed.json]

DIR holds llama-bench (Release, GGML_NATIVE=ON). Every run is a process of its own; none is discarded.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def peer(path: str, arguments) -> dict:
    """llama-bench's pp and tg, in tokens a second."""
    command = [
        f"{arguments.llama_cpp}/llama-bench",
        "-m",
        path,
        "-p",
        str(arguments.prefill),
        "-n",
        str(arguments.decode),
    ]
    command += ["-t", str(arguments.threads), "-r", "1", "-o", "json"]
    runs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {
        "prefill": next(run["avg_ts"] for run in runs if run["n_prompt"]),
        "decode": next(run["avg_ts"] for run in runs if run["n_gen"]),
    }


def ours(path: str, arguments) -> dict:
    command = [sys.executable, str(HERE / "measure.py"), path, "--prefill", str(arguments.prefill)]
    command += ["--decode", str(arguments.decode), "--threads", str(arguments.threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(path: str, arguments) -> dict:
    pairs = [(ours(path, arguments), peer(path, arguments)) for _ in range(arguments.pairs)]
    result = {}
    for what in ("prefill", "decode"):
        ratios = [a[what] / b[what] for a, b in pairs]
        result[what] = {
            "llamabox": [round(a[what], 2) for a, _ in pairs],
            "llama.cpp": [round(b[what], 2) for _, b in pairs],
            "ratio": round(statistics.median(ratios), 3),
        }
    return result


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--llama-cpp", required=True)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefill", type=int, default=256)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--out", default=str(HERE / "results" / "speed.json"))
    arguments = parser.parse_args()
    result = {
        "machine": f"{cpu_name()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "command": f"python benchmarks/compare_llama_cpp.py FILES --llama-cpp DIR --pairs {arguments.pairs} "
        f"--threads {arguments.threads} --prefill {arguments.prefill} --decode {arguments.decode}",
        "unit": "tokens a second",
        "files": {},
    }
    for path in arguments.files:
        result["files"][Path(path).name] = found = compare(path, arguments)
        print(Path(path).name, "prefill", found["prefill"]["ratio"], "decode", found["decode"]["ratio"], flush=True)
        Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
