"""Jobs of what stands before a product, in one pass (fused.py)."""

from llamabox.kernels.cpu.kernel import kernel
from llamabox.kernels.cpu.runner import TASK_VALUES, Job, float_bits

TASK_UNITS = 4  # units of 256 values in one task of activations


def norm_job(
    x: int, width: int, rows: int, weight: int, eps: float, *, other: int = 0, sum: int = 0, out: int = 0, quantised=0
) -> Job:
    """The job of rms_norm, maybe of x + other, its result wanted as f32 or quantised or both; all are addresses."""
    per_task = max(1, TASK_VALUES // width)
    args = (x, other, width, rows, per_task, sum, weight, float_bits(eps), out, quantised)
    return Job(kernel("fused", "rms_norm").address, -(-rows // per_task), args)


def activate_job(kind: str, x: int, width: int, rows: int, *, other: int = 0, out: int = 0, quantised: int = 0) -> Job:
    """The job of an activation, maybe times other, its result wanted as f32 or quantised or both; all are addresses."""
    units = rows * (-(-width // 256))
    args = (x, other, width, rows, TASK_UNITS, out, quantised)
    return Job(kernel("fused", "activate", kind).address, -(-units // TASK_UNITS), args)
