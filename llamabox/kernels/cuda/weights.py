"""CudaWeight: a matrix on the device, in its GGUF blocks."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from llamabox.gguf import GGMLType
from llamabox.kernels.cuda.sources import ELEMENTS, FORMATS
from llamabox.kernels.weight import Weight


@dataclass(frozen=True, eq=False)
class CudaWeight(Weight):
    """A Weight whose data and scale are on the device.

    row_bytes  of one row, a row follows the other
    """

    row_bytes: int = 0

    @property
    def is_blocks(self) -> bool:
        return self.type not in ELEMENTS


def upload(weight: Weight, cupy: Any) -> CudaWeight:
    """The weight on the device; what is there already stays where it is.

    Errors:  ValueError for a type that no kernel reads (integers, F64)
    """
    if weight.type not in ELEMENTS and weight.type not in FORMATS:
        raise ValueError(
            f"weight {weight.name}: found type {weight.type.name}, expected F32, F16, BF16 or a block type"
        )
    data = weight.data
    if isinstance(data, np.ndarray) and weight.type != GGMLType.F32:
        data = np.ascontiguousarray(data).view(np.uint8)
    scale = None if weight.scale is None else cupy.ascontiguousarray(cupy.asarray(weight.scale), dtype=np.float32)
    data = cupy.ascontiguousarray(cupy.asarray(data))
    return CudaWeight(weight.name, weight.type, weight.shape, data, scale, weight.type.row_bytes(weight.shape[-1]))
