"""Rope: the parameters of a rotary position embedding, and the angles they give.

Source: arXiv:2104.09864; scaling: linear, and YaRN (arXiv:2309.00071) as in ggml's rope_yarn.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rope:
    """dim values of each head turn, in pairs (2i, 2i+1), or (i, i + dim/2) when neox; the rest stay.

    freq_scale   positions are multiplied by it (1 / the context scaling factor)
    ext_factor   YaRN's mix of extrapolation: 0 off, 1 on
    attn_factor  multiplies cos and sin
    n_ctx_orig   YaRN: the training context
    """

    dim: int
    base: float = 10000.0
    neox: bool = False
    freq_scale: float = 1.0
    ext_factor: float = 0.0
    attn_factor: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    n_ctx_orig: int = 0


def rope_frequencies(rope: Rope, factors: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """What positions are multiplied by to give angles, f64 (dim/2,), and the magnitude of cos and sin.

    Shapes:  factors (dim/2,) divide the frequencies
    """
    exponent = np.arange(rope.dim // 2, dtype=np.float64) * (-2.0 / rope.dim)
    frequency = rope.base**exponent
    if factors is not None:
        frequency = frequency / factors
    if rope.ext_factor == 0.0:
        return frequency * rope.freq_scale, rope.attn_factor
    mix = _yarn_ramp(rope) * rope.ext_factor
    magnitude = rope.attn_factor * (1.0 + 0.1 * math.log(1.0 / rope.freq_scale))
    return frequency * (rope.freq_scale * (1 - mix) + mix), magnitude


def rope_angles(pos: np.ndarray, rope: Rope, factors: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of every position and pair.

    Shapes:  pos int (T,), factors (dim/2,) divide the frequencies -> cos, sin f32 (T, dim/2)
    """
    frequency, magnitude = rope_frequencies(rope, factors)
    theta = pos.astype(np.float64)[:, None] * frequency  # (T, dim/2)
    return (np.cos(theta) * magnitude).astype(np.float32), (np.sin(theta) * magnitude).astype(np.float32)


def _yarn_ramp(rope: Rope) -> np.ndarray:
    """1 for pairs that turn often enough to extrapolate, 0 for those that interpolate; (dim/2,)."""

    def pair_of(turns):  # the pair that makes this many turns within the training context
        return rope.dim * math.log(rope.n_ctx_orig / (turns * 2 * math.pi)) / (2 * math.log(rope.base))

    low = max(0.0, math.floor(pair_of(rope.beta_fast)))
    high = min(rope.dim - 1.0, math.ceil(pair_of(rope.beta_slow)))
    ramp = (np.arange(rope.dim // 2) - low) / max(0.001, high - low)
    return 1 - np.clip(ramp, 0, 1)
