"""GB/s of weights that products read, by type and number of rows, beside a plain read of the same memory.

    python benchmarks/kernels.py [--types Q8_0,Q4_0] [--rows 1,2,4,8,16,32,512] [--threads 1,2] [--out FILE]

The matrix is larger than the last cache (--bytes, 150 MB by default), so one row is bound by memory where the kernel is
fast enough: `read` is what there is to reach. Each figure is the median of --repeat runs; rows of x are quantised once
outside of the measurement. With many rows the figure falls as the work grows: rows * 2 * GB/s * values a byte is the
number of operations.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from plain_read import Reader

from llamabox.gguf import GGMLType, quantize
from llamabox.gguf.quant import PACK
from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.products import FLOATS, prepare, product_job, quantise_job
from llamabox.kernels.cpu.runner import Program, Runner, address
from llamabox.kernels.placement import Threads
from llamabox.kernels.weight import Weight

WIDTH, TILE_ROWS = 2048, 256


def weight_of(name: str, size: int) -> Weight:
    """A matrix of about so many bytes: TILE_ROWS quantised rows again and again."""
    type, rng = GGMLType[name], np.random.default_rng(0)
    values = rng.standard_normal((TILE_ROWS, WIDTH)).astype(np.float32)
    tile = values.astype(type.dtype) if type.dtype is not None else quantize(values, type)
    data = np.tile(tile, (-(-size // tile.nbytes), 1))
    return Weight(name, type, (len(data), WIDTH), data)


def seconds(runner: Runner, program: Program, repeat: int) -> float:
    """The median time of a program."""
    runner.run(program, [])
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        runner.run(program, [])
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_read(runner: Runner, data: np.ndarray, repeat: int) -> float:
    """GB/s of a plain read."""
    reader = Reader(runner, [data])
    return statistics.median(reader.speed() for _ in range(repeat + 1))


def measure_product(runner: Runner, weight: Weight, rows: int, repeat: int) -> float:
    """GB/s of weights in a product with so many rows."""
    made = prepare(weight)
    x = np.random.default_rng(1).standard_normal((rows, WIDTH)).astype(np.float32)
    out, source = np.empty((rows, made.shape[0]), np.float32), address(x)
    if made.quantised:
        job, source = quantise_job(runner, source, rows, WIDTH)
        runner.run_once([job])
    program = Program([product_job(runner, made, source, rows, address(out), out.strides[0])])
    return weight.data.nbytes / seconds(runner, program, repeat) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made = [type.name for type in PACK]  # what random values can be quantised to
    numbers = lambda text: [int(n) for n in text.split(",")]  # noqa: E731
    parser.add_argument("--types", default=",".join(dict.fromkeys((*made, *FLOATS))))
    parser.add_argument("--rows", default=[1, 2, 4, 8, 16, 32, 512], type=numbers)
    parser.add_argument("--threads", default=[1, 2], type=numbers)
    parser.add_argument("--bytes", default=150_000_000, type=int)
    parser.add_argument("--repeat", default=5, type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = []
    for name in options.types.split(","):
        weight = weight_of(name, options.bytes)
        for threads in options.threads:
            runner = Runner(Threads(threads))
            figures = {"read": measure_read(runner, weight.data, options.repeat)}
            for rows in options.rows:
                figures[str(rows)] = measure_product(runner, weight, rows, options.repeat if rows < 32 else 1)
            figures = {key: round(value, 2) for key, value in figures.items()}
            print(name, f"{threads} threads", *(f"{key}: {value}" for key, value in figures.items()), flush=True)
            results.append({"type": name, "threads": threads, "gigabytes_per_second": figures})
    if options.out is not None:
        made = {"form": FEATURES.name, "width": WIDTH, "bytes": options.bytes, "results": results}
        options.out.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
