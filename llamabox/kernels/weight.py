"""A matrix that stays in its GGUF blocks: what `ops.linear` multiplies by."""

from dataclasses import dataclass
from typing import Any

from llamabox.gguf import GGMLType


@dataclass(frozen=True, eq=False)
class Weight:
    """A 2-D or 3-D tensor as its backend holds it.

    shape  NumPy order: (out, in), or (experts, out, in)
    data   F32, F16: an array of that dtype and shape; BF16 and block types: uint8 (*shape[:-1], row_bytes)
    scale  None, or f32 (1,) or (experts,): a factor of every product with this weight, as NVFP4 files have
    """

    name: str
    type: GGMLType
    shape: tuple[int, ...]
    data: Any
    scale: Any = None
