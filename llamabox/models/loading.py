"""From a GGUF file to a LoadedModel: find the architecture, read its Config, check every tensor, wrap the weights."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

from llamabox.gguf import GGUFFile
from llamabox.kernels import Ops, Rope, Step
from llamabox.models.adapters import AdaptedOps, AdapterSet
from llamabox.models.architectures import ARCHITECTURES
from llamabox.models.binding import bind_weights
from llamabox.models.control import load_control
from llamabox.models.lora import Lora, load_lora
from llamabox.models.metadata import POOLINGS, ArchMetadata, ModelError, ModelOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to run: its module (the maths), config, weights and backend.

    pooling  what the file says embeddings are made by, one of POOLINGS
    weights  `.token_embd`, `.output_norm`, ...; `.layers[i].attn_q`; a `.bias` tensor as `attn_q_bias`
    loras    LoRA adapters that a step may use
    control  layer -> the control vector that is added after it, in every step
    """

    arch: str
    module: ModuleType
    config: Any
    pooling: str
    weights: SimpleNamespace
    ops: Ops
    file: GGUFFile
    loras: tuple[Lora, ...] = ()
    control: Mapping[int, Any] = field(default_factory=dict)

    def forward(self, tokens: Any, step: Step, adapters: Sequence[AdapterSet] = ()) -> Any:
        """tokens int32 (T,) -> logits f32 (R, V) of step.out_rows. Only for models that are not encoders.

        adapters  of each sequence of the step; (): none has any
        """
        return self._ops(step, adapters).run(self.module.forward, self.weights, self.config, tokens, step)

    def hidden(self, tokens: Any, step: Step, adapters: Sequence[AdapterSet] = ()) -> Any:
        """tokens int32 (T,) -> final hidden states f32 (R, D) of step.out_rows: what embeddings are made of."""
        return self._ops(step, adapters).run(self.module.hidden, self.weights, self.config, tokens, step)

    def with_adapters(
        self,
        loras: Sequence[GGUFFile] = (),
        control: Sequence[tuple[GGUFFile, float]] = (),
        control_layers: tuple[int, int] | None = None,
    ) -> "LoadedModel":
        """The model with LoRA adapters to choose from, and with control vectors; see models/lora.py, models/control.py.

        Errors:  ModelError for a file that does not fit the model
        """
        if control and self.is_encoder:
            raise ModelError(f"control vectors: {self.arch} is an encoder, which llama.cpp adds none to")
        added = tuple(load_lora(file, self.arch, self.file.tensors, self.weights, self.ops) for file in loras)
        directions = load_control(control, self.config.n_layer, self.config.n_embd, control_layers)
        return replace(self, loras=added, control={i: self.ops.array(d) for i, d in directions.items()})

    def _ops(self, step: Step, adapters: Sequence[AdapterSet]) -> Any:
        """What the maths of a step runs on: the backend itself unless something is to be added."""
        self.ops.begin(len(step.pos))
        if not self.control and not any(adapters):
            return self.ops
        return AdaptedOps(self.ops, step, self.loras, adapters, self.control)

    @property
    def is_encoder(self) -> bool:
        """True when there is no next-token head: the model gives embeddings, and keeps no KV cache."""
        return not self.config.kv_shapes()

    @property
    def causal(self) -> bool:
        """False when every token attends to the whole sequence, which then has to run as one batch, without cache."""
        return self.config.causal

    @property
    def key_ropes(self) -> list[tuple[Rope, Any] | None] | None:
        """What turns the keys of each layer by their position: (Rope, frequency divisors or None), None where keys know
        no position. None altogether: keys cannot be moved to another position."""
        return self.module.key_ropes(self.weights, self.config) if hasattr(self.module, "key_ropes") else None

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


def load_model(file: GGUFFile, ops: Ops | Callable[[Any], Ops], options: ModelOptions | None = None) -> LoadedModel:
    """Check the file against its architecture and wrap its weights for the backend.

    ops      the backend, or what opens it for a model's config
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
    ops = ops if isinstance(ops, Ops) else ops(config)
    weights = bind_weights(file.tensors, module.tensors(config), config.n_layer, ops)
    return LoadedModel(arch, module, config, pooling, weights, ops, file)
