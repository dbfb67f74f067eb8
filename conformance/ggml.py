"""ggml's own block types through ctypes.

Set LLAMA_CPP_DIR to the folder of libggml-base.so and llama-quantize, LLAMA_CPP_SOURCE to what they were built from.
"""

import ctypes
import os
from pathlib import Path

import numpy as np

from llamabox.gguf import GGMLType


class TypeTraits(ctypes.Structure):
    """struct ggml_type_traits of ggml.h."""

    _fields_ = [
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.c_void_p),
        ("from_float_ref", ctypes.c_void_p),
    ]


TO_FLOAT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class Ggml:
    """The few functions of libggml-base that the comparisons need."""

    def __init__(self):
        self.directory = Path(os.environ["LLAMA_CPP_DIR"])
        self.lib = ctypes.CDLL(str(self.directory / "libggml-base.so"))
        self.lib.ggml_get_type_traits.restype = ctypes.POINTER(TypeTraits)
        self.lib.ggml_version.restype = ctypes.c_char_p
        self.lib.ggml_quantize_chunk.restype = ctypes.c_size_t
        n, data = ctypes.c_int64, ctypes.c_void_p
        self.lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, data, data, n, n, n, data]

    @property
    def version(self) -> str:
        """Version of ggml and the source it was built from."""
        return f"ggml {self.lib.ggml_version().decode()} built from {os.environ['LLAMA_CPP_SOURCE']}"

    def sizes(self, type: GGMLType) -> tuple[int, int]:
        """(values a block, bytes a block)."""
        traits = self.lib.ggml_get_type_traits(int(type)).contents
        return traits.blck_size, traits.type_size

    def dequantize(self, blocks: np.ndarray, type: GGMLType) -> np.ndarray | None:
        """uint8 (N, bytes) -> f32 (N, values); None when ggml has no way to read the type."""
        traits = self.lib.ggml_get_type_traits(int(type)).contents
        address = traits.to_float
        if not address and type == GGMLType.Q8_K:  # not in the table, but exported
            address = ctypes.cast(self.lib.dequantize_row_q8_K, ctypes.c_void_p).value
        if not address:
            return None
        values = np.empty((len(blocks), type.block_size), np.float32)
        TO_FLOAT(address)(blocks.ctypes.data, values.ctypes.data, values.size)
        return values

    def quantize(self, values: np.ndarray, type: GGMLType) -> np.ndarray:
        """f32 (N, D) -> uint8 (N, row bytes), as llama-quantize does without an importance matrix."""
        rows, columns = values.shape
        out = np.empty((rows, type.row_bytes(columns)), np.uint8)
        values = np.ascontiguousarray(values)
        self.lib.ggml_quantize_chunk(int(type), values.ctypes.data, out.ctypes.data, 0, rows, columns, None)
        return out
