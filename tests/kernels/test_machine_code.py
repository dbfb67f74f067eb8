"""Machine code runs wherever the system puts its parts."""

import subprocess
import sys

import pytest

from llamabox.gguf import GGMLType

# Fills what is free of the address space, then leaves room for constants and, 60 GB lower, room for code.
APART = """
import ctypes, llvmlite.binding as llvm
from pathlib import Path
from llamabox.kernels.cpu import machine_code

PAGE, PROT_NONE, PRIVATE_ANONYMOUS_NORESERVE = 4096, 0, 0x4022
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

def take(size):
    return libc.mmap(None, size, PROT_NONE, PRIVATE_ANONYMOUS_NORESERVE, -1, 0)

code = Path(PATH).read_bytes()
machine_code._place(code)  # what LLVM itself needs is there now
pages = -(-next(s.size() for s in llvm.ObjectFileRef.from_data(code).sections() if s.is_text()) // PAGE)
for more in range(4):  # for jumps to other code, as LLVM sees fit
    for size in (1 << n for n in range(24, 11, -1)):
        for _ in range(1000):
            take(size)
    for hole in (1, pages + more):
        for _ in range(20):
            libc.munmap(take(3 << 30) + (1 << 30), hole * PAGE)
    for _ in range(10):
        assert machine_code._place(code) != 0
print("placed")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="lays out the address space with Linux's mmap")
def test_constants_and_code_may_be_far_apart():
    from llamabox.kernels.cpu.cache import kernel_cache_dir
    from llamabox.kernels.cpu.products import many_rows

    kernel = many_rows(GGMLType.Q4_0.name)
    assert kernel.address != 0
    path = kernel_cache_dir() / f"{kernel.name.replace(' ', '-')}.o"
    done = subprocess.run(
        [sys.executable, "-c", APART.replace("PATH)", f"{str(path)!r})")], capture_output=True, text=True
    )
    assert done.stdout == "placed\n", done.stderr
