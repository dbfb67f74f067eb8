"""A GPU backend checked and measured on the device at hand, within about four minutes.

    python conformance/gpu_check.py [--backend cupy] [--device CUDA0] [--no-speed] [--out benchmarks/results/gpu.json]

1. The op table (tests/kernels/op_cases.py) and every model of conformance/archs, within the bounds of the tests.
2. Milliseconds until the host has 32 rows of 128,000 logits, whole, and the 40 largest of each in order.
3. Prefill of 512 tokens and decode after them, on models of an 8B model's shape with random weights, Q4_K_M and F16,
   and which share of the card's own bandwidth decode reaches: weights and KV cache read a second, over the best copy.

Results go to the file after each part, with the device, versions and the commit. Ends with 1 where a check fails.
Needs the extra `test`, 24 GB of memory or disk for the F16 model, and its size in device memory; a model that does not
fit is noted and left out.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / part) for part in ("benchmarks", "tests", "tests/kernels", "conformance"))]
import gpu_model  # noqa: E402
import logits  # noqa: E402
from op_cases import CASES, nmse  # noqa: E402

from llamabox.gguf import open_gguf  # noqa: E402
from llamabox.kernels import BLOCK, BackendError, Ops, Rows, make_step, open_backend  # noqa: E402
from llamabox.models import load_model  # noqa: E402

PREFILL, DECODE, COPIED_BYTES = 512, 128, 1 << 30
LOGITS, LARGEST = (32, 128_000), 40
ROOM_BYTES = 24 << 30  # for the F16 model


def check_ops(ops: Ops) -> list[dict]:
    """The cases that are beyond their bounds."""
    from on_backends import HostOps

    host, failed = HostOps(ops), []
    for case in CASES:
        with np.errstate(all="ignore"):
            error = nmse(case.expected(), case.call(host))
        if not error <= case.bound:
            failed.append({"case": case.name, "nmse": error, "bound": case.bound})
    return failed


def check_models(ops: Ops) -> list[dict]:
    """The models that are beyond their bounds."""
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name in logits.case_names():
            found = logits.measure(logits.open_case(name, Path(folder)), ops)
            if not found["passed"]:
                failed.append({"model": name, **found})
    return failed


def bandwidth(ops: Any) -> float:
    """Bytes a second of the best of some copies on the device, read and written."""
    if ops.name == "torch":
        return 2 * COPIED_BYTES / _torch_copy(ops)
    source = ops.xp.zeros(COPIED_BYTES // 4, np.float32)
    target, times = ops.xp.empty_like(source), []
    for _ in range(20):
        start, end = ops.xp.cuda.Event(), ops.xp.cuda.Event()
        start.record()
        target[...] = source
        end.record()
        end.synchronize()
        times.append(ops.xp.cuda.get_elapsed_time(start, end) / 1000)
    return 2 * COPIED_BYTES / min(times)


def _torch_copy(ops: Any) -> float:
    """Seconds of a copy, the best of some; several are waited for together, by reading a value."""
    source, n, times = ops.array(np.zeros(COPIED_BYTES // 4, np.float32)), 8, []
    target = source.clone()
    for _ in range(10):
        ops.to_numpy(target[:1])
        began = time.perf_counter()
        for _ in range(n):
            target.copy_(source)
        ops.to_numpy(target[:1])
        times.append((time.perf_counter() - began) / n)
    return min(times)


def measure(ops: Ops, path: Path, read_bytes: int, peak: float) -> dict:
    """Prefill and decode, tokens a second; decode fetches the logits of each token."""
    model = load_model(open_gguf(path), ops)
    n_blocks = -(-(PREFILL + DECODE + 8) // BLOCK)
    kv = ops.kv_cache(model.config.kv_shapes(), n_blocks)

    def step(start: int, count: int) -> float:
        tokens = np.random.default_rng(start).integers(0, gpu_model.VOCAB, count).astype(np.int32)
        began = time.perf_counter()
        ops.to_numpy(model.forward(tokens, make_step([Rows(start, count, range(n_blocks))], kv)))
        return time.perf_counter() - began

    prefill = min(step(0, PREFILL) for _ in range(4))
    decode = [step(PREFILL + n, 1) for n in range(DECODE)][8:]
    median = float(np.median(decode))
    cells = PREFILL + DECODE // 2
    total = read_bytes + cells * kv.size_bytes // (n_blocks * BLOCK)
    found = {"prefill_512": PREFILL / prefill, "decode": 1 / median, "decode_ms": 1000 * median}
    found |= {"read_bytes_a_token": total, "read_gb_s": total / median / 1e9}
    return found | {"share_of_bandwidth": total / median / peak}


def fetching(ops: Ops) -> dict:
    """Milliseconds until the host has rows of logits, whole, and the largest of each; medians."""
    x = ops.array((np.random.default_rng(0).standard_normal(LOGITS) * 4).astype(np.float32))
    ways = {
        "whole_ms": lambda: ops.to_numpy(x),
        "largest_ms": lambda: [ops.to_numpy(y) for y in ops.largest(x, LARGEST)],
    }
    found = {}
    for name, way in ways.items():
        times = []
        for _ in range(20):
            began = time.perf_counter()
            way()
            times.append(1000 * (time.perf_counter() - began))
        found[name] = float(np.median(times[3:]))
    return found


def speed(ops: Ops, found: dict, save: Any) -> None:
    """Every mixture, into found["speed"]; one that does not fit the device or the disk has its reason there."""
    found["logits"] = fetching(ops)
    print("logits:", json.dumps(found["logits"]), flush=True)
    peak = bandwidth(ops)
    found["bandwidth_gb_s"] = peak / 1e9
    in_memory = Path("/dev/shm")  # where it has room: a disk would take most of the time
    roomy = in_memory.is_dir() and shutil.disk_usage(in_memory).free > 2 * ROOM_BYTES
    with tempfile.TemporaryDirectory(dir=in_memory if roomy else None) as folder:
        for mixture in ("Q4_K_M", "F16"):
            path = Path(folder) / f"{mixture}.gguf"
            try:
                found.setdefault("speed", {})[mixture] = measure(ops, path, gpu_model.make(path, mixture), peak)
            except (BackendError, OSError) as error:
                found["speed"][mixture] = {"left_out": str(error)}
            path.unlink(missing_ok=True)
            save()


def about(ops: Any) -> dict:
    """What the results are of."""
    versions = {}
    for name in ("cupy-cuda12x", "cupy-cuda13x", "cupy-rocm-7-0", "torch", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    device = ops.device
    described = {"name": device.name, "description": device.description, "memory_total": device.memory_total}
    if ops.name == "cupy":
        runtime = ops.xp.cuda.runtime
        described |= {"driver": runtime.driverGetVersion(), "runtime": runtime.runtimeGetVersion()}
    return {"backend": ops.name, "device": described, "versions": versions, "commit": commit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="cupy", choices=("cupy", "torch"))
    parser.add_argument("--device", help="as llamabox devices names it; default: the first GPU")
    parser.add_argument("--no-speed", action="store_true", help="the checks alone")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu.json")
    args = parser.parse_args()
    try:
        ops = open_backend(args.backend, device=args.device)
    except BackendError as error:
        sys.exit(str(error))
    found: dict = {"command": " ".join(sys.argv), **about(ops)}

    def save() -> None:
        args.out.write_text(json.dumps(found, indent=1) + "\n")

    for part, check in (("ops", check_ops), ("models", check_models)):
        began = time.perf_counter()
        failed = check(ops)
        n = len(CASES) if part == "ops" else len(logits.case_names())
        found[part] = {"checked": n, "failed": failed, "seconds": time.perf_counter() - began}
        print(f"{part}: {n} checked, {len(failed)} beyond their bounds", *failed, sep="\n  ", flush=True)
        save()
    if not args.no_speed:
        speed(ops, found, save)
        print(json.dumps(found["speed"], indent=1))
    sys.exit(1 if found["ops"]["failed"] or found["models"]["failed"] else 0)


if __name__ == "__main__":
    main()
