"""Products with every quantised type beside ggml's CPU backend, turn by turn in one process; medians of the ratios.

    LLAMA_CPP_DIR=.../bin LLAMA_CPP_SOURCE=... python benchmarks/weight_types.py [TYPE...] [--turns 9] [--threads 2]

Decode: one row times matrices of 8192 x 2048 values, one after another and enough of them that none is in a cache when
its turn comes. Prefill: 512 rows times a matrix of 2048 x 2048. ggml's weights lie where llama.cpp puts them at its
default settings, its threads last as llama.cpp's do. Figures are for random blocks: speed does not depend on them.
Types that are named replace theirs in benchmarks/results/weight_types.json.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "conformance"))

from ggml_products import GgmlProducts, Product  # noqa: E402
from matmul_accuracy import TYPES  # noqa: E402

from llamabox.gguf import GGMLType  # noqa: E402
from llamabox.kernels import Ops, Weight, open_backend  # noqa: E402

RESULTS = HERE / "results" / "weight_types.json"
WIDTH = 2048
DECODE, PREFILL = (1, 8192), (512, 2048)  # rows, weight rows
CACHE_BYTES = 64 << 20  # what all matrices of a decode must exceed
PAUSE_S = 0.05


def blocks(type: GGMLType, n_out: int) -> np.ndarray:
    """Random blocks of numbers that are neither infinite nor NaN nor subnormal, uint8 (O, row bytes)."""
    data = np.random.default_rng(int(type)).integers(0, 64, (n_out, type.row_bytes(WIDTH)), dtype=np.uint8)
    if type == GGMLType.MXFP4:
        data[:, :: type.type_size] += 90  # the exponents
    if type == GGMLType.IQ1_M:
        data[:, 55 :: type.type_size] += 32  # the upper bits of d
    return data


def seconds(run: Callable[[], None], times: int) -> float:
    """Of one run, the mean of so many, after one more and a pause in which the other program's threads fall asleep."""
    time.sleep(PAUSE_S)
    run()
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


class Sides:
    """The same product in both programs."""

    def __init__(self, ggml: GgmlProducts, ops: Ops, type: GGMLType, rows: int, n_out: int, copies: int):
        data = blocks(type, n_out)
        x = np.random.default_rng(1).standard_normal((rows, WIDTH)).astype(np.float32)
        self.theirs = [Product(ggml, type, data, x) for _ in range(copies)]
        weights = [ops.weight(Weight(type.name, type, (n_out, WIDTH), data.copy())) for _ in range(copies)]
        self.run_ours = lambda: [ops.linear(x, weight) for weight in weights]
        self.run_theirs = lambda: [product.run() for product in self.theirs]

    def compare(self, turns: int, times: int) -> list[tuple[float, float]]:
        """(ours, theirs) in seconds, turn by turn; who begins changes."""
        pairs = []
        for i in range(turns):
            sides = (self.run_ours, self.run_theirs)
            found = {side: seconds(side, times) for side in (sides if i % 2 == 0 else sides[::-1])}
            pairs.append((found[self.run_ours], found[self.run_theirs]))
        return pairs

    def free(self) -> None:
        for product in self.theirs:
            product.free()


def figures(pairs: list[tuple[float, float]], unit: float) -> dict:
    """unit / seconds of both sides, and the median of theirs over ours."""
    ours, theirs = zip(*pairs, strict=True)
    return {
        "llamabox": round(unit / statistics.median(ours), 2),
        "llama.cpp": round(unit / statistics.median(theirs), 2),
        "ratio": round(statistics.median(b / a for a, b in pairs), 3),
        "ratios": [round(b / a, 3) for a, b in pairs],
    }


def measure(ggml: GgmlProducts, ops: Ops, type: GGMLType, turns: int) -> dict:
    """Decode in GB/s of weights, prefill in GFLOP/s."""
    rows, n_out = DECODE
    size = n_out * type.row_bytes(WIDTH)
    copies = -(-CACHE_BYTES // size)
    sides = Sides(ggml, ops, type, rows, n_out, copies)
    decode = figures(sides.compare(turns, 2), copies * size / 1e9)
    repacked = sides.theirs[0].is_repacked
    sides.free()
    rows, n_out = PREFILL
    sides = Sides(ggml, ops, type, rows, n_out, 1)
    prefill = figures(sides.compare(turns, 1), 2 * rows * n_out * WIDTH / 1e9)
    sides.free()
    return {"repacked by llama.cpp": repacked, "decode, GB/s": decode, "prefill, GFLOP/s": prefill}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*", metavar="TYPE")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    ggml, ops = GgmlProducts(arguments.threads), open_backend("cpu", threads=arguments.threads)
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"types": {}}
    for type in [GGMLType[name] for name in arguments.types] or TYPES:
        found = results["types"][type.name] = measure(ggml, ops, type, arguments.turns)
        print(
            type.name,
            *(f"{what}: {v['llamabox']} over {v['llama.cpp']} = {v['ratio']}" for what, v in list(found.items())[1:]),
            flush=True,
        )
    results["provenance"] = {
        "program": f"libggml-cpu ({ggml.version}), Release, GGML_NATIVE=ON, default settings; NumPy {np.__version__}",
        "command": "LLAMA_CPP_DIR=<bin> python benchmarks/weight_types.py",
        "machine": platform.processor() or platform.machine(),
        "threads": arguments.threads,
    }
    arguments.out.write_text(json.dumps({k: results[k] for k in ("provenance", "types")}, indent=1) + "\n")


if __name__ == "__main__":
    main()
