"""Jobs for products with weights: which kernel, how many tasks, which arguments."""

from dataclasses import dataclass

import numpy as np

from llamabox.gguf import GGMLType
from llamabox.kernels.cpu import gemm_floats_layout, gemm_layout
from llamabox.kernels.cpu.kernel import Kernel, kernel
from llamabox.kernels.cpu.layout import X_UNIT
from llamabox.kernels.cpu.runner import Job, Runner, address
from llamabox.kernels.weight import Weight

FLOATS = ("F32", "F16", "BF16")  # what has kernels but no blocks
TASK_BYTES = 1 << 20  # of weights, at most, in one task of a one-row product: what a thread reads in one go
SMALL_BYTES = 16 << 10  # not worth another task
QUANTISE_VALUES = 16384  # in one task
APART = 32 << 10  # between the scratch of threads: what one CPU prefetches beyond its own, another has to fetch back
TASKS_A_THREAD = 6  # of a product of many rows, at least, where it has so many batches


def one_row(name: str) -> Kernel:
    """The one-row kernel of a type's name."""
    return kernel("floats" if name in FLOATS else "integer", "one_row", name)


def two_rows(name: str) -> Kernel:
    """The kernel of a type's name for two rows."""
    return many_rows(name) if name in FLOATS else kernel("gemm_few", "two_rows", name)


def four_rows(name: str) -> Kernel:
    """The kernel of a type's name for three and four rows."""
    return many_rows(name) if name in FLOATS else kernel("gemm_few", "four_rows", name)


def many_rows(name: str) -> Kernel:
    """The kernel of a type's name for several rows."""
    return kernel("gemm_floats" if name in FLOATS else "gemm", "many_rows", name)


@dataclass(frozen=True, eq=False)
class CpuWeight(Weight):
    """A Weight with what its kernels need at hand.

    address, row_bytes  of its data, which is C-contiguous
    one_row, two_rows, four_rows, many_rows  addresses of its kernels
    quantised           whether they multiply by quantised rows
    """

    address: int = 0
    row_bytes: int = 0
    one_row: int = 0
    two_rows: int = 0
    four_rows: int = 0
    many_rows: int = 0
    quantised: bool = False


def prepare(weight: Weight) -> CpuWeight:
    """The weight as products take it; its kernels are compiled, or loaded from the cache, here.

    F64 and whole numbers, which no matrix of a known model has, are kept as f32.
    """
    type, data = weight.type, weight.data
    if type.dtype is not None and type.name not in FLOATS:
        type, data = GGMLType.F32, data.astype(np.float32)
    name, data = type.name, np.ascontiguousarray(data)
    row_bytes = data.strides[-2] if data.ndim > 1 else data.nbytes
    kernels = (kind(name).address for kind in (one_row, two_rows, four_rows, many_rows))
    return CpuWeight(
        weight.name, type, weight.shape, data, weight.scale, address(data), row_bytes, *kernels, type.block_size > 1
    )


def quantise_job(runner: Runner, x: int, rows: int, width: int) -> tuple[Job, int]:
    """The job that quantises rows of f32 at an address, and the address of what it makes."""
    target = runner.scratch("activations", rows * units(width) * X_UNIT)
    return quantise_rows(x, rows, width, target), target


def quantise_rows(x: int, rows: int, width: int, target: int) -> Job:
    """The job that quantises rows of f32 at one address to another."""
    per_task = max(1, QUANTISE_VALUES // width)
    args = (x, width, rows, per_task, target)
    return Job(kernel("activation", "quantise").address, -(-rows // per_task), args)


def units(width: int) -> int:
    """Units of 256 values in a row, the last one maybe not full."""
    return -(-width // 256)


def rows_a_task(n_out: int, row_bytes: int, threads: int) -> int:
    """Weight rows in one task of a one-row product.

    Equal shares for all threads, in as few tasks as keep to TASK_BYTES: after each, a thread begins to read elsewhere,
    which takes it as long as 10 to 20 KB. Measured on two cores, in pieces of 48 KB a matrix takes half as long again.
    """
    shares = threads * -(-n_out * row_bytes // (threads * TASK_BYTES))
    return max(1, -(-n_out // max(1, min(shares, n_out * row_bytes // SMALL_BYTES))))


def product_job(
    runner: Runner, weight: CpuWeight, x: int, rows: int, out: int, out_bytes: int, bias: int = 0, matrix: int = 0
) -> Job:
    """The job of x times the transpose of weight (of its `matrix`-th, when it has three axes) plus bias.

    x     address of the rows: quantised ones if weight.quantised, else f32
    out   address of the results, rows out_bytes apart
    """
    n_out, width = weight.shape[-2:]
    data = weight.address + matrix * n_out * weight.row_bytes
    few = rows_a_task(n_out, weight.row_bytes, runner.threads)
    args = (data, weight.row_bytes, n_out, width, x, rows, out, out_bytes, bias)
    if rows == 1:
        return Job(weight.one_row, -(-n_out // few), (*args, few))
    if rows <= 4 and weight.quantised:
        return Job(weight.two_rows if rows == 2 else weight.four_rows, -(-n_out // few), (*args, few))
    if weight.quantised:
        batch, size = gemm_layout.batch_size(weight.type.name, n_out, units(width), runner.threads)
    else:
        batch, size = gemm_floats_layout.batch_size(weight.row_bytes, n_out, runner.threads)
    per_task = -(-max(1, min(few, n_out // (TASKS_A_THREAD * runner.threads))) // batch) * batch
    size += APART
    scratch = runner.scratch(f"products of {size}", size * runner.threads)  # jobs side by side need not cut it alike
    return Job(weight.many_rows, -(-n_out // per_task), (*args, per_task, scratch, size, batch))


def product_phases(runner: Runner, weights: list, biases: list, x: int, rows: int, outs: list[int]) -> list[list[Job]]:
    """The phases of rows at x times weights that have kernels: quantise once, then all products side by side.

    biases  an f32 array each, or None
    outs    addresses of contiguous results (rows, O)
    """
    quantised, phases = 0, []
    if any(w.quantised for w in weights):
        job, quantised = quantise_job(runner, x, rows, weights[0].shape[-1])
        phases.append([job])
    jobs = []
    for w, b, out in zip(weights, biases, outs, strict=True):
        bias = 0 if b is None else address(b)
        jobs.append(product_job(runner, w, quantised if w.quantised else x, rows, out, 4 * w.shape[0], bias))
    return [*phases, jobs]
