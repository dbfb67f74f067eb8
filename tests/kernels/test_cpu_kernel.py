"""Kernels are named by jobs, and made only where the cache has none: a start without numba."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from llamabox.kernels import compiling
from llamabox.kernels.cpu import gemm_layout, machine_code
from llamabox.kernels.cpu.kernel import Kernel

START = """
import sys
import llamabox, llamabox.assets, llamabox.cli.serve, llamabox.server.serve

model = llamabox.load(llamabox.assets.tiny_chat_path(), threads=2)
list(model.generate("The", n_predict=4))
print(sorted(name for name in sys.modules if name.split(".")[0] == "numba" or name == "llamabox.kernels.cpu.simd"))
"""


def start() -> str:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_start_with_all_kernels_in_the_cache_needs_no_numba():
    start()  # what is missing is compiled
    assert start() == "[]"


def test_several_threads_may_ask_for_what_the_cache_lacks(monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(compiling, "listener", told.append)
    monkeypatch.setattr(machine_code, "kernel_cache_dir", lambda: tmp_path)
    with ThreadPoolExecutor(4) as pool:
        addresses = list(pool.map(lambda _: Kernel("arithmetic", "take_rows").address, range(4)))
    assert all(addresses) and told == ["arithmetic take_rows", None]
    assert [path.name for path in tmp_path.iterdir()] == ["arithmetic-take_rows.o"]


def test_scratch_is_as_large_as_kernels_fill_it():
    from llamabox.kernels.cpu.gemm_format import TILE_FORMATS

    for name, format in TILE_FORMATS.items():
        assert gemm_layout.group_bytes(name) == format.kind.stride, name
