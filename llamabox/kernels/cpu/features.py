"""Which instructions kernels may use: asked of the CPU, or of numba's overrides, in this file only.

LLAMABOX_CPU=portable    forces the form that every CPU can run
NUMBA_CPU_NAME=generic   numba compiles for the oldest CPU of this family; then nothing beyond it is assumed here
"""

import os
import platform
from dataclasses import dataclass

import llvmlite.binding as llvm
from numba.core import config


@dataclass(frozen=True)
class Features:
    """x86: its baseline;  avx2: 32-byte integer SIMD;  fma: fused multiply-add;  f16c: f16 <-> f32 in hardware."""

    x86: bool
    avx2: bool
    fma: bool
    f16c: bool

    @property
    def name(self) -> str:
        """What `kernel_name` calls this form."""
        return "avx2" if self.avx2 else "portable"


def detect() -> Features:
    """The features of the CPU that numba compiles for."""
    choice = os.environ.get("LLAMABOX_CPU", "native")
    if choice not in ("native", "portable"):
        raise ValueError(f'LLAMABOX_CPU: found {choice!r}, expected "native" or "portable"')
    if platform.machine() in ("aarch64", "arm64"):
        return Features(x86=False, avx2=False, fma=True, f16c=choice == "native")
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    if choice == "portable":
        return Features(x86, avx2=False, fma=False, f16c=False)
    if config.CPU_NAME:
        given = (config.CPU_FEATURES or "").split(",")
        return Features(x86, *(f"+{name}" in given for name in ("avx2", "fma", "f16c")))
    host = llvm.get_host_cpu_features()
    return Features(x86, *(bool(host.get(name)) for name in ("avx2", "fma", "f16c")))


FEATURES = detect()
