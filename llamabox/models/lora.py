"""LoRA adapters: a GGUF file of low-rank pairs, checked against the model that it changes. Source: arXiv:2106.09685.

With an adapter y = x W' becomes y + s (x A') B', where s is the user's scale times alpha / rank. A and B stay in their
GGUF blocks. Names, shapes and the meaning of alpha are llama.cpp's (src/llama-adapter.cpp).
"""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from reprlib import repr as short_repr
from types import SimpleNamespace

from llamabox.gguf import GGMLType, GGUFFile, Tensor
from llamabox.gguf.errors import quoted
from llamabox.kernels import Ops, Weight
from llamabox.models.metadata import ModelError

log = logging.getLogger(__name__)

EMBEDDING = "token_embd.weight"
NO_MATRIX = ("position_embd", "token_types", "rope_", "cls", "_norm")  # where llama.cpp has no LoRA
NO_NUMBERS = (GGMLType.I8, GGMLType.I16, GGMLType.I32, GGMLType.I64, GGMLType.F64)


@dataclass(frozen=True, eq=False)
class Pair:
    """What is added to products with one weight.

    a, b    (r, in) and (out, r); of experts (X, r, in) and (X, out, r); of the embeddings (V, r) and (D, r)
    factor  alpha / r, or 1 for a file without alpha
    """

    a: Weight
    b: Weight
    factor: float


@dataclass(frozen=True, eq=False)
class Lora:
    """One adapter: its pairs by the names of the weights, and what its file says of itself."""

    path: str
    pairs: Mapping[str, Pair]
    task_name: str = ""
    prompt_prefix: str = ""


def load_lora(file: GGUFFile, arch: str, base: Mapping[str, Tensor], weights: SimpleNamespace, ops: Ops) -> Lora:
    """Check an adapter's file and wrap its matrices for the backend.

    base     the tensors of the model's file
    weights  the model's, as bound
    Errors:  ModelError for a file that is no LoRA, another architecture, a tensor without its partner or its place in
             the model, a shape that does not fit, rank 0, or alpha that is no number
    """
    alpha = _checked_alpha(file, arch)
    bound = {weight.name: weight for weight in _weights(weights)}
    pairs = {}
    for name, a, b in _tensor_pairs(file):
        if name not in base:
            raise ModelError(f"{file.path}: tensor {quoted(name + '.lora_a')}: the model has no tensor of that name")
        for target, a_part, b_part in _targets(file, name, a, b, bound):
            pairs[target] = _pair(file, target, a_part, b_part, bound[target], alpha, ops)
    if not pairs:
        raise ModelError(f"{file.path}: found no tensors X.lora_a and X.lora_b, expected one pair or more")
    return Lora(str(file.path), pairs, _text(file, "task_name"), _text(file, "prompt_prefix"))


def _checked_alpha(file: GGUFFile, arch: str) -> float:
    expected = {"general.type": "adapter", "adapter.type": "lora", "general.architecture": arch}
    for key, value in expected.items():
        if file.metadata.get(key) != value:
            raise ModelError(f"{file.path}: {key}: found {short_repr(file.metadata.get(key))}, expected {value!r}")
    if "adapter.alora.invocation_tokens" in file.metadata:
        raise ModelError(f"{file.path}: adapter.alora.invocation_tokens: activated LoRA (aLoRA) is not supported")
    alpha = file.metadata.get("adapter.lora.alpha", 0.0)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise ModelError(f"{file.path}: adapter.lora.alpha: found {short_repr(alpha)}, expected a finite number")
    return float(alpha)


def _tensor_pairs(file: GGUFFile) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name of the model's tensor, its lora_a, its lora_b) of the whole file."""
    ends = {".lora_a": ".lora_b", ".lora_b": ".lora_a"}
    for name, tensor in file.tensors.items():
        stem, end = name[:-7], name[-7:]
        if end not in ends:
            if not name.endswith("_norm.weight"):
                raise ModelError(f"{file.path}: tensor {quoted(name)}: expected a name that ends in .lora_a or .lora_b")
            log.warning("%s: tensor %s is not used: llama.cpp adds no norms either", file.path, quoted(name))
            continue
        partner = file.tensors.get(stem + ends[end])
        if partner is None:
            missing = quoted(stem + ends[end])
            raise ModelError(f"{file.path}: tensor {missing} is missing, the partner of {quoted(name)}")
        if end == ".lora_a":
            yield stem, tensor, partner


def _targets(
    file: GGUFFile, name: str, a: Tensor, b: Tensor, bound: Mapping[str, Weight]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The weights that a pair changes: its own, or q, k and v of attn_qkv, each with its rows of b."""
    parts = [name.replace("attn_qkv", f"attn_{part}") for part in "qkv"]
    if ".attn_qkv." in name and all(part in bound for part in parts):
        start, rows = 0, sum(bound[part].shape[0] for part in parts)
        if len(b.shape) != 2 or b.shape[0] != rows:
            raise ModelError(f"{file.path}: tensor {name}.lora_b: found shape {b.shape}, expected ({rows}, rank)")
        for part in parts:
            end = start + bound[part].shape[0]
            yield part, a, Tensor(b.name, b.type, (end - start, b.shape[1]), b.data[start:end])
            start = end
    elif name in bound and not any(word in name for word in NO_MATRIX):
        yield name, a, b
    else:
        raise ModelError(f"{file.path}: tensor {name}.lora_a: {name} is no matrix that LoRA applies to")


def _pair(file: GGUFFile, name: str, a: Tensor, b: Tensor, weight: Weight, alpha: float, ops: Ops) -> Pair:
    a, b = _deepened(a, len(weight.shape)), _deepened(b, len(weight.shape))
    for tensor in (a, b):
        if tensor.type in NO_NUMBERS:
            raise ModelError(f"{file.path}: tensor {tensor.name}: found type {tensor.type.name}, expected floats")
    *experts, n_out, n_in = weight.shape
    rank = b.shape[-1]
    expected = [(n_out, rank), (n_in, rank)] if name == EMBEDDING else [(*experts, rank, n_in), (*experts, n_out, rank)]
    if rank == 0:
        raise ModelError(f"{file.path}: tensor {b.name}: found rank 0, expected 1 or more")
    for tensor, shape in zip((a, b), expected, strict=True):
        if tensor.shape != shape:
            raise ModelError(f"{file.path}: tensor {tensor.name}: found shape {tensor.shape}, expected {shape}")
    return Pair(ops.weight(a), ops.weight(b), alpha / rank if alpha != 0.0 else 1.0)


def _deepened(tensor: Tensor, axes: int) -> Tensor:
    """The tensor with leading axes of length 1, which writers may drop."""
    missing = (1,) * (axes - len(tensor.shape))
    return Tensor(tensor.name, tensor.type, missing + tensor.shape, tensor.data.reshape(missing + tensor.data.shape))


def _text(file: GGUFFile, key: str) -> str:
    value = file.metadata.get(f"adapter.lora.{key}", "")
    return value if isinstance(value, str) else ""


def _weights(weights: SimpleNamespace) -> Iterator[Weight]:
    """Every matrix of a bound model."""
    for space in (weights, *weights.layers):
        yield from (value for value in vars(space).values() if isinstance(value, Weight))
