"""The folder of compiled kernels is private, or refused; other numba code keeps its own."""

import os
import stat
import subprocess
import sys
import time

import pytest

from llamabox.kernels.cpu import cache


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMABOX_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_folder_is_made_private(root):
    before = os.umask(0)
    try:
        folder = cache.private_dir()
    finally:
        os.umask(before)
    assert folder.parent.parent == root
    for path in (folder, folder.parent, root):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_refused(root, mode):
    cache.private_dir()
    (root / "kernels").chmod(mode)
    with pytest.raises(ValueError, match=f"kernels: others can write to it .mode {mode:o}, expected 700"):
        cache.private_dir()


def test_versions_that_are_not_used_any_more_are_deleted_when_a_new_one_comes(root, monkeypatch):
    monkeypatch.setattr(cache, "_version", lambda: "first")
    first = cache.private_dir()
    (first / "a.o").write_bytes(b"code")
    second, third = first.with_name("second"), first.with_name("third")
    second.mkdir()
    long_ago = time.time() - cache.KEPT_S - 60
    for folder in (first, second):
        os.utime(folder, (long_ago, long_ago))
    assert cache.private_dir() == first  # an old version that is used is young again; nothing new, so nothing goes
    assert second.exists()
    monkeypatch.setattr(cache, "_version", lambda: "third")
    assert cache.private_dir() == third
    assert sorted(first.parent.iterdir()) == [first, third]
    assert (first / "a.o").exists()


def test_a_link_is_refused(root, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    root.mkdir(mode=0o700)
    (root / "kernels").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="found a link or file, expected a folder"):
        cache.private_dir()


def test_without_the_variable_it_is_in_the_users_cache(monkeypatch):
    monkeypatch.delenv("LLAMABOX_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(cache.cache_root()) == "/somewhere/llamabox"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/user")
    assert str(cache.cache_root()) == "/home/user/.cache/llamabox"


def test_kernels_come_from_the_cache_the_second_time(root):
    program = "from llamabox.kernels.cpu.kernel import kernel; kernel('elementwise', 'rms_norm').address"
    files = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
        files.append({p: p.stat().st_mtime_ns for p in root.rglob("*.o")})
    assert files[0] == files[1] and len(files[0]) == 1
