"""The backends: name -> where its class is. A backend's module is imported when it is opened, never before."""

from importlib import import_module
from importlib.util import find_spec

from llamabox.kernels.devices import BackendError, find_device
from llamabox.kernels.ops import Ops
from llamabox.kernels.placement import Threads

BACKENDS = {
    "numpy": "llamabox.kernels.ops:Ops",
    "cpu": "llamabox.kernels.ops_cpu:CpuOps",
    "cupy": "llamabox.kernels.ops_cupy:CupyOps",
    "torch": "llamabox.kernels.ops_torch:TorchOps",
}
PACKAGES = {  # backend -> (the package that it needs, the extra that installs it)
    "cupy": ("cupy", "cuda"),
    "torch": ("torch", "torch"),
}


def open_backend(
    name: str = "cpu",
    threads: Threads | int | None = None,
    batch: Threads | int | None = None,
    device: str | None = None,
) -> Ops:
    """Open a backend by its name.

    threads  that compute, or their number (None: one a core); a number bounds NumPy's BLAS too
    batch    those of steps with more than one row; None: the same
    device   a name of `devices.devices(name)`; None: the CPU, or the first GPU of a backend that is for GPUs
    Errors:  BackendError, a ValueError, for an unknown name, a package that is not installed, and a device that is
             absent or of another backend; ValueError for a number below 1
    """
    if name not in BACKENDS:
        raise BackendError(f"backend: found {name!r}, expected one of {', '.join(BACKENDS)}")
    package, extra = PACKAGES.get(name, (None, None))
    if package is not None and find_spec(package) is None:
        raise BackendError(
            f"backend {name}: the package {package} is not installed, expected it: pip install 'llamabox[{extra}]'"
        )
    where = None if package is None and device is None else find_device(device, name)
    module, cls = BACKENDS[name].split(":")
    backend = getattr(import_module(module), cls)
    usual = threads if isinstance(threads, Threads) else Threads(threads)
    then = usual if batch is None else batch if isinstance(batch, Threads) else Threads(batch)
    return backend(usual, then) if package is None else backend(usual, then, where)


def device_backend(device: str, threads: Threads | int | None = None, batch: Threads | int | None = None) -> Ops:
    """Open the backend that computes on a device, by the device's name. Errors: as open_backend"""
    return open_backend(find_device(device).backend, threads, batch, device)
