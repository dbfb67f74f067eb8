"""ArchMetadata: an architecture's own metadata keys, and which of them its Config has read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


class ModelError(ValueError):
    """A file whose metadata or tensors do not make a model that we know."""


@dataclass(frozen=True)
class ModelOptions:
    """What a user may set about the maths of a model; None: the file's own value.

    n_ctx_seq        context of one sequence, in tokens (LongRoPE chooses its factors by it)
    rope_scaling     "none", "linear" or "yarn"
    rope_freq_scale  positions are multiplied by it: 1 / the context scaling factor
    """

    n_ctx_seq: int | None = None
    rope_scaling: str | None = None
    rope_freq_base: float | None = None
    rope_freq_scale: float | None = None
    yarn_orig_ctx: int | None = None
    yarn_ext_factor: float | None = None
    yarn_attn_factor: float | None = None
    yarn_beta_fast: float | None = None
    yarn_beta_slow: float | None = None


class ArchMetadata:
    """`meta["block_count"]` reads "<arch>.block_count"; `unread()` names the architecture's keys nobody asked for."""

    def __init__(self, metadata: Mapping[str, Any], n_vocab: int, options: ModelOptions):
        self.arch: str = metadata["general.architecture"]
        self.n_vocab = n_vocab  # rows of token_embd.weight
        self.options = options
        self._metadata = metadata
        self._read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        """The value of a required key; ModelError names a missing one."""
        name = f"{self.arch}.{key}"
        if name not in self._metadata:
            raise ModelError(f"metadata key {name} is missing: the {self.arch} architecture needs it")
        self._read.add(name)
        return self._metadata[name]

    def get(self, key: str, default: Any) -> Any:
        """The value of an optional key."""
        return self[key] if f"{self.arch}.{key}" in self._metadata else default

    def per_layer(self, key: str, n_layer: int, default: Any = None) -> tuple:
        """A value that is one number for all layers or an array with one a layer, as a tuple of n_layer."""
        value = self[key] if default is None else self.get(key, default)
        if isinstance(value, np.ndarray):
            if len(value) < n_layer:
                raise ModelError(f"metadata key {self.arch}.{key}: found {len(value)} values, expected {n_layer}")
            return tuple(value[:n_layer].tolist())
        return (value,) * n_layer

    def unread(self) -> list[str]:
        return [k for k in self._metadata if k.startswith(f"{self.arch}.") and k not in self._read]
