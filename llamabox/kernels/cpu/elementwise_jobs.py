"""Jobs of norms, rope and activations (elementwise.py). What is not a number is an address or a slot."""

from llamabox.kernels.cpu.kernel import kernel
from llamabox.kernels.cpu.runner import TASK_VALUES, Job, float_bits

ACTIVATIONS = ("silu", "gelu", "gelu_erf")


def rms_norm_job(x: int, width: int, rows: int, out: int, weight: int, eps: float) -> Job:
    """rms_norm of rows (rows, width); weight (width,) or 0."""
    per_task = max(1, TASK_VALUES // width)
    args = (x, width, rows, per_task, out, weight, float_bits(eps))
    return Job(kernel("elementwise", "rms_norm").address, -(-rows // per_task), args)


def layer_norm_job(x: int, width: int, rows: int, out: int, weight: int, bias: int, eps: float) -> Job:
    """layer_norm of rows (rows, width); weight (width,), bias (width,) or 0."""
    per_task = max(1, TASK_VALUES // width)
    args = (x, width, rows, per_task, out, weight, bias, float_bits(eps))
    return Job(kernel("elementwise", "layer_norm").address, -(-rows // per_task), args)


def activate_job(name: str, x: int, other: int, size: int, out: int) -> Job:
    """activation(x), times other unless that is 0; `size` values, at least 8."""
    args = (x, other, size, TASK_VALUES, out)
    return Job(kernel("elementwise", "activate", name).address, -(-size // TASK_VALUES), args)


def rope_job(x: int, shape: tuple[int, int, int], out: int, cos: int, sin: int, pairs: int, neox: bool) -> Job:
    """rope of x of this shape (T, H, E) by angles (T, pairs)."""
    rows, heads, size = shape
    per_task = max(1, TASK_VALUES // (heads * size))
    args = (x, heads, size, rows, per_task, out, cos, sin, pairs, int(neox))
    return Job(kernel("elementwise", "rope").address, -(-rows // per_task), args)
