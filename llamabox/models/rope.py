"""A model's Rope from its metadata and the user's --rope and --yarn options, by llama.cpp's rules."""

import math

from llamabox.kernels import Rope
from llamabox.models.metadata import ArchMetadata, ModelError

SCALINGS = ("none", "linear", "yarn", "longrope")


def rope_from_metadata(meta: ArchMetadata, dim: int, neox: bool) -> Rope:
    """Source: llama.cpp src/llama-context.cpp and llama-model.cpp, where options win over the file."""
    o = meta.options
    scaling = o.rope_scaling if o.rope_scaling is not None else meta.get("rope.scaling.type", "linear")
    if scaling not in SCALINGS:
        raise ModelError(f"{meta.arch}.rope.scaling.type: found {scaling!r}, expected one of {', '.join(SCALINGS)}")
    factor = meta.get("rope.scaling.factor", meta.get("rope.scale_linear", 0.0))
    freq_scale = 1.0 if factor == 0.0 else 1.0 / factor
    freq_scale = _first(o.rope_freq_scale, freq_scale)
    freq_scale = 1.0 if scaling == "none" else freq_scale
    ext_factor = _first(o.yarn_ext_factor, meta.get("rope.scaling.yarn_ext_factor", -1.0))
    if ext_factor < 0.0:
        ext_factor = 1.0 if scaling == "yarn" else 0.0
    attn_factor = _first(o.yarn_attn_factor, meta.get("rope.scaling.yarn_attn_factor", 1.0))
    if ext_factor != 0.0:
        attn_factor = _yarn_magnitude(1.0 / freq_scale, meta.get("rope.scaling.yarn_log_multiplier", 0.0))
    return Rope(
        dim=dim,
        base=_first(o.rope_freq_base, meta.get("rope.freq_base", 10000.0)),
        neox=neox,
        freq_scale=freq_scale,
        ext_factor=ext_factor,
        attn_factor=attn_factor * meta.get("rope.scaling.attn_factor", 1.0),
        beta_fast=_first(o.yarn_beta_fast, meta.get("rope.scaling.yarn_beta_fast", 32.0)),
        beta_slow=_first(o.yarn_beta_slow, meta.get("rope.scaling.yarn_beta_slow", 1.0)),
        n_ctx_orig=original_context(meta),
    )


def original_context(meta: ArchMetadata) -> int:
    """The context that the model was trained with before any extension, in tokens."""
    trained = meta.get("rope.scaling.original_context_length", meta["context_length"])
    return _first(meta.options.yarn_orig_ctx, trained)


def _first(option, value):
    return value if option is None else option


def _yarn_magnitude(factor: float, log_multiplier: float) -> float:
    """YaRN's magnitude correction over the one that rope_angles applies itself, which so cancels out."""

    def mscale(multiplier):
        return 1.0 if factor <= 1.0 else 0.1 * multiplier * math.log(factor) + 1.0

    magnitude = mscale(1.0) / mscale(log_multiplier) if log_multiplier != 0.0 else mscale(1.0)
    return magnitude / (1.0 + 0.1 * math.log(factor))
