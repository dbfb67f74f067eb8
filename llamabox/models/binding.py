"""From a file's tensors to the weights of a model: check every name and shape, then wrap.

A model's `tensors(c)` yields (name, shape), (name, shape, OPTIONAL) or (name, shape, name of the tensor used instead).
"""

from collections.abc import Iterable, Mapping
from math import prod
from types import SimpleNamespace
from typing import Any

from llamabox.gguf import Tensor
from llamabox.kernels import Ops
from llamabox.models.metadata import ModelError

OPTIONAL = "optional"  # third item of a `tensors` entry: an absent tensor is None


class Weights(SimpleNamespace):
    """A model's weights by name: `.token_embd`, `.layers[3].attn_q`. What is made of them may refer to them weakly."""


def bind_weights(tensors: Mapping[str, Tensor], expected: Iterable[tuple], n_layer: int, ops: Ops) -> "Weights":
    """Check all names and shapes first, then wrap the weights for the backend.

    blk.3.attn_q.weight becomes `.layers[3].attn_q`, blk.3.attn_q.bias `.layers[3].attn_q_bias`.
    Besides what is expected a file may hold: attn_qkv (rows of q, k and v in one tensor), an ffn_up with the rows of
    ffn_gate before its own, and beside a matrix X.weight its X.scale (a factor of the product, one or one an expert)
    and X.input_scale (unused: for 8-bit activations).
    Errors:  ModelError for a tensor that is missing, misshapen or unknown
    """
    found: dict[str, Tensor | None] = {}
    known: set[str] = set()
    for name, shape, *absent in expected:
        tensor = _half_of_up(tensors, name, shape)
        if tensor is None:
            tensor = tensors.get(name)
        if tensor is None:
            tensor = _part_of_qkv(tensors, name, shape, known)
        if tensor is None and not absent:
            raise ModelError(f"tensor {name} is missing, expected with shape {tuple(shape)}")
        if tensor is None and absent[0] != OPTIONAL:
            tensor = tensors[absent[0]]
        known.add(name)
        found[name] = None if tensor is None else _fitted(tensor, tuple(shape))
    scales = _scales(tensors, found, known)
    unknown = [name for name in tensors if name not in known]
    if unknown:
        raise ModelError(f"tensor {unknown[0]} is not part of this architecture ({len(unknown)} unknown tensors)")
    root = Weights(layers=[SimpleNamespace() for _ in range(n_layer)])
    wrapped: dict[str, Any] = {}
    for name, tensor in found.items():
        if tensor is not None and tensor.name not in wrapped:
            wrapped[tensor.name] = ops.weight(tensor, scales.get(tensor.name))
        _place(root, name, None if tensor is None else wrapped[tensor.name])
    return root


def weight_names(weights: SimpleNamespace, expected: Iterable[tuple]) -> dict[int, str]:
    """id of each weight that `bind_weights` made -> its name in a file; of a tied one the first."""
    names: dict[int, str] = {}
    for name, *_ in expected:
        owner, attribute = _attribute(weights, name)
        names.setdefault(id(getattr(owner, attribute)), name)
    return names


def _fitted(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The tensor with the expected shape: GGUF writers may drop or add axes of length 1."""
    if tensor.shape == shape:
        return tensor
    if [n for n in tensor.shape if n != 1] != [n for n in shape if n != 1] or tensor.shape[-1:] != shape[-1:]:
        raise ModelError(f"tensor {tensor.name}: found shape {tensor.shape}, expected {shape}")
    row = tensor.data.shape[-1]
    return Tensor(tensor.name, tensor.type, shape, tensor.data.reshape(*shape[:-1], row))


def _part_of_qkv(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], known: set[str]) -> Tensor | None:
    """attn_q, attn_k or attn_v as a view of the rows of attn_qkv."""
    block, _, tail = name.partition(".attn_")
    letter, _, kind = tail.partition(".")
    fused = tensors.get(f"{block}.attn_qkv.{kind}")
    if fused is None or letter not in ("q", "k", "v") or kind not in ("weight", "bias"):
        return None
    known.add(fused.name)
    rows = fused.shape[0]
    start = {"q": 0, "k": rows - 2 * shape[0], "v": rows - shape[0]}[letter]  # k and v have equally many rows
    if not 0 <= start <= rows - shape[0] or fused.shape[1:] != tuple(shape[1:]):
        raise ModelError(f"tensor {fused.name}: found shape {fused.shape}, which does not hold {name} {tuple(shape)}")
    return Tensor(name, fused.type, tuple(shape), fused.data[start : start + shape[0]])


def _half_of_up(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor | None:
    """ffn_gate or ffn_up as the first or second half of an ffn_up that holds both."""
    block, _, kind = name.partition(".ffn_")
    fused = tensors.get(f"{block}.ffn_up.weight")
    if fused is None or kind not in ("gate.weight", "up.weight") or fused.shape != (2 * shape[0], *shape[1:]):
        return None
    start = 0 if kind == "gate.weight" else shape[0]
    return Tensor(name, fused.type, tuple(shape), fused.data[start : start + shape[0]])


def _scales(tensors: Mapping[str, Tensor], found: dict[str, Tensor | None], known: set[str]) -> dict[str, Tensor]:
    """The X.scale of each matrix X.weight that has one, by the weight's name."""
    scales = {}
    for name, tensor in found.items():
        if tensor is None or len(tensor.shape) < 2 or name == "token_embd.weight":
            continue
        count = 1 if len(tensor.shape) == 2 else tensor.shape[0]
        for kind in ("scale", "input_scale"):
            scale = tensors.get(f"{name.removesuffix('.weight')}.{kind}")
            if scale is None:
                continue
            if prod(scale.shape) != count:
                raise ModelError(f"tensor {scale.name}: found shape {scale.shape}, expected ({count},)")
            known.add(scale.name)
            if kind == "scale":
                scales[tensor.name] = scale
    return scales


def _place(root: SimpleNamespace, name: str, value: Any) -> None:
    owner, attribute = _attribute(root, name)
    setattr(owner, attribute, value)


def _attribute(root: SimpleNamespace, name: str) -> tuple[SimpleNamespace, str]:
    """Where a tensor goes: blk.3.attn_q.weight -> root.layers[3], attn_q; cls.output.bias -> root, cls_output_bias"""
    parts = name.split(".")
    owner = root
    if parts[0] == "blk":
        owner, parts = root.layers[int(parts[1])], parts[2:]
    if parts[-1] == "weight":
        parts = parts[:-1]
    return owner, "_".join(parts)
