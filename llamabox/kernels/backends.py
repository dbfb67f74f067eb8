"""The backends: name -> where its class is. A backend's module is imported when it is opened, never before."""

from importlib import import_module

from llamabox.kernels.ops import Ops
from llamabox.kernels.placement import Threads

BACKENDS = {
    "numpy": "llamabox.kernels.ops:Ops",
    "cpu": "llamabox.kernels.ops_cpu:CpuOps",
}


def open_backend(name: str = "cpu", threads: Threads | int | None = None, batch: Threads | int | None = None) -> Ops:
    """Open a backend by its name.

    threads  that compute, or their number (None: one a core); a number bounds NumPy's BLAS too
    batch    those of steps with more than one row; None: the same
    Errors:  ValueError for an unknown name, or a number below 1
    """
    if name not in BACKENDS:
        raise ValueError(f"backend: found {name!r}, expected one of {', '.join(BACKENDS)}")
    module, cls = BACKENDS[name].split(":")
    backend = getattr(import_module(module), cls)
    usual = threads if isinstance(threads, Threads) else Threads(threads)
    return backend(usual, usual if batch is None else batch if isinstance(batch, Threads) else Threads(batch))
