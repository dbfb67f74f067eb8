"""TorchOps: the torch backend, for whatever torch runs on: CPU, CUDA, ROCm, MPS, XPU, NPU, MUSA.

Weights stay packed on the device and are unpacked by tiles of values (torch_ops/blocks.py), which a matrix product
multiplies by: in f32, but many rows by block types, on an accelerator that has bf16 products, in bf16. Arrays are f32
tensors on the device. A decode step reads nothing back before its logits; torch_ops/__init__.py has the rules for that.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from llamabox.gguf import GGMLType, Tensor
from llamabox.kernels import kv as kv_cache
from llamabox.kernels.devices import BackendError, Device
from llamabox.kernels.ops import TILE_BYTES, Ops, _as_f32, _check_largest, _check_linear, _check_norm
from llamabox.kernels.placement import Threads
from llamabox.kernels.rope import Rope, rope_angles
from llamabox.kernels.step import Step
from llamabox.kernels.torch_ops import cache
from llamabox.kernels.torch_ops.attention import How, StepPlan, attend, store
from llamabox.kernels.torch_ops.blocks import values
from llamabox.kernels.weight import Weight

ACCELERATOR_TILE_BYTES = 64 << 20  # there the number of launches counts, not a cache
INDICES = 1 << 31  # more than a row has
PICKS = 1024  # of a row's values; with more of them, whole rows are as good
FEW_ROWS = 32  # are multiplied in f32, so that decode and small batches agree to f32's rounding
FLOATS = (GGMLType.F32, GGMLType.F16, GGMLType.BF16)


@contextmanager
def _room(device: Device, what: str) -> Iterator[None]:
    """BackendError for what the device has no room for; torch has its own error for some devices only."""
    try:
        yield
    except RuntimeError as error:
        told = str(error).lower()
        if isinstance(error, torch.OutOfMemoryError) or "out of memory" in told or "allocate memory" in told:
            raise BackendError(f"{what}: {device.name} ({device.description}) has no room: {error}") from error
        raise


class TorchOps(Ops):
    """The torch backend on one device."""

    name = "torch"
    xp = torch

    def __init__(self, threads: Threads, batch: Threads, device: Device):
        super().__init__(threads, batch)
        self.device = device
        self._where = torch.device(device.address)
        self._on_cpu = self._where.type == "cpu"
        self.picks = 0 if self._on_cpu else PICKS
        self._tile = TILE_BYTES if self._on_cpu else ACCELERATOR_TILE_BYTES
        self._narrow = torch.bfloat16 if _multiplies_bf16(self._where) else torch.float32
        self._plan: StepPlan | None = None
        self._host: dict[int, tuple[Any, np.ndarray]] = {}  # id of a 1-D weight -> it, and its values on the host

    def begin(self, rows: int) -> Threads:
        threads = super().begin(rows)
        if torch.get_num_threads() != threads.number:
            torch.set_num_threads(threads.number)
        return threads

    # ---- in and out -------------------------------------------------------------------------------------------------

    def weight(self, tensor: Tensor, scale: Tensor | None = None) -> Any:
        with _room(self.device, tensor.name):
            return self._weight(tensor, scale)

    def _weight(self, tensor: Tensor, scale: Tensor | None) -> Any:
        if len(tensor.shape) == 1:
            host = _as_f32(tensor.data, tensor.type)
            made = self.array(host)
            self._host[id(made)] = (made, host)
            return made
        factor = None if scale is None else self.array(_as_f32(scale.data, scale.type).reshape(-1))
        return Weight(tensor.name, tensor.type, tensor.shape, self.array(tensor.data), factor)

    def dense(self, weight: Weight) -> Any:
        return values(weight.data, weight.type)

    def array(self, x: np.ndarray) -> Any:
        with warnings.catch_warnings():  # read-only memory, such as a mapped file: nothing here writes to arrays
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(x)).to(self._where)

    def to_numpy(self, x: Any) -> np.ndarray:
        if isinstance(x, np.ndarray):
            return x
        if x.dtype == torch.bfloat16:  # cells of a cache: their bits, as NumPy has no such type
            return x.contiguous().view(torch.int16).cpu().numpy().view(np.uint16)
        return x.cpu().numpy()

    def kv_cache(self, shapes: list, n_blocks: int, type_k: str = "f16", type_v: str = "f16") -> kv_cache.KVCache:
        with _room(self.device, f"KV cache of {n_blocks * kv_cache.BLOCK} cells"):
            return kv_cache.KVCache(shapes, n_blocks, type_k, type_v, cache.Memory(self._where))

    def kernel_name(self, weight: Weight) -> str:
        if weight.type == GGMLType.F32:
            return "torch f32"
        many = "" if self._dtype(weight, FEW_ROWS + 1) == torch.float32 else "; many rows: bf16"
        return f"unpacked tiles x torch f32{many}"

    # ---- rows and matrices ------------------------------------------------------------------------------------------

    def embed(self, weight: Weight, ids: Any) -> Any:
        return values(weight.data[self._index(ids)], weight.type)

    def take_rows(self, x: Any, rows: Any) -> Any:
        if isinstance(rows, np.ndarray) and np.array_equal(rows, np.arange(len(x))):
            return x
        return x[self._index(rows)]

    def linear(self, x: Any, weight: Weight, bias: Any = None) -> Any:
        _check_linear(x, weight, 2)
        rows = x.reshape(-1, x.shape[-1])
        y = self._product(rows, weight).reshape(*x.shape[:-1], weight.shape[0])
        y = y if weight.scale is None else y * weight.scale
        return y if bias is None else y + bias

    def linear_experts(self, x: Any, weight: Weight, ids: Any) -> Any:
        _check_linear(x, weight, 3)
        x = x.expand(*ids.shape, x.shape[-1])  # (T, U, D)
        if ids.numel() <= weight.shape[0]:
            y = self._chosen_experts(x, weight, ids)
        else:
            y = self._sorted_experts(x, weight, ids)
        return y if weight.scale is None else y * weight.scale[ids][..., None]

    def _product(self, x: Any, weight: Weight) -> Any:
        """x (T, D) @ weight (O, D) transposed -> f32 (T, O)"""
        if weight.type == GGMLType.F32:
            return x @ weight.data.T
        x = x.to(self._dtype(weight, len(x)))
        parts = [(x @ tile.to(x.dtype).T).float() for tile in self._tiles(weight)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _chosen_experts(self, x: Any, weight: Weight, ids: Any) -> Any:
        """Few rows: the matrices of all chosen experts, one batched product a tile. Nothing is read back."""
        chosen, x = ids.reshape(-1), x.reshape(-1, x.shape[-1], 1)  # (n,), (n, D, 1)
        tile = max(1, self._tile // (4 * max(1, len(chosen)) * weight.shape[2]))
        parts = []
        for start in range(0, weight.shape[1], tile):
            packed = weight.data[:, start : start + tile][chosen]  # (n, o, row)
            parts.append((values(packed, weight.type) @ x)[..., 0])  # (n, o)
        return torch.cat(parts, dim=1).reshape(*ids.shape, weight.shape[1])

    def _sorted_experts(self, x: Any, weight: Weight, ids: Any) -> Any:
        """Many rows: those of each expert in turn. How many each has is read back, once."""
        chosen, order = torch.sort(ids.reshape(-1), stable=True)
        counts = torch.bincount(chosen, minlength=weight.shape[0]).tolist()
        rows = x.reshape(-1, x.shape[-1])[order]  # (T * U, D)
        parts = [
            self._product(part, Weight(weight.name, weight.type, weight.shape[1:], weight.data[expert]))
            for expert, part in enumerate(rows.split(counts))
            if len(part) > 0
        ]
        y = torch.empty((len(order), weight.shape[1]), device=self._where)
        y[order] = torch.cat(parts)
        return y.reshape(*ids.shape, weight.shape[1])

    # ---- norms and element-wise -------------------------------------------------------------------------------------

    def rms_norm(self, x: Any, weight: Any, eps: float) -> Any:
        _check_norm("rms_norm", x, weight)
        return F.rms_norm(x, x.shape[-1:], weight, eps)

    def layer_norm(self, x: Any, weight: Any, bias: Any, eps: float) -> Any:
        _check_norm("layer_norm", x, weight)
        _check_norm("layer_norm", x, bias)
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps)

    def silu(self, x: Any) -> Any:
        return F.silu(x)

    def sigmoid(self, x: Any) -> Any:
        return torch.sigmoid(x)

    def gelu(self, x: Any) -> Any:
        return F.gelu(x, approximate="tanh")

    def gelu_erf(self, x: Any) -> Any:
        return F.gelu(x)

    def softcap(self, x: Any, cap: float) -> Any:
        return cap * torch.tanh(x / cap)

    def softmax(self, x: Any) -> Any:
        return torch.softmax(x, dim=-1)

    # ---- experts ----------------------------------------------------------------------------------------------------

    def top_k(self, x: Any, k: int) -> Any:
        return torch.sort(x, dim=-1, descending=True, stable=True).indices[..., :k]

    def largest(self, x: Any, k: int) -> tuple:
        """By keys of which no two are equal, since torch.topk says nothing about ties: the value's, then the index."""
        _check_largest(x, k)
        bits, index = x.view(torch.int32), torch.arange(x.shape[1], device=self._where)
        keys = torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits).masked_fill(x.isnan(), 0x7FFFFFFF)
        keys = keys.long() * INDICES + (INDICES - 1 - index)
        ids = INDICES - 1 - keys.topk(min(k, x.shape[1]), dim=-1).values % INDICES
        return x.gather(-1, ids), ids.int()

    def take_along(self, x: Any, ids: Any) -> Any:
        return x.gather(-1, ids)

    def sum(self, x: Any, axis: int) -> Any:
        return x.sum(dim=axis, keepdim=True)

    def clamp_min(self, x: Any, low: float) -> Any:
        return x.clamp(min=low)

    # ---- positions and attention ------------------------------------------------------------------------------------

    def rope_angles(self, pos: np.ndarray, rope: Rope, factors: Any = None) -> tuple:
        """Made on the host, where there is f64. Factors that are a weight need not be read back."""
        if factors is not None:
            kept = self._host.get(id(factors))
            factors = self.to_numpy(factors) if kept is None else kept[1]
        cos, sin = rope_angles(pos, rope, factors)
        return self.array(cos), self.array(sin)

    def rope(self, x: Any, angles: tuple, neox: bool) -> Any:
        cos, sin = angles[0][:, None, :], angles[1][:, None, :]  # (T, 1, dim/2)
        half = cos.shape[-1]
        if neox:
            a, b = x[..., :half], x[..., half : 2 * half]
            turned = [a * cos - b * sin, a * sin + b * cos]
        else:
            a, b = x[..., 0 : 2 * half : 2], x[..., 1 : 2 * half : 2]
            turned = [torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)]
        return torch.cat([*turned, x[..., 2 * half :]], dim=-1)

    def move_cells(self, kv: Any, sources: Any, targets: Any, deltas: Any, ropes: list) -> None:
        (block, offset), (to_block, to_offset) = (
            [self._index(part) for part in np.divmod(np.asarray(cells), kv_cache.BLOCK)] for cells in (sources, targets)
        )
        deltas = np.asarray(deltas, np.int32)
        turned = self._index(np.flatnonzero(deltas))
        for i, rope in enumerate(ropes):
            k, v = kv.k[i][block, :, offset], kv.v[i][block, :, offset]  # (N, K, E): copies
            if rope is not None and len(turned) > 0:
                cos, sin = self.rope_angles(deltas[deltas != 0], *rope)
                size = torch.sqrt(cos * cos + sin * sin)
                keys = self.rope(cache.decode(k[turned], kv.type_k), (cos / size, sin / size), rope[0].neox)
                k[turned] = cache.encode(keys, kv.type_k)
            kv.k[i][to_block, :, to_offset], kv.v[i][to_block, :, to_offset] = k, v

    def attend(
        self,
        q: Any,
        k: Any,
        v: Any,
        step: Step,
        layer: int,
        *,
        scale: float,
        window: int | None = None,
        two_sided: bool = False,
        softcap: float | None = None,
        alibi: float | None = None,
    ) -> Any:
        if self._plan is None or self._plan.step is not step:
            self._plan = StepPlan(step, self._where)
        if step.kv is not None:
            store(self._plan, layer, k, v)
        how = How(scale, window, two_sided, softcap, alibi, step.causal)
        return attend(self._plan, layer, q, k, v, how, self._tile)

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _dtype(self, weight: Weight, rows: int) -> torch.dtype:
        """What so many rows are multiplied by this weight in: block types allow an NMSE of 1e-4, floats 1e-12."""
        return torch.float32 if weight.type in FLOATS or rows <= FEW_ROWS else self._narrow

    def _tiles(self, weight: Weight) -> Iterator[Any]:
        """The values of a matrix (O, D), some of its rows at a time."""
        tile = max(1, self._tile // (4 * weight.shape[-1]))
        for start in range(0, weight.shape[0], tile):
            yield values(weight.data[start : start + tile], weight.type)

    def _index(self, ids: Any) -> Any:
        """Row numbers of the host or of the device, as an index on the device."""
        return self.array(np.asarray(ids, np.int64)) if not isinstance(ids, torch.Tensor) else ids


def _multiplies_bf16(device: torch.device) -> bool:
    """Whether the device itself has bf16 products; CPUs compute in f32, and so does what torch does not tell about."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    part = getattr(torch, device.type, None)
    return device.type in ("xpu", "npu") and bool(part.is_bf16_supported())
