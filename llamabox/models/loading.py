"""From a GGUF file to a LoadedModel: find the architecture, read its Config, check every tensor, wrap the weights."""

import logging
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

from llamabox.gguf import GGUFFile
from llamabox.kernels import Ops, Step
from llamabox.models.architectures import ARCHITECTURES
from llamabox.models.binding import bind_weights
from llamabox.models.metadata import POOLINGS, ArchMetadata, ModelError, ModelOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to run: its module (the maths), config, weights and backend.

    pooling  what the file says embeddings are made by, one of POOLINGS
    weights  `.token_embd`, `.output_norm`, ...; `.layers[i].attn_q`; a `.bias` tensor as `attn_q_bias`
    """

    arch: str
    module: ModuleType
    config: Any
    pooling: str
    weights: SimpleNamespace
    ops: Ops
    file: GGUFFile

    def forward(self, tokens: Any, step: Step) -> Any:
        """tokens int32 (T,) -> logits f32 (R, V) of step.out_rows. Only for models that are not encoders."""
        return self.module.forward(self.ops, self.weights, self.config, tokens, step)

    def hidden(self, tokens: Any, step: Step) -> Any:
        """tokens int32 (T,) -> final hidden states f32 (R, D) of step.out_rows: what embeddings are made of."""
        return self.module.hidden(self.ops, self.weights, self.config, tokens, step)

    @property
    def is_encoder(self) -> bool:
        """True when there is no next-token head: the model gives embeddings, and keeps no KV cache."""
        return not self.config.kv_shapes()

    @property
    def causal(self) -> bool:
        """False when every token attends to the whole sequence, which then has to run as one batch, without cache."""
        return self.config.causal

    @property
    def has_classifier(self) -> bool:
        """True when the file has a classifier head: the model can rank."""
        heads = [getattr(self.weights, name, None) for name in ("cls", "cls_output")]
        return hasattr(self.module, "rank") and any(head is not None for head in heads)

    @property
    def rank_pooling(self) -> str:
        """What the classifier sees: cls, the first row; last, where only that has seen the whole sequence; or mean."""
        return getattr(self.config, "rank_pooling", "last" if self.causal else "cls")

    @property
    def n_ctx_limit(self) -> int | None:
        """Positions that the model has embeddings for, in tokens; None: RoPE has no end."""
        positions = getattr(self.weights, "position_embd", None)
        return None if positions is None else positions.shape[0]


def load_model(file: GGUFFile, ops: Ops, options: ModelOptions | None = None) -> LoadedModel:
    """Check the file against its architecture and wrap its weights for the backend.

    Errors:  ModelError for an unknown architecture, a key that is missing or out of range, or a tensor that is missing,
             misshapen or unknown
    """
    arch = file.metadata.get("general.architecture")
    if not isinstance(arch, str) or arch not in ARCHITECTURES:
        raise ModelError(f"general.architecture: found {arch!r}, expected one of {', '.join(sorted(ARCHITECTURES))}")
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelError("tensor token_embd.weight is missing: this file holds a vocabulary only, or is damaged")
    if len(embedding.shape) != 2:
        raise ModelError(f"tensor token_embd.weight: found shape {embedding.shape}, expected two axes")
    module = import_module(f"llamabox.models.{ARCHITECTURES[arch]}")
    meta = ArchMetadata(file.metadata, file.tensors, options if options is not None else ModelOptions())
    config = module.Config.from_metadata(meta)
    pooling = POOLINGS[meta.count("pooling_type", 0, low=0, high=len(POOLINGS) - 1)]
    unread = meta.unread()
    if unread:
        log.debug("metadata keys that %s does not use: %s", arch, ", ".join(unread))
    weights = bind_weights(file.tensors, module.tensors(config), config.n_layer, ops)
    return LoadedModel(arch, module, config, pooling, weights, ops, file)
