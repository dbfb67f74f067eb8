"""Writes GGUF files, version 3, of either byte order. A file appears whole under its name, or not at all."""

import os
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llamabox.gguf.byteorder import swap_blocks
from llamabox.gguf.encode import encode_string, encode_value, value_type
from llamabox.gguf.errors import GGUFError
from llamabox.gguf.parse import DEFAULT_ALIGNMENT, MAGIC, MAX_AXES, MAX_NAME_BYTES
from llamabox.gguf.tensor import stored_shape
from llamabox.gguf.types import PLAIN, GGMLType, ValueType

DTYPE_TYPES = {dtype: type for type, dtype in PLAIN.items()}


@dataclass(frozen=True)
class _Planned:
    """A tensor to be written; `make` gives its data in stored form."""

    name: str
    type: GGMLType
    shape: tuple[int, ...]
    stored: tuple[int, ...]
    make: Callable[[], np.ndarray]

    @property
    def nbytes(self):
        size = 1 if self.type.dtype is None else self.type.type_size
        return size * int(np.prod(self.stored, dtype=object))


class GGUFWriter:
    """Collects metadata and tensors, then writes them in the order they were added. Each `add` returns the writer.

    arch: general.architecture, the first pair; None when the caller adds it.
    byte_order: "little" or "big".  alignment: of each tensor in the file, a power of two.
    """

    def __init__(self, path, arch: str | None, alignment: int = DEFAULT_ALIGNMENT, byte_order: str = "little"):
        if alignment < 1 or alignment & (alignment - 1) or alignment >= 2**32:
            raise GGUFError(f"alignment is {alignment}, expected a power of two below 2^32")
        if byte_order not in ("little", "big"):
            raise GGUFError(f"byte order is {byte_order!r}, expected 'little' or 'big'")
        self.path = Path(path)
        self.alignment = alignment
        self._byte_order = byte_order
        self._mark = "<" if byte_order == "little" else ">"
        self._pairs: dict[str, bytes] = {}
        self._tensors: dict[str, _Planned] = {}
        if arch is not None:
            self.add("general.architecture", arch)
        if alignment != DEFAULT_ALIGNMENT:
            self.add("general.alignment", alignment, ValueType.UINT32)

    def add(self, key: str, value: Any, type: ValueType | tuple | None = None) -> "GGUFWriter":
        """Add a metadata pair: a bool, int, float, str, list or 1-d array.

        type: a scalar's type, an array's item type, or a tuple as in `GGUFFile.value_types`; None chooses (an int
        becomes UINT32, or INT32 below 0). Errors: GGUFError for a key added before or a value that does not fit.
        """
        if not key or key in self._pairs:
            raise GGUFError(f"{self.path}: metadata key {key!r} is {'added twice' if key else 'empty'}")
        types = value_type(key, value, type)
        self._pairs[key] = struct.pack(self._mark + "I", types[0]) + encode_value(key, value, types, self._mark)
        return self

    def add_tensor(
        self,
        name: str,
        data: np.ndarray | Callable[[], np.ndarray],
        type: GGMLType | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> "GGUFWriter":
        """Add a tensor whose data is in stored form (see `Tensor`), never converted.

        data: an array (type None: what its dtype says; BF16 and blocks are uint8 and need their type), or a function
        that makes it when it is written, so that only one tensor is in memory at a time; it needs type and shape.
        shape: of the values, in NumPy order. Errors: GGUFError.
        """
        if callable(data):
            if type is None or shape is None:
                raise GGUFError(f"tensor {name!r}: data made later needs its type and shape")
            planned = _Planned(name, type, tuple(shape), stored_shape(type, tuple(shape)), data)
        else:
            planned = _plan(name, data, type)
            if shape is not None and tuple(shape) != planned.shape:
                raise GGUFError(f"tensor {name!r}: shape is {planned.shape}, expected {tuple(shape)}")
        _check_name_and_axes(planned)
        if name in self._tensors:
            raise GGUFError(f"{self.path}: tensor {name!r} is added twice")
        self._tensors[name] = planned
        return self

    def write(self, progress: Callable[[str], None] | None = None) -> None:
        """Write the file: into a temporary one beside it, which then takes its name.

        progress: called with each tensor's name after it is written. Errors: GGUFError when the disk refuses (full, no
        such directory, no permission) or a tensor made later is not what was promised; nothing is left behind.
        """
        part = self.path.with_name(f".{self.path.name}.{os.urandom(4).hex()}.part")
        try:
            with open(part, "xb") as file:
                self._write_to(file, progress)
            os.replace(part, self.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise GGUFError(f"cannot write {self.path}: {error.strerror}") from error
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _write_to(self, file, progress):
        file.write(MAGIC + struct.pack(self._mark + "IQQ", 3, len(self._tensors), len(self._pairs)))
        for key, value in self._pairs.items():
            file.write(encode_string(key, self._mark) + value)
        offset = 0
        for planned in self._tensors.values():
            file.write(self._describe(planned, offset))
            offset += _padded(planned.nbytes, self.alignment)
        file.write(bytes(-file.tell() % self.alignment))
        for planned in self._tensors.values():
            file.write(self._bytes_of(planned))
            file.write(bytes(-planned.nbytes % self.alignment))
            if progress is not None:
                progress(planned.name)

    def _describe(self, planned, offset):
        axes = struct.pack(f"{self._mark}I{len(planned.shape)}Q", len(planned.shape), *planned.shape[::-1])
        return encode_string(planned.name, self._mark) + axes + struct.pack(self._mark + "IQ", planned.type, offset)

    def _bytes_of(self, planned):
        data = planned.make()
        dtype = planned.type.dtype or np.dtype(np.uint8)
        if data.dtype != dtype or data.shape != planned.stored:
            found, expected = f"{data.dtype} {data.shape}", f"{dtype} {planned.stored}"
            raise GGUFError(f"tensor {planned.name!r} ({planned.type.name}): data is {found}, expected {expected}")
        if self._byte_order != sys.byteorder:
            data = swap_blocks(data, planned.type) if planned.type.dtype is None else data.byteswap()
        return np.ascontiguousarray(data).data


def _plan(name, data, type):
    """A tensor given as an array: its type from its dtype, its value shape from its stored shape."""
    if type is None:
        type = DTYPE_TYPES.get(data.dtype)
        if type is None:
            raise GGUFError(f"tensor {name!r}: data of {data.dtype} needs its type")
    if type.dtype is not None:
        return _Planned(name, type, data.shape, data.shape, lambda: data)
    if data.ndim == 0 or data.shape[-1] % type.type_size:
        raise GGUFError(f"tensor {name!r}: rows of {data.shape} are no whole number of {type.name} blocks")
    shape = (*data.shape[:-1], data.shape[-1] // type.type_size * type.block_size)
    return _Planned(name, type, shape, data.shape, lambda: data)


def _check_name_and_axes(planned):
    if not 0 < len(planned.name.encode("utf-8", "surrogateescape")) <= MAX_NAME_BYTES:
        raise GGUFError(f"tensor name {planned.name!r} must have 1 to {MAX_NAME_BYTES} bytes")
    if len(planned.shape) > MAX_AXES:
        raise GGUFError(f"tensor {planned.name!r} has {len(planned.shape)} axes, expected at most {MAX_AXES}")


def _padded(n_bytes, alignment):
    return -(-n_bytes // alignment) * alignment
