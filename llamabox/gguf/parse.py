"""Parses the head of one GGUF file: header, metadata and tensor descriptions. No tensor data is touched.

magic "GGUF" · version (u32) · tensor count (u64) · pair count (u64) · pairs · tensor descriptions · padding · data
tensor description:  name (string), axes (u32), sizes (u64 each, fastest first), type (u32), offset in data (u64)
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from llamabox.gguf.cursor import Cursor
from llamabox.gguf.errors import GGUFError, quoted
from llamabox.gguf.metadata import read_metadata
from llamabox.gguf.types import GGMLType, ValueType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_AXES = 4
MAX_NAME_BYTES = 159  # stable-diffusion.cpp writes longer names than llama.cpp's 63
MAX_SIZE = 2**63 - 1
MIN_TENSOR_BYTES = 24  # of a tensor description: name length, axes, type, offset


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies: `start` and `nbytes` count from the beginning of the file."""

    name: str
    type: GGMLType
    shape: tuple[int, ...]
    start: int
    nbytes: int


@dataclass(frozen=True)
class Head:
    """Everything in a GGUF file but the tensor data, which begins at `data_start`."""

    path: Path
    version: int
    byte_order: str
    metadata: dict
    value_types: dict
    alignment: int
    data_start: int
    tensors: list[TensorInfo]


def parse_head(data, path: Path) -> Head:
    """Parse the head of the file whose whole content is `data` (bytes or an mmap). Errors: GGUFError."""
    version, order = _read_version(data, path)
    cursor = Cursor(data, path, order, position=8)
    n_tensors = cursor.u64("the tensor count")
    n_pairs = cursor.u64("the metadata count")
    metadata, value_types = read_metadata(cursor, n_pairs, order)
    alignment = _alignment(metadata, value_types, path)
    if n_tensors * MIN_TENSOR_BYTES > cursor.remaining:
        raise GGUFError(f"{path}: the header promises {n_tensors} tensors, {cursor.remaining} bytes are left")
    described = [_read_tensor(cursor, i) for i in range(n_tensors)]
    data_start = -(-cursor.position // alignment) * alignment
    tensors = [_place(path, data_start, cursor.end, alignment, *one) for one in described]
    _check_distinct(path, tensors)
    return Head(path, version, order, metadata, value_types, alignment, data_start, tensors)


def _read_version(data, path):
    """(version, byte order) of a file. The version is the only number whose byte order is not known beforehand."""
    if data[:4] != MAGIC:
        raise GGUFError(f"{path}: not a GGUF file: it starts with {bytes(data[:4])!r}, expected {MAGIC!r}")
    if len(data) < 8:
        raise GGUFError(f"{path}: the file ends after {len(data)} bytes, within its header")
    for order in ("little", "big"):
        version = int.from_bytes(data[4:8], order)
        if version in VERSIONS:
            return version, order
    version = min(int.from_bytes(data[4:8], order) for order in ("little", "big"))
    raise GGUFError(f"{path}: GGUF version {version} is not supported, expected 2 or 3")


def _alignment(metadata, value_types, path):
    if "general.alignment" not in metadata:
        return DEFAULT_ALIGNMENT
    alignment = metadata["general.alignment"]
    if value_types["general.alignment"] != (ValueType.UINT32,) or alignment == 0 or alignment & (alignment - 1):
        raise GGUFError(f"{path}: general.alignment is {alignment!r}, expected a UINT32 that is a power of two")
    return alignment


def _read_tensor(cursor, index):
    """(name, type, shape, offset) of the tensor description at the cursor."""
    name = cursor.string(f"the name of tensor {index}")
    if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES:
        raise GGUFError(f"{cursor.path}: the name of tensor {index} is longer than {MAX_NAME_BYTES} bytes")
    what = f"tensor {quoted(name)}"
    n_axes = cursor.u32(what)
    if n_axes > MAX_AXES:
        raise GGUFError(f"{cursor.path}: {what} has {n_axes} axes, expected at most {MAX_AXES}")
    shape = tuple(cursor.u64(what) for _ in range(n_axes))[::-1]
    number = cursor.u32(what)
    try:
        type = GGMLType(number)
    except ValueError:
        raise GGUFError(f"{cursor.path}: {what} has type {number}, which is no known GGML type") from None
    return name, type, shape, cursor.u64(what)


def _place(path, data_start, file_end, alignment, name, type, shape, offset):
    """Check that a described tensor lies within the file, and where."""
    if prod(max(n, 1) for n in shape) * type.type_size > MAX_SIZE:
        raise GGUFError(f"{path}: tensor {quoted(name)} has shape {shape}, more than {MAX_SIZE} bytes")
    try:
        row = type.row_bytes(shape[-1] if shape else 1)
    except GGUFError as error:
        raise GGUFError(f"{path}: tensor {quoted(name)}: {error}") from None
    nbytes = prod(shape[:-1]) * row
    if offset % alignment:
        raise GGUFError(f"{path}: tensor {quoted(name)} has offset {offset}, expected a multiple of {alignment}")
    end = data_start + offset + nbytes
    if end > file_end:
        raise GGUFError(f"{path}: tensor {quoted(name)} ends at byte {end}, the file at {file_end}: is it truncated?")
    return TensorInfo(name, type, shape, data_start + offset, nbytes)


def _check_distinct(path, tensors):
    """No name twice, and no byte in two tensors."""
    seen = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise GGUFError(f"{path}: tensor {quoted(tensor.name)} appears twice")
        seen.add(tensor.name)
    occupied = sorted((t for t in tensors if t.nbytes), key=lambda t: t.start)
    for before, after in zip(occupied, occupied[1:], strict=False):
        if before.start + before.nbytes > after.start:
            raise GGUFError(f"{path}: tensors {quoted(before.name)} and {quoted(after.name)} overlap")
