"""A Hugging Face model folder: config.json and the tensors of its safetensors files, read one at a time.

safetensors: 8 bytes of header length (little endian), JSON {name: {dtype, shape, data_offsets}}, then the data.
The `safetensors` package has no BF16 for NumPy, so the data is mapped here. Source: github.com/huggingface/safetensors
"""

import json
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MAX_HEADER_BYTES = 100 << 20  # the format's own limit
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class ConvertError(ValueError):
    """A folder that cannot be converted: the message names the file, what was found and what was expected."""


@dataclass(frozen=True, eq=False)
class Stored:
    """One tensor as its file holds it. array() reads it."""

    name: str
    dtype: str  # a key of DTYPES
    shape: tuple[int, ...]
    data: memoryview

    def array(self) -> np.ndarray:
        """The values as f32 (f64 and bf16 are converted), in `shape`."""
        raw = np.frombuffer(self.data, DTYPES[self.dtype]).reshape(self.shape)
        if self.dtype == "BF16":
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32)


class Checkpoint:
    """config: the parsed config.json, a multimodal model's text_config taken up into it; tensors: name -> Stored."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ConvertError(f"{self.folder}: expected a folder with config.json and *.safetensors")
        config = self.json("config.json")
        if config is None:
            raise ConvertError(f"{self.folder}: config.json is missing")
        self.config = {**config, **config.get("text_config", {})}
        self.architecture = (config.get("architectures") or ["none"])[0]
        files = sorted(self.folder.glob("*.safetensors"))
        if not files:
            raise ConvertError(f"{self.folder}: found no *.safetensors file (pickled checkpoints are not read)")
        self.tensors = {stored.name: stored for file in files for stored in read_safetensors(file)}

    def json(self, name: str) -> Any:
        """A JSON file of the folder; None when it is not there."""
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ConvertError(f"{path}: not valid JSON: {error}") from None


def read_safetensors(path: Path) -> Iterator[Stored]:
    """Every tensor of one file, mapped. ConvertError for a damaged file or a type that is not a float."""
    with open(path, "rb") as file:
        size = path.stat().st_size
        if size < 8:
            raise ConvertError(f"{path}: found {size} bytes, expected a safetensors file")
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    (length,) = struct.unpack("<Q", view[:8])
    if length > min(MAX_HEADER_BYTES, size - 8):
        raise ConvertError(f"{path}: header of {length} bytes in a file of {size}")
    try:
        header = json.loads(bytes(view[8 : 8 + length]))
    except (ValueError, RecursionError) as error:
        raise ConvertError(f"{path}: header is not valid JSON: {error}") from None
    data = view[8 + length :]
    for name, entry in header.items():
        if name != "__metadata__":
            yield _stored(path, name, entry, data)


def _stored(path: Path, name: str, entry: Any, data: memoryview) -> Stored:
    try:
        dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        numbers = all(isinstance(n, int) and n >= 0 for n in (*shape, start, end))
    except (TypeError, KeyError, ValueError):
        raise ConvertError(f"{path}: tensor {name}: its header entry is damaged") from None
    if dtype not in DTYPES:
        if name.endswith("position_ids"):  # an index that some encoders store
            return Stored(name, "F32", (0,), data[:0])
        raise ConvertError(f"{path}: tensor {name}: found dtype {dtype}, expected one of {', '.join(DTYPES)}")
    values = 1
    for n in shape:
        values *= n
    if not numbers or not start <= end <= len(data) or end - start != values * np.dtype(DTYPES[dtype]).itemsize:
        raise ConvertError(
            f"{path}: tensor {name}: offsets {start}..{end} do not fit {dtype} {shape} in {len(data)} bytes"
        )
    return Stored(name, dtype, shape, data[start:end])
