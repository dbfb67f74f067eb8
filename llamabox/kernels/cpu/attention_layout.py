"""What lies where in the memory that attention works with: ranges, scratch, records."""

from llamabox.kernels.kv import BLOCK

SPAN = 256  # cells that queries have scores of at a time
LANES = 16  # f32s of a vector
RANGE = 16  # int32s that describe a range
CALL = 128  # bytes for the arguments of a call
HEAD = 64  # bytes of a record before its values: largest score, total weight


def padded(size: int) -> int:
    """Values of a row in scratch."""
    return (size + LANES - 1) // LANES * LANES


def record_bytes(v_dim: int) -> int:
    """Bytes of a query's record."""
    return HEAD + 4 * padded(v_dim)


def scratch_bytes(queries: int, k_dim: int, v_dim: int) -> int:
    """Bytes of scratch that a thread needs for tasks of so many queries, a multiple of 4."""
    block = CALL + 4 * BLOCK * max(padded(k_dim), padded(v_dim))
    return block + queries * (8 + 4 * SPAN + 4 * padded(k_dim) + 2 * record_bytes(v_dim)) + 64 & ~63
