"""Writes a copy of a GGUF file with its tensors in other types."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from llamabox.gguf.dequant import dequantize
from llamabox.gguf.errors import GGUFError
from llamabox.gguf.mixture import MIXTURES, UNQUANTISED, ModelFacts, choose_types, find_mixture
from llamabox.gguf.quant import quantize
from llamabox.gguf.reader import GGUFFile
from llamabox.gguf.tensor import Tensor, stored_shape
from llamabox.gguf.types import GGMLType, ValueType
from llamabox.gguf.writer import GGUFWriter

QUANTISATION_VERSION = 2  # of ggml's block formats
SLICE_VALUES = 1 << 20  # converted at a time by a thread
DROPPED = {"general.alignment", "split.no", "split.count", "split.tensors.count"}
REPLACED = {"general.quantization_version", "general.file_type"}


def plan_types(file: GGUFFile, mixture: str, pure: bool = False, allow_requantize: bool = False) -> dict[str, GGMLType]:
    """The new type of every tensor. GGUFError for an unknown mixture, or for values that were quantised before."""
    described = [(tensor.name, tensor.type, tensor.shape) for tensor in file.tensors.values()]
    types = choose_types(described, ModelFacts.from_metadata(file.metadata), find_mixture(mixture), pure)
    for name, type in types.items():
        old = file.tensors[name].type
        if old != type and old not in UNQUANTISED and not allow_requantize:
            raise GGUFError(f"tensor {name!r} is {old.name} already; quantising it again needs --allow-requantize")
    return types


def write_requantized(
    file: GGUFFile,
    path,
    mixture: str,
    types: dict[str, GGMLType],
    n_threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Write `file` to `path` with each tensor in its type of `types` (from `plan_types`), in that order.

    n_threads: None is one per core. progress: called with each tensor's name after it is written.
    Errors: GGUFError for a value that cannot be stored, or when the disk refuses.
    """
    writer = GGUFWriter(path, arch=None)
    for key, value in file.metadata.items():
        if key not in DROPPED | REPLACED:
            writer.add(key, value, file.value_types[key])
    writer.add("general.quantization_version", QUANTISATION_VERSION, ValueType.UINT32)
    writer.add("general.file_type", MIXTURES[find_mixture(mixture)][0], ValueType.UINT32)
    with ThreadPoolExecutor(os.cpu_count() if n_threads is None else n_threads) as pool:
        for name, type in types.items():
            tensor = file.tensors[name]
            writer.add_tensor(name, partial(converted, tensor, type, pool), type, tensor.shape)
        writer.write(progress)


def converted(tensor: Tensor, type: GGMLType, pool: ThreadPoolExecutor) -> np.ndarray:
    """The tensor's data in the stored form of another type, made by slices of rows."""
    if tensor.type == type:
        return tensor.data
    n_columns = tensor.shape[-1]
    rows = tensor.data.reshape(-1, tensor.data.shape[-1])
    out = np.empty((len(rows), type.row_bytes(n_columns)), np.uint8)
    step = max(1, SLICE_VALUES // n_columns)

    def convert(start):
        values = dequantize(rows[start : start + step], tensor.type)
        try:
            out[start : start + step] = quantize(values, type)
        except GGUFError as error:
            raise GGUFError(f"tensor {tensor.name!r}: {error}") from None

    list(pool.map(convert, range(0, len(rows), step)))
    return (out if type.dtype is None else out.view(type.dtype)).reshape(stored_shape(type, tensor.shape))
