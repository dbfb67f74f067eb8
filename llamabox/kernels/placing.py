"""From what a user asks for to backends: find the devices, plan, open what the plan needs."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llamabox.kernels.assignment import Placement, PlacementError, Plan, make_plan
from llamabox.kernels.backends import open_backend
from llamabox.kernels.devices import Device, devices, find_device, may_have_gpu
from llamabox.kernels.fitting import Needs, fitted_plan
from llamabox.kernels.ops import Ops
from llamabox.kernels.placed import PlacedOps
from llamabox.kernels.placement import Threads

HOST = "CPU"


class Opened(NamedTuple):
    """ops  what a model runs on: of a plan with one device that device's backend itself; backends  device -> backend"""

    ops: Ops
    plan: Plan
    backends: Mapping[str, Ops]


def place(
    wanted: Placement,
    n_layer: int,
    backend: str = "cpu",
    threads: Threads | int | None = None,
    batch: Threads | int | None = None,
    running: Mapping[str, Ops] | None = None,
    needs: Needs | None = None,
) -> Opened:
    """Open the backends that a model with so many layers is to run on.

    backend  numpy or cpu: of the CPU, beside any GPUs;  torch or cupy: of the GPUs, torch of the CPU too
    running  backends of devices that are open already, to be used again
    needs    bytes that a plan takes of each device, for a placement without a number of layers; None: all fit
    Errors:  PlacementError, BackendError
    """
    gpus = wanted_devices(wanted.devices, backend)
    if wanted.gpu_layers is None and needs is not None:
        plan = fitted_plan(n_layer, wanted, gpus, HOST, needs)
    else:
        plan = make_plan(n_layer, wanted, gpus, HOST)
    needed = plan.devices if plan.single is None else (plan.single,)
    kinds = {gpu.name: gpu.backend for gpu in gpus}
    running = running if running is not None else {}

    def opened(device: str) -> Ops:
        if device in running:
            return running[device]
        if device == HOST:
            beside_gpus = backend == "cupy" and len(gpus) > 0  # without any it refuses the CPU
            return open_backend("cpu" if beside_gpus else backend, threads, batch, HOST)
        return open_backend(kinds[device], threads, batch, device)

    backends = {device: opened(device) for device in needed}
    ops = PlacedOps(plan, backends) if plan.single is None else backends[plan.single]
    return Opened(ops, plan, backends)


def wanted_devices(names: Sequence[str] | None, backend: str = "cpu") -> list[Device]:
    """The GPUs of these names, in this order; of None all that are present, or that a GPU backend can compute on.

    Where the system has no driver of any, nobody is asked for them: importing torch takes seconds.

    Errors:  BackendError for a device that is not there; PlacementError for one that is named twice
    """
    kind = backend if backend in ("cupy", "torch") else None
    if names is None and kind is None and not may_have_gpu():
        return []
    if names is None:
        return [device for device in devices(kind) if device.name != HOST]
    found = [find_device(name, kind) for name in names if name.lower() not in ("none", "cpu")]
    taken = [device.name for device in found]
    twice = [name for i, name in enumerate(taken) if name in taken[:i]]
    if twice:
        raise PlacementError("devices", f"found {twice[0]} twice, expected each once")
    return found
