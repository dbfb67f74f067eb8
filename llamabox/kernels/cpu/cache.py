"""Where compiled kernels are kept: `$LLAMABOX_CACHE_DIR/kernels/<version>`, by default under `~/.cache/llamabox`.

Machine code is loaded from there, so the folder must be the user's own and nobody else's to write: anything else is
refused. <version> is a hash of the kernels' sources, the compilers' versions and the chosen CPU. Versions that no start
has used for KEPT_S are deleted when a new one comes. Deleting the folder is always safe.
"""

import atexit
import hashlib
import logging
import os
import shutil
import stat
import tempfile
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from llamabox.kernels.cpu.features import FEATURES, target_cpu

KEPT_S = 30 * 24 * 3600

log = logging.getLogger(__name__)


def cache_root() -> Path:
    """The user's cache folder: $LLAMABOX_CACHE_DIR, or llamabox in $XDG_CACHE_HOME (~/.cache)."""
    chosen = os.environ.get("LLAMABOX_CACHE_DIR", "")
    if chosen != "":
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base != "" else Path.home() / ".cache") / "llamabox"


@cache
def kernel_cache_dir() -> Path:
    """This version's folder, or where it cannot be made one for this process alone. ValueError: see private_dir"""
    try:
        return private_dir()
    except OSError as error:
        log.warning("kernels are compiled anew at each start: %s (set LLAMABOX_CACHE_DIR to keep them)", error)
        folder = tempfile.mkdtemp(prefix="llamabox-kernels-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)


def private_dir() -> Path:
    """This version's folder, made with mode 0700 where it is missing; ValueError when others could write to it."""
    folder = cache_root()
    folder.parent.mkdir(parents=True, exist_ok=True)
    for part in ("", "kernels", _version()):
        folder = folder / part
        is_new = not folder.exists()
        folder.mkdir(mode=0o700, exist_ok=True)
        check_private(folder)
    os.utime(folder)
    if is_new:
        _drop_unused(folder.parent)
    return folder


def _drop_unused(folder: Path) -> None:
    """Delete the versions that no start has used for KEPT_S."""
    for version in folder.iterdir():
        if not version.is_symlink() and time.time() - version.stat().st_mtime > KEPT_S:
            shutil.rmtree(version, ignore_errors=True)


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
    digest = hashlib.sha256(f"{FEATURES} {target_cpu()}".encode())
    for path in (_version_file("numba"), _version_file("llvmlite"), *sorted(Path(__file__).parent.rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _version_file(package: str) -> Path:
    """Where a compiler's package has its version, found without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return Path(spec.origin).with_name("_version.py")
