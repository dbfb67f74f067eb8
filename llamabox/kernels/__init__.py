"""Arrays: the op vocabulary (`Ops`), its backends, and what a step carries."""

from llamabox.kernels.backends import BACKENDS, open_backend
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
    "KVCache",
    "KVShape",
    "Ops",
    "Rope",
    "Rows",
    "Step",
    "Threads",
    "Weight",
    "make_step",
    "open_backend",
]
