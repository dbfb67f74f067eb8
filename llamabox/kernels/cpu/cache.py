"""Where compiled kernels are kept: `$LLAMABOX_CACHE_DIR/kernels/<version>`, by default under `~/.cache/llamabox`.

numba loads machine code from there, so the folder must be the user's own and nobody else's to write: anything else is
refused. <version> is a hash of the kernels' sources, numba's version and the chosen CPU form: numba itself notices a
change of the file that holds a kernel, but not of what the kernel calls. Deleting the folder is always safe.
"""

import hashlib
import logging
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from numba import __version__ as numba_version
from numba.core import config

from llamabox.kernels.cpu.features import FEATURES

log = logging.getLogger(__name__)
_compiling = threading.RLock()


@contextmanager
def compiling() -> Iterator[None]:
    """Within it, functions declared with cache=True are kept in kernel_cache_dir(); other numba code is not touched."""
    with _compiling:
        before, config.CACHE_DIR = config.CACHE_DIR, str(_usable_dir())
        try:
            yield
        finally:
            config.CACHE_DIR = before


@cache
def _usable_dir() -> Path:
    """kernel_cache_dir(), or where it cannot be made a folder for this process alone."""
    try:
        return kernel_cache_dir()
    except OSError as error:
        log.warning("kernels are compiled anew at each start: %s (set LLAMABOX_CACHE_DIR to keep them)", error)
        return Path(tempfile.mkdtemp(prefix="llamabox-kernels-"))


def cache_root() -> Path:
    """The user's cache folder: $LLAMABOX_CACHE_DIR, or llamabox in $XDG_CACHE_HOME (~/.cache)."""
    chosen = os.environ.get("LLAMABOX_CACHE_DIR", "")
    if chosen != "":
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base != "" else Path.home() / ".cache") / "llamabox"


def kernel_cache_dir() -> Path:
    """This version's folder, made with mode 0700 where it is missing; ValueError when others could write to it."""
    folder = cache_root()
    folder.parent.mkdir(parents=True, exist_ok=True)
    for part in ("", "kernels", _version()):
        folder = folder / part
        folder.mkdir(mode=0o700, exist_ok=True)
        check_private(folder)
    return folder


def check_private(folder: Path) -> None:
    """ValueError unless the folder belongs to this user and nobody else can write to it."""
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode):
        raise ValueError(f"kernel cache {folder}: found a link or file, expected a folder (set LLAMABOX_CACHE_DIR)")
    if not hasattr(os, "getuid"):
        return  # Windows: a profile's folders are private by their access lists
    if info.st_uid != os.getuid():
        raise ValueError(f"kernel cache {folder}: belongs to user {info.st_uid}, expected {os.getuid()}")
    if info.st_mode & 0o022:
        raise ValueError(
            f"kernel cache {folder}: others can write to it (mode {stat.S_IMODE(info.st_mode):o}, expected 700)"
        )


def _version() -> str:
    """Changes whenever cached kernels could be stale."""
    digest = hashlib.sha256(f"{numba_version} {FEATURES}".encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
