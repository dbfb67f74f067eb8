"""Which device holds which layer: a Placement (what a user asks for) becomes a Plan, by llama.cpp's rules.

Layers 0 .. n-1 and, as the last of n + 1, the output (output_norm, output, classifiers) are counted from the end: of
`gpu_layers` the output is the first to go to a GPU, layer 0 the last. GPUs get consecutive runs of them, as large as
their shares. Token embeddings stay on the host, unless everything else is on one device.

Source: llama.cpp src/llama-model.cpp, load_tensors; its help texts for what lives on the main GPU.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from llamabox.kernels.devices import Device

SPLIT_MODES = ("none", "layer", "row")
INPUTS = ("token_embd", "token_embd_norm", "token_types", "position_embd")
ROW_MULTIPLE = 32  # rows of a matrix go to devices in such portions, so that kernels see whole tiles
EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
DENSE = r"\.ffn_(up|down|gate)\."


class PlacementError(ValueError):
    """A placement that is not possible: the field of Placement; what was found and what is expected."""

    def __init__(self, field: str, problem: str):
        super().__init__(f"{field}: {problem}")
        self.field, self.problem = field, problem


@dataclass(frozen=True)
class Placement:
    """What a user asks for.

    devices       names of the GPUs to use, in this order; None: all that are present; (): none
    gpu_layers    how many layers, the output among them, are theirs; below 0: all; None: those that find room there
                  (kernels/fitting.py), beside the cells of n_ctx tokens (None: of one context) and margins,
                  bytes of each GPU, of which the last counts for all others
    split_mode    none: on one GPU, main_gpu;  layer: runs of layers on each;  row: the rows of every matrix over all of
                  them, the rest of a layer and its KV cache on main_gpu
    tensor_split  shares of the GPUs, those not named get none; (): by their free memory
    main_gpu      place in `devices`; not of effect with split_mode layer
    kv_offload    False: the KV cache, and so attention, stays on the host
    overrides     (regular expression, device): tensors whose names match live there; the first that matches counts
    """

    devices: tuple[str, ...] | None = None
    gpu_layers: int | None = None
    split_mode: str = "layer"
    tensor_split: tuple[float, ...] = ()
    main_gpu: int = 0
    kv_offload: bool = True
    overrides: tuple[tuple[str, str], ...] = ()
    n_ctx: int | None = None
    margins: tuple[int, ...] = (1 << 30,)


@dataclass(frozen=True)
class Plan:
    """Where everything lives, by names of devices.

    layers  the device of each layer;  kv  of its keys and values;  output  of what comes after the last layer
    input   of the token embeddings and what belongs to them
    rows    split_mode row: (device, end of its share, from 0 to 1) of the matrices of layers that are not the host's
    """

    host: str
    input: str
    layers: tuple[str, ...]
    output: str
    kv: tuple[str, ...]
    rows: tuple[tuple[str, float], ...] = ()
    overrides: tuple[tuple[re.Pattern, str], ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """Every device that holds something, the host first, where hidden states pass through."""
        named = (*self.layers, self.output, *self.kv, *(d for d, _ in self.rows), *(d for _, d in self.overrides))
        return tuple(dict.fromkeys((self.host, *named)))

    @property
    def single(self) -> str | None:
        """The one device that holds everything, if there is one."""
        held = {self.input, *self.layers, self.output, *self.kv, *(d for _, d in self.overrides)}
        return held.pop() if len(held) == 1 and not self.rows else None

    def home(self, name: str) -> str:
        """The device of the layer, or the part of the model, that a tensor belongs to."""
        if (layer := layer_of(name)) is not None:
            return self.layers[layer] if layer < len(self.layers) else self.output
        return self.input if name.partition(".")[0] in INPUTS else self.output

    def place(self, name: str) -> str:
        """The device that a whole tensor lives on."""
        return next((device for pattern, device in self.overrides if pattern.search(name)), self.home(name))

    def parts(self, name: str, shape: Sequence[int]) -> list[tuple[str, int, int]]:
        """(device, first row, row after the last) of each device that holds a part of a tensor."""
        overridden = any(pattern.search(name) for pattern, _ in self.overrides)
        if len(shape) != 2 or overridden or not self.rows or self.home(name) == self.host:
            return [(self.place(name), 0, shape[0])]
        ends = [int(shape[0] * end) // ROW_MULTIPLE * ROW_MULTIPLE for _, end in self.rows[:-1]] + [shape[0]]
        parts = zip((device for device, _ in self.rows), [0, *ends[:-1]], ends, strict=True)
        return [(device, first, end) for device, first, end in parts if end > first]


def layer_of(name: str) -> int | None:
    """blk.3.attn_q.weight -> 3; None for a tensor that belongs to no layer."""
    found = re.match(r"blk\.(\d+)\.", name)
    return int(found[1]) if found else None


def cpu_layers(pattern: str, n_layer: int | None = None, host: str = "CPU") -> tuple[tuple[str, str], ...]:
    """Overrides that keep EXPERTS or DENSE networks on the host, of all layers or of the first n."""
    if n_layer is None:
        return ((pattern, host),)
    return tuple((rf"blk\.{i}{pattern}", host) for i in range(n_layer))


def make_plan(n_layer: int, wanted: Placement, gpus: Sequence[Device], host: str = "CPU") -> Plan:
    """The plan of a model with so many layers on these GPUs, of which there may be none.

    Errors:  PlacementError
    """
    check_placement(wanted, gpus)
    overrides = _overrides(wanted.overrides, (host, *(gpu.name for gpu in gpus)))
    used = [gpus[wanted.main_gpu]] if wanted.split_mode == "none" and gpus else list(gpus)
    asked = n_layer + 1 if wanted.gpu_layers is None or wanted.gpu_layers < 0 else wanted.gpu_layers
    count = min(asked, n_layer + 1) if used else 0
    first = n_layer + 1 - count
    ends = _ends(wanted.tensor_split if wanted.split_mode != "none" else (), used)
    by_rows = wanted.split_mode == "row" and len(used) > 1

    def device(layer: int) -> str:
        if layer < first:
            return host
        if by_rows:
            return used[wanted.main_gpu].name
        return used[int(np.searchsorted(ends, np.float32(layer - first) / np.float32(count), side="right"))].name

    *layers, output = [device(layer) for layer in range(n_layer + 1)]
    kv = tuple(layers) if wanted.kv_offload else (host,) * n_layer
    together = {*layers, output, *kv, *(name for _, name in overrides)}
    alone = len(together) == 1 and not by_rows
    rows = tuple((gpu.name, float(end)) for gpu, end in zip(used, ends, strict=True)) if by_rows and count else ()
    return Plan(host, output if alone else host, tuple(layers), output, kv, rows, overrides)


def check_placement(wanted: Placement, gpus: Sequence[Device], host: str = "CPU") -> None:
    """PlacementError for what does not fit these GPUs. Without any, only what could fit none is refused."""
    _overrides(wanted.overrides, (host, *(gpu.name for gpu in gpus)))
    names = ", ".join(gpu.name for gpu in gpus)
    if wanted.split_mode not in SPLIT_MODES:
        raise PlacementError("split_mode", f"found {wanted.split_mode!r}, expected one of {', '.join(SPLIT_MODES)}")
    shares = wanted.tensor_split
    if shares and (not all(np.isfinite(share) and share >= 0 for share in shares) or not any(shares)):
        raise PlacementError("tensor_split", f"found {list(shares)}, expected numbers of at least 0, not all of them 0")
    if gpus and len(shares) > len(gpus):
        raise PlacementError(
            "tensor_split", f"found {len(shares)} shares, expected at most {len(gpus)}, one for {names}"
        )
    if gpus and shares and not any(shares[: len(gpus)]):
        raise PlacementError("tensor_split", f"found {list(shares)}, expected a share above 0 for one of {names}")
    if wanted.main_gpu < 0 or (gpus and wanted.main_gpu >= len(gpus)):
        last = f"0 to {len(gpus) - 1}, the place of one of {names}" if gpus else "0 or more"
        raise PlacementError("main_gpu", f"found {wanted.main_gpu}, expected {last}")


def _overrides(wanted: Iterable[tuple[str, str]], names: Sequence[str]) -> tuple[tuple[re.Pattern, str], ...]:
    known, made = {name.lower(): name for name in names}, []
    for pattern, device in wanted:
        if device.lower() not in known:
            raise PlacementError(
                "overrides", f"found device {device!r}, expected one that is present: {', '.join(names)}"
            )
        try:
            made.append((re.compile(pattern), known[device.lower()]))
        except re.error as error:
            raise PlacementError("overrides", f"found {pattern!r}, expected a regular expression: {error}") from None
    return tuple(made)


def _ends(shares: Sequence[float], gpus: Sequence[Device]) -> np.ndarray:
    """f32 (G,): where the share of each GPU ends, from 0 to 1."""
    sizes = [gpu.memory_free if gpu.memory_free is not None else gpu.memory_total for gpu in gpus]
    by_memory = [1] * len(gpus) if None in sizes or not any(sizes) else sizes
    given = [*shares, *[0] * (len(gpus) - len(shares))] if any(shares) else by_memory
    ends = np.cumsum(np.array(given, np.float32))
    return ends / ends[-1] if len(ends) > 0 else ends


def weight_bytes(plan: Plan, tensors: Iterable) -> dict[str, float]:
    """Bytes of weights that each device of a plan holds.

    tensors  with .name, .shape and .nbytes, of the model's file
    """
    bytes_of = dict.fromkeys((plan.input, *plan.devices), 0.0)
    named = {tensor.name: tensor for tensor in tensors}
    if "token_embd.weight" in named and "output.weight" not in named and plan.output != plan.input:
        named["output.weight"] = named["token_embd.weight"]  # a second copy
    for name, tensor in named.items():
        for device, first, end in plan.parts(name, tensor.shape):
            bytes_of[device] += tensor.nbytes * (end - first) / tensor.shape[0]
    return bytes_of


def describe(plan: Plan, tensors: Iterable) -> Iterator[str]:
    """One line a device: its layers and the MiB of weights that it holds; tensors as weight_bytes takes them."""
    bytes_of = weight_bytes(plan, tensors)
    for device, size in bytes_of.items():
        held = [f"layers {_runs(i for i, d in enumerate(plan.layers) if d == device)}"] if device in plan.layers else []
        held += ["embeddings"] if device == plan.input else []
        held += ["output"] if device == plan.output else []
        held += ["rows of all matrices"] if device in dict(plan.rows) else []
        if held or size > 0:
            yield f"{device}: {', '.join([*held, f'{size / 2**20:.1f} MiB of weights'])}"


def _runs(numbers: Iterable[int]) -> str:
    """0, 1, 2, 5 -> "0-2, 5"."""
    runs = [[n for _, n in group] for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
