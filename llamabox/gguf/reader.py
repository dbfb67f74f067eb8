"""Opens GGUF files, versions 2 and 3, of either byte order, in one file or in parts."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llamabox.gguf.byteorder import swap_blocks
from llamabox.gguf.errors import GGUFError, quoted
from llamabox.gguf.hold import hold_bytes, lock_bytes, map_file
from llamabox.gguf.overrides import Override, apply_overrides
from llamabox.gguf.parse import Head, TensorInfo, parse_head
from llamabox.gguf.split import check_part, check_tensor_count, part_paths
from llamabox.gguf.tensor import Tensor, stored_shape
from llamabox.gguf.types import ValueType


@dataclass(frozen=True, eq=False)
class GGUFFile:
    """An open model file.

    metadata: Python scalars, str (surrogate escapes for invalid UTF-8), read-only arrays for arrays of numbers,
    list[str] for arrays of strings, lists for arrays of arrays; overrides are applied. value_types gives each key's
    stored type: (UINT32,), (ARRAY, STRING), ... tensors is in file order, a split model's parts one after the other.
    """

    path: Path
    version: int
    byte_order: str
    metadata: dict
    value_types: dict[str, tuple[ValueType, ...]]
    tensors: dict[str, Tensor]


def open_gguf(path, overrides: Iterable[Override | str] = (), mmap: bool = True, mlock: bool = False) -> GGUFFile:
    """Open a GGUF file; of a model in parts, give the first.

    overrides: `Override`s or "KEY=TYPE:VALUE" strings, which win over the file's metadata.
    mmap: map the weights, so that they are read when first used; otherwise read them into memory now.
    mlock: lock the weights in memory; a refusal by the system is logged as one warning.
    Errors: GGUFError for a bad file or override; OSError when a file cannot be opened.
    """
    head, mapped = _open_part(Path(path))
    parts = [(head, mapped)]
    for index, part_path in enumerate(part_paths(head), start=1):
        part, part_mapped = _open_part(part_path)
        check_part(part, index)
        parts.append((part, part_mapped))
    if len(parts) > 1:
        check_tensor_count(head, sum(len(part.tensors) for part, _ in parts))
    apply_overrides(head.metadata, head.value_types, overrides)
    helds = [hold_bytes(part_mapped, part.path, part.data_start, mmap) for part, part_mapped in parts]
    if mlock:
        lock_bytes([held[part.data_start :] for held, (part, _) in zip(helds, parts, strict=True)], head.path)
    tensors = {}
    for held, (part, _) in zip(helds, parts, strict=True):
        for info in part.tensors:
            if info.name in tensors:
                raise GGUFError(f"{part.path}: tensor {quoted(info.name)} is in an earlier part too")
            tensors[info.name] = _tensor(part, info, held)
    return GGUFFile(head.path, head.version, head.byte_order, head.metadata, head.value_types, tensors)


def _open_part(path: Path):
    mapped = map_file(path)
    return parse_head(mapped, path), mapped


def _tensor(head: Head, info: TensorInfo, held: np.ndarray) -> Tensor:
    """The tensor as a read-only view of the held bytes, or a copy where those are not what this machine can use."""
    raw = held[info.start : info.start + info.nbytes]
    dtype = info.type.dtype
    if dtype is None:
        data = raw if head.byte_order == sys.byteorder else _swap(head, info, raw)
    else:
        data = np.frombuffer(raw.tobytes(), dtype) if info.start % dtype.itemsize else raw.view(dtype)
        data = data if head.byte_order == sys.byteorder else data.byteswap()
    data = data.reshape(stored_shape(info.type, info.shape))
    data.setflags(write=False)
    return Tensor(info.name, info.type, info.shape, data)


def _swap(head, info, raw):
    try:
        return swap_blocks(raw, info.type)
    except GGUFError as error:
        raise GGUFError(f"{head.path}: tensor {quoted(info.name)}: {error}") from None
