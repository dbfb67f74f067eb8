"""A tensor of a GGUF file: its name, type, shape and bytes."""

from dataclasses import dataclass
from math import prod

import numpy as np

from llamabox.gguf.types import GGMLType


@dataclass(frozen=True, eq=False)
class Tensor:
    """One named array.

    shape is in NumPy order (slowest axis first) and counts values. data is read-only: for F64, F32, F16 and the integer
    types an array of that dtype and shape; for BF16 and every block type uint8 of shape (*shape[:-1], row bytes).
    """

    name: str
    type: GGMLType
    shape: tuple[int, ...]
    data: np.ndarray

    @property
    def n_values(self) -> int:
        """Values in the tensor."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor as it is stored."""
        return self.data.nbytes


def stored_shape(type: GGMLType, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of `Tensor.data` for values of `shape`; GGUFError when the last axis does not fill whole blocks."""
    if type.dtype is not None:
        return shape
    return (*shape[:-1], type.row_bytes(shape[-1] if shape else 1))
