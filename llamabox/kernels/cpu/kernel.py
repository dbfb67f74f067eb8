"""Kernel: a kernel by its name, which is all that jobs know of it.

A file that defines kernels, and with it numba, is imported only when the cache lacks the machine code of one of them.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module

from llamabox.kernels.cpu import machine_code


@dataclass(frozen=True)
class Kernel:
    """A function (args, task, thread) of integers: `function` of a file of this folder, or what that makes of
    `arguments` where there are any. It is compiled, or loaded from the cache, when its address is asked for.

    parameters  how many integers it takes
    """

    file: str
    function: str
    arguments: tuple[str, ...] = ()
    parameters: int = 3

    @property
    def name(self) -> str:
        """As people are told it."""
        return " ".join((self.file, self.function, *self.arguments))

    @property
    def signature(self) -> str:
        """As numba writes it."""
        return f"void({', '.join(['int64'] * self.parameters)})"

    @cached_property
    def address(self) -> int:
        """Where the machine code begins."""
        return machine_code.load(self.name, self.signature, self.python)

    def python(self) -> Callable:
        """The function that numba compiles."""
        found = getattr(import_module(f"{__package__}.{self.file}"), self.function)
        return found(*self.arguments) if self.arguments else found

    def callable(self, nogil: bool) -> Callable:
        """It as a Python function of integers; nogil: Python's other threads run meanwhile."""
        kind = ctypes.CFUNCTYPE if nogil else ctypes.PYFUNCTYPE
        return kind(None, *[ctypes.c_int64] * self.parameters)(self.address)


@cache
def kernel(file: str, function: str, *arguments: str) -> Kernel:
    """The Kernel of this name, the same for all who ask: its address is found once."""
    return Kernel(file, function, arguments)
