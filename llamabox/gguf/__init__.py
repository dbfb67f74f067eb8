"""GGUF: a file's bytes. Reads and writes files, turns blocks into values and values into blocks."""

from llamabox.gguf.check import check_tensors
from llamabox.gguf.dequant import dequantize
from llamabox.gguf.errors import GGUFError
from llamabox.gguf.overrides import Override, parse_override
from llamabox.gguf.quant import quantize
from llamabox.gguf.reader import GGUFFile, open_gguf
from llamabox.gguf.tensor import Tensor
from llamabox.gguf.types import GGMLType, ValueType
from llamabox.gguf.writer import GGUFWriter

__all__ = [
    "GGMLType",
    "GGUFError",
    "GGUFFile",
    "GGUFWriter",
    "Override",
    "Tensor",
    "ValueType",
    "check_tensors",
    "dequantize",
    "open_gguf",
    "parse_override",
    "quantize",
]
