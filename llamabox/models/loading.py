"""From a GGUF file to a LoadedModel: find the architecture, read its Config, check every tensor, wrap the weights."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

from llamabox.gguf import GGUFFile, Tensor
from llamabox.kernels import Ops, Step
from llamabox.models.architectures import ARCHITECTURES
from llamabox.models.metadata import ArchMetadata, ModelError, ModelOptions

log = logging.getLogger(__name__)

OPTIONAL = "optional"  # third item of a `tensors` entry: absent is None; another string: the tensor used instead


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to run: its module (the maths), config, weights and backend.

    weights  `.token_embd`, `.output_norm`, ...; `.layers[i].attn_q`; a `.bias` tensor as `attn_q_bias`
    """

    arch: str
    module: ModuleType
    config: Any
    weights: SimpleNamespace
    ops: Ops
    file: GGUFFile

    def forward(self, tokens: Any, step: Step) -> Any:
        """tokens int32 (T,) -> logits f32 (R, V) of step.out_rows; encoders: hidden states f32 (R, D)."""
        return self.module.forward(self.ops, self.weights, self.config, tokens, step)

    @property
    def is_encoder(self) -> bool:
        """True when there is no next-token head: the model gives embeddings, and keeps no KV cache."""
        return not self.config.kv_shapes()


def load_model(file: GGUFFile, ops: Ops, options: ModelOptions | None = None) -> LoadedModel:
    """Check the file against its architecture and wrap its weights for the backend.

    Errors:  ModelError for an unknown architecture, a missing key, or a tensor that is missing, misshapen or unknown
    """
    arch = file.metadata.get("general.architecture")
    if arch not in ARCHITECTURES:
        raise ModelError(f"general.architecture: found {arch!r}, expected one of {', '.join(sorted(ARCHITECTURES))}")
    if "token_embd.weight" not in file.tensors:
        raise ModelError("tensor token_embd.weight is missing: this file holds a vocabulary only, or is damaged")
    module = import_module(f"llamabox.models.{ARCHITECTURES[arch]}")
    n_vocab = file.tensors["token_embd.weight"].shape[0]
    meta = ArchMetadata(file.metadata, n_vocab, options if options is not None else ModelOptions())
    config = module.Config.from_metadata(meta)
    unread = meta.unread()
    if unread:
        log.debug("metadata keys that %s does not use: %s", arch, ", ".join(unread))
    weights = bind_weights(file.tensors, module.tensors(config), config.n_layer, ops)
    return LoadedModel(arch, module, config, weights, ops, file)


def bind_weights(tensors: dict[str, Tensor], expected: Iterable[tuple], n_layer: int, ops: Ops) -> SimpleNamespace:
    """Check names and shapes first, all of them; then wrap.

    expected  (name, shape) or (name, shape, OPTIONAL) or (name, shape, name of the tensor used instead)
    """
    found: dict[str, Tensor | None] = {}
    for name, shape, *absent in expected:
        tensor = tensors.get(name)
        if tensor is None and not absent:
            raise ModelError(f"tensor {name} is missing, expected with shape {tuple(shape)}")
        if tensor is None and absent[0] != OPTIONAL:
            tensor = tensors[absent[0]]
        if tensor is not None and tensor.shape != tuple(shape):
            raise ModelError(f"tensor {name}: found shape {tensor.shape}, expected {tuple(shape)}")
        found[name] = tensor
    unknown = [name for name in tensors if name not in found]
    if unknown:
        raise ModelError(f"tensor {unknown[0]} is not part of this architecture ({len(unknown)} unknown tensors)")
    root = SimpleNamespace(layers=[SimpleNamespace() for _ in range(n_layer)])
    wrapped: dict[str, Any] = {}
    for name, tensor in found.items():
        if tensor is not None and tensor.name not in wrapped:
            wrapped[tensor.name] = ops.weight(tensor)
        _place(root, name, None if tensor is None else wrapped[tensor.name])
    return root


def _place(root: SimpleNamespace, name: str, value: Any) -> None:
    """blk.3.attn_q.weight -> root.layers[3].attn_q; cls.output.bias -> root.cls_output_bias"""
    parts = name.split(".")
    target = root
    if parts[0] == "blk":
        target, parts = root.layers[int(parts[1])], parts[2:]
    if parts[-1] == "weight":
        parts = parts[:-1]
    setattr(target, "_".join(parts), value)
