"""What models can run on: the CPU, and the GPUs that cupy or torch find. Neither is imported before somebody asks.

Names are llama.cpp's (CUDA0, ROCm0, MUSA0), and torch's for kinds that llama.cpp calls otherwise: MPS is its MTL0,
XPU0 its SYCL0, NPU0 its CANN0, which are understood too. Case does not matter.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from glob import glob
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from llamabox.kernels.host import cpu_name, memory_bytes

log = logging.getLogger(__name__)

# NVIDIA (also in WSL), AMD, Intel and others, Ascend, Moore Threads
DRIVERS = ("/dev/nvidia[0-9]*", "/dev/dxg", "/dev/kfd", "/dev/dri/renderD*", "/dev/davinci[0-9]*", "/dev/mtgpu*")


class BackendError(ValueError):
    """A backend or a device that is not there; the message says which are."""


@dataclass(frozen=True)
class Device:
    """One device, and the backend that computes on it.

    address       what its backend calls it: "cuda:0" of torch, "0" of cupy
    memory_total  bytes, like memory_free; None where the device does not say
    aliases       other names that mean it
    """

    name: str
    backend: str
    description: str
    memory_total: int | None = None
    memory_free: int | None = None
    address: str = "cpu"
    aliases: tuple[str, ...] = ()


def devices(backend: str | None = None) -> list[Device]:
    """The devices present, the CPU first.

    backend  those it can compute on; None: each device once, GPUs with cupy where that finds them, else with torch
    """
    if backend == "cupy":
        return _cupy_devices()
    if backend == "torch":
        return [] if _module("torch") is None else [_cpu("torch"), *_torch_devices()]
    if backend is not None:
        return [_cpu(backend)]
    found = [_cpu("cpu"), *_cupy_devices()]
    names = {device.name for device in found}
    return found + [device for device in _torch_devices() if device.name not in names]


def find_device(name: str | None, backend: str | None = None) -> Device:
    """The device of that name that the backend, or any, can compute on; None: its first GPU, or else the CPU.

    Errors:  BackendError for a device that is not there, which names those that are
    """
    if name is not None and name.lower() == "cpu" and backend not in ("cupy", "torch"):
        return _cpu("cpu" if backend is None else backend)  # without asking cupy and torch for theirs
    present = devices(backend)
    if name is None and present:
        return next((device for device in present if device.name != "CPU"), present[0])
    for device in present:
        if name is not None and name.lower() in map(str.lower, (device.name, *device.aliases)):
            return device
    names = ", ".join(device.name for device in present) if present else "there is none"
    raise BackendError(
        f"device{'' if backend is None else f' of backend {backend}'}: found {name!r}, "
        f"expected one that is present: {names}"
    )


def may_have_gpu() -> bool:
    """False where a system, by its device files, has no driver of any GPU; this costs no import."""
    return sys.platform != "linux" or any(glob(pattern) for pattern in DRIVERS)


def _cpu(backend: str) -> Device:
    total, free = memory_bytes() or (None, None)
    return Device("CPU", backend, cpu_name(), total, free)


def _module(name: str) -> ModuleType | None:
    """An optional package, imported; None where it is not installed, or does not load, which is logged."""
    if find_spec(name) is None:
        return None
    try:
        return import_module(name)
    except (ImportError, OSError) as error:  # a shared library that it needs is missing
        log.warning("%s is installed but does not load: %s", name, error)
        return None


def _cupy_devices() -> list[Device]:
    cupy = _module("cupy")
    if cupy is None:
        return []
    runtime = cupy.cuda.runtime
    prefix = "ROCm" if runtime.is_hip else "CUDA"
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        log.debug("cupy finds no device: %s", error)
        return []
    found = []
    for i in range(count):
        with cupy.cuda.Device(i):
            free, total = runtime.memGetInfo()
        described = runtime.getDeviceProperties(i)["name"].decode(errors="replace")
        found.append(Device(f"{prefix}{i}", "cupy", described, total, free, str(i)))
    return found


def _torch_devices() -> list[Device]:
    """The devices of torch besides the CPU."""
    torch = _module("torch")
    if torch is None:
        return []
    found = [*_mps_device(torch)]
    for kind, prefix, alias, extension in KINDS:
        if extension is not None and _module(extension) is None:
            continue
        part = getattr(torch, kind, None)
        if part is not None and part.is_available():
            prefix = "ROCm" if kind == "cuda" and torch.version.hip is not None else prefix
            found += [_torch_device(part, kind, prefix, alias, i) for i in range(part.device_count())]
    return found


KINDS = (  # torch's name, our prefix, llama.cpp's where it is another, the package that adds it to torch
    ("cuda", "CUDA", None, None),
    ("xpu", "XPU", "SYCL", None),
    ("npu", "NPU", "CANN", "torch_npu"),
    ("musa", "MUSA", None, "torch_musa"),
)


def _torch_device(part: Any, kind: str, prefix: str, alias: str | None, i: int) -> Device:
    total, free = _memory(lambda: part.get_device_properties(i).total_memory, lambda: part.mem_get_info(i))
    aliases = () if alias is None else (f"{alias}{i}",)
    return Device(f"{prefix}{i}", "torch", part.get_device_name(i), total, free, f"{kind}:{i}", aliases)


def _memory(total: Callable[[], int], info: Callable[[], tuple[int, int]]) -> tuple[int | None, int | None]:
    """(total, free); free is None of drivers that cannot tell."""
    try:
        free, whole = info()
        return whole, free
    except (AttributeError, RuntimeError, NotImplementedError):
        return total(), None


def _mps_device(torch: ModuleType) -> Iterator[Device]:
    if torch.backends.mps.is_available():
        total = torch.mps.recommended_max_memory()
        free = max(0, total - torch.mps.driver_allocated_memory())
        yield Device("MPS", "torch", "Apple GPU", total, free, "mps", ("MPS0", "MTL0"))
