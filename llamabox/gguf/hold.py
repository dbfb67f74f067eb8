"""How a file's bytes are held: mapped from the page cache, copied into anonymous memory, or locked in memory."""

import ctypes
import logging
import mmap
import os
import stat
from pathlib import Path

import numpy as np

from llamabox.gguf.errors import GGUFError

log = logging.getLogger("llamabox.gguf")
COPY_CHUNK = 1 << 24  # bytes
PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}


def map_file(path: Path) -> mmap.mmap | bytes:
    """The whole file, mapped read-only; b"" for an empty one, which cannot be mapped.

    Errors: OSError as from open(); GGUFError for what is no regular file, before it is opened: a pipe would block.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise GGUFError(f"{path}: not a regular file")
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def hold_bytes(mapped: mmap.mmap, path: Path, start: int, use_mmap: bool) -> np.ndarray:
    """The bytes of `mapped`, read-only uint8, whole so that offsets in the file stay offsets in the array.

    use_mmap: keep the mapping, so that pages are read when first used and can be dropped by the system; otherwise what
    lies from `start` on is read now into anonymous memory (the head before it stays zero).
    """
    return np.frombuffer(mapped if use_mmap else memoryview(_copy(mapped, path, start)).toreadonly(), np.uint8)


def _copy(mapped, path, start):
    try:
        memory = mmap.mmap(-1, len(mapped), **PRIVATE)
    except OSError as error:
        raise GGUFError(f"{path}: no memory for {len(mapped)} bytes ({error.strerror}); try --mmap") from None
    with open(path, "rb") as file, memoryview(memory) as view:
        file.seek(start)
        position = start
        while position < len(view):
            n_read = file.readinto(view[position : position + COPY_CHUNK])
            if not n_read:
                raise GGUFError(f"{path}: the file ended at byte {position} while it was read, expected {len(view)}")
            position += n_read
    return memory


def lock_bytes(arrays: list[np.ndarray], path: Path) -> None:
    """Ask the system never to page these bytes out. They stay locked until they are freed; a refusal is one warning."""
    if os.name != "posix":
        log.warning("%s: --mlock is not supported on this system; the weights may be paged out", path)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for held in arrays:
        if held.size and libc.mlock(ctypes.c_void_p(held.ctypes.data), ctypes.c_size_t(held.size)):
            reason = os.strerror(ctypes.get_errno())
            hint = "raise RLIMIT_MEMLOCK (ulimit -l) or drop --mlock"
            log.warning("%s: cannot lock %d bytes in memory (%s); %s", path, held.size, reason, hint)
            return
