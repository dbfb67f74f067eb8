"""Arrays: the op vocabulary (`Ops`), its backends, and what a step carries."""

from llamabox.kernels.assignment import Placement, PlacementError
from llamabox.kernels.backends import BACKENDS, device_backend, open_backend
from llamabox.kernels.devices import BackendError, Device, find_device
from llamabox.kernels.kv import BLOCK, CACHE_TYPES, KVCache, KVShape
from llamabox.kernels.ops import Ops
from llamabox.kernels.placement import Threads
from llamabox.kernels.rope import Rope
from llamabox.kernels.step import Rows, Step, make_step
from llamabox.kernels.weight import Weight

__all__ = [
    "BACKENDS",
    "BLOCK",
    "CACHE_TYPES",
    "BackendError",
    "Device",
    "KVCache",
    "KVShape",
    "Ops",
    "Placement",
    "PlacementError",
    "Rope",
    "Rows",
    "Step",
    "Threads",
    "Weight",
    "device_backend",
    "find_device",
    "make_step",
    "open_backend",
]
