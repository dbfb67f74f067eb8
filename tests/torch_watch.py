"""Watch: what torch is asked to do meanwhile."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

NOT_EVERYWHERE = {torch.float64, torch.uint16, torch.uint32, torch.uint64, torch.complex64, torch.complex128}
READ_BACK = ("aten._local_scalar_dense", "aten.nonzero", "aten.bincount", "aten.equal", "aten.unique")


class Watch(TorchDispatchMode):
    """Keeps the name of every operation, and the dtypes and the largest size of what operations make."""

    def __init__(self):
        super().__init__()
        self.names, self.dtypes, self.largest = set(), set(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.names.add(str(func))
        for x in made if isinstance(made, tuple | list) else [made]:
            if isinstance(x, torch.Tensor):
                self.dtypes.add(x.dtype)
                if not x._is_view():
                    self.largest = max(self.largest, x.numel() * x.element_size())
        return made
