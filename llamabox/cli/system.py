"""Facts about this machine and the libraries that llamabox computes with."""

import os
import platform
import sys
from importlib.metadata import version

from llamabox import __version__
from llamabox.kernels.host import cpu_name, usable_cpus

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


def cpu_features() -> list[str]:
    """The vector instructions of this CPU that matter to kernels, by LLVM's names."""
    from llvmlite import binding

    present = binding.get_host_cpu_features()
    return [name for name in FEATURES + ARM_FEATURES if present.get(name)]
