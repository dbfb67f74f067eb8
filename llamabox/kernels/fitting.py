"""How many layers go to the GPUs where nobody names a number: as many as find room."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from llamabox.kernels.assignment import Placement, Plan, make_plan, weight_bytes
from llamabox.kernels.devices import Device
from llamabox.kernels.kv import KVShape, cell_bytes

Needs = Callable[[Plan], Mapping[str, float]]  # bytes that a plan takes of each device


def needs_of(tensors: Iterable, shapes: Sequence[KVShape], n_ctx: int, type_k: str, type_v: str) -> Needs:
    """Weights, and the keys and values of n_ctx tokens; tensors as weight_bytes takes them."""
    tensors = list(tensors)

    def needs(plan: Plan) -> Mapping[str, float]:
        found = weight_bytes(plan, tensors)
        for device, shape in zip(plan.kv, shapes, strict=False):  # encoders keep no cache
            found[device] += n_ctx * cell_bytes(shape, type_k, type_v)
        return found

    return needs


def fitted_plan(n_layer: int, wanted: Placement, gpus: Sequence[Device], host: str, needs: Needs) -> Plan:
    """The plan with the most layers on the GPUs that leaves each its margin; GPUs that do not say how much is free have
    room for all.

    Errors:  PlacementError
    """
    margins = [wanted.margins[min(i, len(wanted.margins) - 1)] for i in range(len(gpus))]
    for count in range(n_layer + 1, 0, -1):
        plan = make_plan(n_layer, replace(wanted, gpu_layers=count), gpus, host)
        taken = needs(plan)
        rooms = [(gpu.memory_free, taken.get(gpu.name, 0.0), m) for gpu, m in zip(gpus, margins, strict=True)]
        if all(free is None or size == 0 or size + margin <= free for free, size, margin in rooms):
            return plan
    return make_plan(n_layer, replace(wanted, gpu_layers=0), gpus, host)
