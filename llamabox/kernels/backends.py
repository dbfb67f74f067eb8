"""The backends: name -> where its class is. A backend's module is imported when it is opened, never before."""

from importlib import import_module

from llamabox.kernels.ops import Ops

BACKENDS = {
    "numpy": "llamabox.kernels.ops:Ops",
    "cpu": "llamabox.kernels.ops_cpu:CpuOps",
}


def open_backend(name: str = "cpu", threads: int | None = None) -> Ops:
    """Open a backend by its name. threads bounds the CPU backend's threads (None: one a core).

    Errors:  ValueError for an unknown name
    """
    if name not in BACKENDS:
        raise ValueError(f"backend: found {name!r}, expected one of {', '.join(BACKENDS)}")
    module, cls = BACKENDS[name].split(":")
    backend = getattr(import_module(module), cls)
    return backend(threads=threads) if name == "cpu" else backend()
