"""Which instructions kernels may use: asked of the CPU, or of numba's overrides, in this file only.

LLAMABOX_CPU=portable    forces the form that every CPU can run
LLAMABOX_CPU=avx2        forces the form for CPUs with AVX2 and nothing beyond
NUMBA_CPU_NAME=generic   numba compiles for the oldest CPU of this family; then nothing beyond it is assumed here
"""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass

import llvmlite.binding as llvm

AVX512 = ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni")


@dataclass(frozen=True)
class Features:
    """What kernels ask for.

    x86      its baseline
    avx2     32-byte integer SIMD
    fma      fused multiply-add
    f16c     f16 <-> f32 in hardware
    avx512   64-byte SIMD with 8-bit dot products: all of AVX512
    avxvnni  32-byte 8-bit dot products, without AVX-512
    dotprod  16-byte 8-bit dot products of aarch64
    """

    x86: bool = False
    avx2: bool = False
    fma: bool = False
    f16c: bool = False
    avx512: bool = False
    avxvnni: bool = False
    dotprod: bool = False

    @property
    def vnni(self) -> bool:
        """Whether unsigned bytes times signed bytes add up in 32 bits in one instruction."""
        return self.avx512 or self.avxvnni

    @property
    def name(self) -> str:
        """What `kernel_name` calls this form."""
        forms = ("avx512", "avxvnni", "avx2", "dotprod")
        return next((form for form in forms if getattr(self, form)), "portable")


def features_of(machine: str, has: Callable[[str], bool], choice: str) -> Features:
    """The features of a kind of CPU that has some of LLVM's features, as far as LLAMABOX_CPU allows them."""
    if machine in ("aarch64", "arm64"):
        native = choice == "native"
        return Features(fma=True, f16c=native, dotprod=native and has("dotprod"))
    x86 = machine in ("x86_64", "amd64")
    if choice == "portable" or not x86:
        return Features(x86)
    avx2, fma, f16c = has("avx2"), has("fma"), has("f16c")
    if choice == "avx2" or not avx2:
        return Features(x86, avx2, fma, f16c)
    avx512 = all(map(has, AVX512))
    return Features(x86, avx2, fma, f16c, avx512, avxvnni=has("avxvnni") and not avx512)


def target_cpu() -> tuple[str, str]:
    """Name and features, in LLVM's words, of the CPU that kernels are compiled for: this one, or numba's override."""
    name = os.environ.get("NUMBA_CPU_NAME", "")
    if name != "":
        return name, os.environ.get("NUMBA_CPU_FEATURES", "")
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def detect() -> Features:
    """The features of the CPU that numba compiles for."""
    machine, choice = platform.machine().lower(), os.environ.get("LLAMABOX_CPU", "native")
    if choice not in ("native", "avx2", "portable"):
        raise ValueError(f'LLAMABOX_CPU: found {choice!r}, expected "native", "avx2" or "portable"')
    if os.environ.get("NUMBA_CPU_NAME", "") != "":
        given = target_cpu()[1].split(",")
        features = features_of(machine, lambda name: f"+{name}" in given, choice)
    else:
        host = llvm.get_host_cpu_features()
        apple = platform.system() == "Darwin" and machine == "arm64"  # all of them have it, but LLVM lists none
        features = features_of(machine, lambda name: bool(host.get(name)) or (apple and name == "dotprod"), choice)
    if choice == "avx2" and not features.avx2:
        raise ValueError('LLAMABOX_CPU: found "avx2", which this CPU does not have')
    return features


FEATURES = detect()
