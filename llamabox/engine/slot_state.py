"""What a slot holds, outside the engine: its tokens with their keys and values, and the file that keeps them.

A file is  16 bytes MAGIC;  u32 length of the header;  the header, JSON: fingerprint of the model, cache types, bytes of
a row of keys and of values of each layer, number of tokens, CRC-32 of what follows;  tokens, int32;  then for each
layer all rows of keys, all rows of values. Little-endian. Its size follows from the header: anything else is refused
before memory is taken for it.
"""

import json
import os
import stat
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MAGIC = b"llamabox slot 1\n"
MAX_HEADER = 1 << 20


class SlotFileError(ValueError):
    """A file that cannot be restored; the message says what was found and what is expected."""


@dataclass(frozen=True)
class SlotLayout:
    """What a file must agree with.

    rows    bytes of one token's keys and of its values, a pair a layer
    n_vocab, n_most  bounds of token ids and of their number
    """

    fingerprint: str
    type_k: str
    type_v: str
    rows: tuple[tuple[int, int], ...]
    n_vocab: int
    n_most: int


@dataclass(frozen=True, eq=False)
class SlotState:
    """arrays: uint8 (n_tokens, row bytes), keys and values of each layer in turn.

    moved  cells may have been moved, which not every request wants (see Sequence.tree)
    """

    tokens: list[int]
    arrays: list[np.ndarray]
    moved: bool = False

    @property
    def size_bytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)


def write_state(path: Path, state: SlotState, layout: SlotLayout) -> int:
    """Write the file, whole or not at all -> its bytes."""
    parts = [np.array(state.tokens, "<i4"), *state.arrays]
    crc = 0
    for part in parts:
        crc = zlib.crc32(np.ascontiguousarray(part).data, crc)
    header = json.dumps({**_facts(layout), "n_tokens": len(state.tokens), "moved": state.moved, "crc32": crc}).encode()
    handle, temporary = tempfile.mkstemp(prefix=".slot-", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(MAGIC + len(header).to_bytes(4, "little") + header)
            for part in parts:
                file.write(np.ascontiguousarray(part).data)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return size


def read_state(path: Path, layout: SlotLayout) -> tuple[SlotState, int]:
    """The state in a file, and the file's bytes. A link is not followed.

    Errors:  SlotFileError; OSError
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise SlotFileError("found no regular file")
        header, begin = _read_header(file, status.st_size)
        n_tokens = _check(header, layout, status.st_size - begin)
        return _read_body(file, header, n_tokens, layout), status.st_size


def _facts(layout: SlotLayout) -> dict[str, Any]:
    rows = [list(pair) for pair in layout.rows]
    return {"fingerprint": layout.fingerprint, "type_k": layout.type_k, "type_v": layout.type_v, "rows": rows}


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header, and where it ends."""
    start = file.read(len(MAGIC) + 4)
    if len(start) < len(MAGIC) + 4 or start[: len(MAGIC)] != MAGIC:
        raise SlotFileError("this is no file of a slot")
    length = int.from_bytes(start[len(MAGIC) :], "little")
    if length > min(MAX_HEADER, size - len(start)):
        raise SlotFileError(f"its header should have {length} bytes, the file has {size - len(start)} more")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError):
        raise SlotFileError("its header is damaged") from None
    if not isinstance(header, dict):
        raise SlotFileError("its header is damaged")
    return header, len(start) + length


def _check(header: dict[str, Any], layout: SlotLayout, n_bytes: int) -> int:
    """Everything that the header says -> the number of tokens."""
    for name, expected in _facts(layout).items():
        if header.get(name) != expected:
            what = "it belongs to another model" if name == "fingerprint" else f"{name}: found {header.get(name)!r:.80}"
            raise SlotFileError(f"{what}, expected {expected!r:.80}")
    n_tokens = header.get("n_tokens")
    if type(n_tokens) is not int or not 0 <= n_tokens <= layout.n_most:
        raise SlotFileError(f"n_tokens: found {n_tokens!r:.40}, expected 0 to {layout.n_most}, the context of a slot")
    expected = n_tokens * (4 + sum(k + v for k, v in layout.rows))
    if n_bytes != expected:
        raise SlotFileError(f"found {n_bytes} bytes after its header, expected {expected} for {n_tokens} tokens")
    return n_tokens


def _read_body(file: BinaryIO, header: dict[str, Any], n_tokens: int, layout: SlotLayout) -> SlotState:
    tokens, crc = np.empty(n_tokens, "<i4"), 0
    arrays = [np.empty((n_tokens, size), np.uint8) for pair in layout.rows for size in pair]
    for part in (tokens, *arrays):
        view = memoryview(part).cast("B") if part.size > 0 else memoryview(b"")
        if part.size > 0 and file.readinto(view) != part.nbytes:  # type: ignore[attr-defined]
            raise SlotFileError("it ends too early")
        crc = zlib.crc32(view, crc)
    if crc != header.get("crc32"):
        raise SlotFileError(f"its CRC-32 is {crc}, expected {header.get('crc32')!r:.40}: it is damaged")
    bad = tokens[(tokens < 0) | (tokens >= layout.n_vocab)]
    if len(bad) > 0:
        raise SlotFileError(f"found token {bad[0]}, expected 0 to {layout.n_vocab - 1}")
    return SlotState(tokens.tolist(), arrays, header.get("moved") is not False)
