"""A config's RoPE entries, in their old (rope_theta, rope_scaling) and new (rope_parameters) forms, as GGUF keys.

Source: transformers modeling_rope_utils.py; the keys are the ones that llama.cpp's converter writes.
"""

import math
from typing import Any

import numpy as np

from llamabox.gguf.convert.checkpoint import ConvertError


def rope_parameters(config: dict[str, Any]) -> dict[str, Any]:
    """One flat dict: rope_theta, rope_type, factor, ...; "local": that of sliding-window layers, if it differs."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if "full_attention" in given:
        rope = {**given["full_attention"], "local": given.get("sliding_attention")}
    else:
        rope = dict(given)
    rope.setdefault("rope_theta", config.get("rope_theta", 10000.0))
    rope["rope_type"] = rope.get("rope_type", rope.get("type", "default"))
    if "rope_local_base_freq" in config:
        rope["local"] = {"rope_theta": config["rope_local_base_freq"]}
    return rope


def rope_keys(rope: dict[str, Any]) -> dict[str, Any]:
    """Metadata under "<arch>.": base, and the scaling when there is one that keys can say."""
    keys: dict[str, Any] = {"rope.freq_base": float(rope["rope_theta"])}
    kind = rope["rope_type"]
    if kind == "linear":
        keys |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}
    elif kind == "yarn":
        keys |= {"rope.scaling.type": "yarn", "rope.scaling.factor": float(rope["factor"])}
        keys["rope.scaling.original_context_length"] = int(rope["original_max_position_embeddings"])
        for name, key in (("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")):
            if rope.get(name) is not None:
                keys[f"rope.scaling.{key}"] = float(rope[name])
    elif kind not in ("default", "llama3", "longrope", "su"):  # the last three scale by tensors
        raise ConvertError(f"config.json: rope type {kind!r}, expected default, linear, yarn, llama3 or longrope")
    return keys


def llama3_factors(rope: dict[str, Any], dim: int) -> np.ndarray:
    """Divisors of the RoPE frequencies, f32 (dim/2,): long wave lengths are stretched, short ones kept.

    Source: Llama 3.1; transformers _compute_llama3_parameters
    """
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    original = rope["original_max_position_embeddings"]
    wave_length = 2 * math.pi * rope["rope_theta"] ** (np.arange(0, dim, 2) / dim)
    smooth = np.clip((original / wave_length - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def longrope_magnitude(rope: dict[str, Any], config: dict[str, Any]) -> float:
    """What cos and sin are multiplied by.  Source: LongRoPE, arXiv:2402.13753; transformers"""
    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    original = longrope_original(rope, config)
    factor = config["max_position_embeddings"] / original
    return 1.0 if factor <= 1.0 else math.sqrt(1 + math.log(factor) / math.log(original))


def longrope_original(rope: dict[str, Any], config: dict[str, Any]) -> int:
    """The context before extension, in tokens."""
    return int(rope.get("original_max_position_embeddings") or config["original_max_position_embeddings"])
