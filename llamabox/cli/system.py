"""Facts about this machine and the libraries that llamabox computes with."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from llamabox import __version__

FEATURES = ("sse4.2", "avx", "avx2", "fma", "f16c", "avxvnni", "avx512f", "avx512vnni", "avx512bf16", "amx-int8")
ARM_FEATURES = ("neon", "dotprod", "i8mm", "bf16", "sve")


def print_system_info() -> None:
    """Print versions, the CPU with its features and cores, and the backends, one a line."""
    from llamabox.kernels.backends import BACKENDS

    rows = {
        "llamabox": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        **{name: version(name) for name in ("numpy", "numba", "llvmlite")},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": cpu_name(),
        "cpu features": " ".join(cpu_features()),
        "cores": f"{len(usable_cpus())} usable of {os.cpu_count()}",
        "byte order": sys.byteorder,
        "backends": ", ".join(BACKENDS),
    }
    print("\n".join(f"{name:13} {value}" for name, value in rows.items()))


def cpu_name() -> str:
    """The processor's name as its maker writes it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cpu_features() -> list[str]:
    """The vector instructions of this CPU that matter to kernels, by LLVM's names."""
    from llvmlite import binding

    present = binding.get_host_cpu_features()
    return [name for name in FEATURES + ARM_FEATURES if present.get(name)]


def usable_cpus() -> set[int]:
    """The CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def memory_bytes() -> tuple[int, int] | None:
    """(total, available) memory of the machine; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
    return kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024
