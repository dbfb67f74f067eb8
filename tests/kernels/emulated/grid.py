"""CUDA source run on the CPU: compiled as C++ with grid.h, by a compiler that is here or that of package ziglang."""

import ctypes
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
KERNEL = re.compile(r'extern "C" __global__ void (\w+)\(')
FLAGS = [
    "-x",
    "c++",
    "-std=c++14",
    "-O2",
    "-w",
    "-shared",
    "-fPIC",
    "-fno-exceptions",
    "-fno-rtti",
    "-ffp-contract=off",
]
FLAGS += ["-lm", "-fno-strict-aliasing", "-fno-sanitize=all", "-fno-threadsafe-statics", "-U_FORTIFY_SOURCE"]
STACKS = ctypes.create_string_buffer(1024 << 16)


@cache
def compiler() -> list[str] | None:
    """The command that compiles C++, or None."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return [name]
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None


class Library:
    """A compiled source. `launch` runs one of its kernels."""

    def __init__(self, source: str):
        self.names = KERNEL.findall(source)
        self._dll = ctypes.CDLL(str(_compiled(_program(source, self.names))))

    def launch(self, name: str, grid: tuple, threads: int, args: list) -> None:
        """args: addresses as ints, numbers as NumPy scalars of the kernel's own sizes."""
        sizes = (ctypes.c_int * 32)()
        count = getattr(self._dll, f"describe_{name}")(sizes)
        values = [np.uint64(arg) if isinstance(arg, int) else arg for arg in args]
        found, expected = [value.nbytes for value in values], list(sizes[:count])
        if found != expected:
            raise TypeError(f"{name}: arguments of {found} bytes, expected {expected}")
        held = [np.array(value) for value in values]
        addresses = (ctypes.c_void_p * count)(*[value.ctypes.data for value in held])
        shape = (ctypes.c_uint * 3)(*grid, *[1] * (3 - len(grid)))
        if max(shape[1], shape[2]) > 65535 or min(shape) < 1:
            raise ValueError(f"{name}: no GPU runs a grid of {tuple(shape)}")
        code = getattr(self._dll, f"launch_{name}")(addresses, shape, ctypes.c_uint(threads), STACKS)
        if code:
            raise RuntimeError(
                f"{name}: {('threads wait for others that never come', f'{threads} threads a block')[code - 1]}"
            )


def _program(source: str, names: list[str]) -> str:
    wrappers = "".join(
        f'extern "C" int describe_{n}(int* sizes) {{ return describe({n}, sizes); }}\n'
        f'extern "C" int launch_{n}(void** args, const unsigned* grid, unsigned threads, char* stacks) '
        f"{{ return launch({n}, args, grid, threads, stacks); }}\n"
        for n in names
    )
    return (HERE / "grid.h").read_text() + source + wrappers


def _compiled(program: str) -> Path:
    """The shared library made of a program, kept for the next time."""
    command = compiler()
    folder = Path(tempfile.gettempdir()) / f"llamabox-emulated-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / (hashlib.sha256("\0".join([*command, *FLAGS, program]).encode()).hexdigest()[:24] + ".so")
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as made:
            source, target = Path(made) / "kernel.cpp", Path(made) / "kernel.so"
            source.write_text(program)
            run = subprocess.run([*command, *FLAGS, str(source), "-o", str(target)], capture_output=True, text=True)
            if run.returncode:
                raise RuntimeError(f"the kernels do not compile as C++:\n{run.stderr[:4000]}")
            os.replace(target, path)
    return path
