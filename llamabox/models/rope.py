"""A model's Rope from its metadata and the user's --rope and --yarn options, by llama.cpp's rules.

Source: llama.cpp src/llama-context.cpp and llama-model.cpp, where options win over the file.
"""

import math
from collections.abc import Iterator
from typing import Any

from llamabox.kernels import Rope
from llamabox.models.binding import OPTIONAL
from llamabox.models.metadata import SCALINGS, ArchMetadata


def rope_from_metadata(meta: ArchMetadata, head_dim: int, neox: bool, yarn_keys: bool = False) -> Rope:
    """Rope of the model's full-attention layers.

    yarn_keys  also read yarn_beta_fast, yarn_beta_slow and yarn_log_multiplier, as few architectures do
    Errors:    ModelError for a dimension that is odd or larger than a head, or a number out of range
    """
    o = meta.options
    dim = meta.count("rope.dimension_count", head_dim, low=2, high=head_dim)
    if dim % 2 != 0:
        meta.fail("rope.dimension_count", dim, "an even number")
    scaling, freq_scale = _scaling(meta)
    beta_fast = meta.real("rope.scaling.yarn_beta_fast", 32.0, above=0.0) if yarn_keys else 32.0
    beta_slow = meta.real("rope.scaling.yarn_beta_slow", 1.0, above=0.0) if yarn_keys else 1.0
    log_multiplier = meta.real("rope.scaling.yarn_log_multiplier", 0.0, low=0.0) if yarn_keys else 0.0
    ext_factor = _first(o.yarn_ext_factor, 1.0 if scaling == "yarn" else 0.0)
    attn_factor = _first(o.yarn_attn_factor, 1.0)
    if ext_factor != 0.0:
        attn_factor = _yarn_magnitude(1.0 / freq_scale, log_multiplier)
    return Rope(
        dim=dim,
        base=_first(o.rope_freq_base, freq_base(meta)),
        neox=neox,
        freq_scale=freq_scale,
        ext_factor=ext_factor,
        attn_factor=attn_factor * meta.real("rope.scaling.attn_factor", 1.0),
        beta_fast=_first(o.yarn_beta_fast, beta_fast),
        beta_slow=_first(o.yarn_beta_slow, beta_slow),
        n_ctx_orig=_first(o.yarn_orig_ctx, original_context(meta)),
    )


def freq_base(meta: ArchMetadata, key: str = "rope.freq_base", default: float = 10000.0) -> float:
    """The file's own frequency base; above 1, as the frequencies are its negative powers."""
    return meta.real(key, default, above=1.0)


def file_freq_scale(meta: ArchMetadata) -> float:
    """What the file says positions are multiplied by: 1 / its scaling factor, where a factor of 0 means none."""
    factor = meta.real("rope.scaling.factor", meta.real("rope.scale_linear", 0.0, low=0.0), low=0.0)
    return 1.0 if factor == 0.0 else 1.0 / factor


def original_context(meta: ArchMetadata) -> int:
    """The context that the model was trained with before any extension, in tokens."""
    return meta.count("rope.scaling.original_context_length", meta.count("context_length"))


def long_context(meta: ArchMetadata) -> bool:
    """True when one sequence may be longer than the original context: LongRoPE then takes its long factors."""
    return _first(meta.options.n_ctx_seq, meta.count("context_length")) > original_context(meta)


def factor_tensors(dim: int) -> Iterator[tuple]:
    """The tensors that divide RoPE's frequencies: Llama 3.1's rope_freqs, LongRoPE's two sets."""
    for name in ("rope_freqs", "rope_factors_long", "rope_factors_short"):
        yield f"{name}.weight", (dim // 2,), OPTIONAL


def rope_factors(w: Any, long: bool) -> Any:
    """The divisors to use, (dim/2,), or None."""
    if w.rope_freqs is not None:
        return w.rope_freqs
    return w.rope_factors_long if long else w.rope_factors_short


def _scaling(meta: ArchMetadata) -> tuple[str, float]:
    """The kind of scaling and what positions are multiplied by."""
    o = meta.options
    scaling = _first(o.rope_scaling, meta.choice("rope.scaling.type", "linear", SCALINGS))
    freq_scale = _first(o.rope_freq_scale, file_freq_scale(meta))
    return scaling, 1.0 if scaling == "none" else freq_scale


def _first(option, value):
    return value if option is None else option


def _yarn_magnitude(factor: float, log_multiplier: float) -> float:
    """YaRN's magnitude correction over the one that rope_angles applies itself, which so cancels out."""

    def mscale(multiplier):
        return 1.0 if factor <= 1.0 else 0.1 * multiplier * math.log(factor) + 1.0

    magnitude = mscale(1.0) / mscale(log_multiplier) if log_multiplier != 0.0 else mscale(1.0)
    return magnitude / (1.0 + 0.1 * math.log(factor))
