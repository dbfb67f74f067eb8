"""Whether a file's tensors hold only finite values: --check-tensors."""

import numpy as np

from llamabox.gguf.dequant import dequantize
from llamabox.gguf.errors import GGUFError, quoted
from llamabox.gguf.reader import GGUFFile
from llamabox.gguf.tensor import Tensor
from llamabox.gguf.types import PLAIN

CHUNK_BYTES = 4 << 20  # of stored data, unpacked at a time


def check_tensors(file: GGUFFile) -> None:
    """Errors: GGUFError naming the first tensor with a NaN or an infinity, and the row it is in"""
    for tensor in file.tensors.values():
        row = _first_bad_row(tensor)
        if row is not None:
            raise GGUFError(f"{file.path}: tensor {quoted(tensor.name)}: found a value that is not finite in row {row}")


def _first_bad_row(tensor: Tensor) -> int | None:
    rows = tensor.data.reshape(-1, tensor.data.shape[-1])
    step = max(1, CHUNK_BYTES // max(1, rows[:1].nbytes))
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        values = chunk if tensor.type in PLAIN else dequantize(chunk, tensor.type)
        bad = ~np.isfinite(values).all(axis=1)
        if bad.any():
            return start + int(bad.argmax())
    return None
