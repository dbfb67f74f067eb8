"""What lies where in the scratch of the many-row products of floats, and how much of it they need."""

from llamabox.kernels.cpu.features import FEATURES

ROWS = 4  # weight rows in a block
COLUMNS = 4 if FEATURES.avx512 else 3  # what 32 or 16 registers hold
SUMS = 64 * ROWS  # bytes of the sums of a column
BLOCK = COLUMNS * SUMS
BATCH_ROWS, BATCH_BYTES = 64, 256 << 10  # weights read for one panel after the other


def batch_size(row_bytes: int, n_out: int, threads: int) -> tuple[int, int]:
    """Weight rows to read for one panel after the other, and the bytes of scratch a thread needs: their sums."""
    rows = max(1, min(BATCH_ROWS, BATCH_BYTES // row_bytes, n_out // (2 * threads)) // ROWS) * ROWS
    return rows, rows // ROWS * BLOCK
