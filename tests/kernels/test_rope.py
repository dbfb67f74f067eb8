"""RoPE angles against the formulas of the papers, computed apart, value by value."""

import math

import numpy as np
import pytest

from llamabox.kernels import Rope
from llamabox.kernels.rope import rope_angles

POSITIONS = np.array([0, 1, 17, 4096])


def angle(pos: int, pair: int, rope: Rope) -> tuple[float, float]:
    """(angle, magnitude) of one pair: arXiv:2104.09864; with YaRN, arXiv:2309.00071 section 3.2 and equation 22."""
    plain = pos / rope.base ** (2 * pair / rope.dim)
    if rope.ext_factor == 0:
        return plain * rope.freq_scale, rope.attn_factor

    def pair_of(turns):  # where a wave makes this many turns in the training context
        return rope.dim * math.log(rope.n_ctx_orig / (turns * 2 * math.pi)) / (2 * math.log(rope.base))

    low = max(0, math.floor(pair_of(rope.beta_fast)))
    high = min(rope.dim - 1, math.ceil(pair_of(rope.beta_slow)))
    ramp = min(1.0, max(0.0, (pair - low) / max(0.001, high - low)))
    keep = (1 - ramp) * rope.ext_factor
    magnitude = rope.attn_factor * (1 + 0.1 * math.log(1 / rope.freq_scale))
    return plain * rope.freq_scale * (1 - keep) + plain * keep, magnitude


@pytest.mark.parametrize(
    "rope",
    [
        Rope(64),
        Rope(16, base=2500.0),
        Rope(32, freq_scale=0.25, attn_factor=1.5),
        Rope(64, base=1e6, freq_scale=0.25, ext_factor=1.0, n_ctx_orig=512),
        Rope(48, freq_scale=1 / 40, ext_factor=1.0, attn_factor=0.9, beta_fast=16.0, beta_slow=2.0, n_ctx_orig=4096),
    ],
    ids=str,
)
def test_angles(rope):
    cos, sin = rope_angles(POSITIONS, rope)
    assert cos.shape == sin.shape == (4, rope.dim // 2) and cos.dtype == sin.dtype == np.float32
    for t, pos in enumerate(POSITIONS):
        for pair in range(rope.dim // 2):
            theta, magnitude = angle(int(pos), pair, rope)
            assert cos[t, pair] == pytest.approx(math.cos(theta) * magnitude, abs=2e-7)
            assert sin[t, pair] == pytest.approx(math.sin(theta) * magnitude, abs=2e-7)


def test_factors_divide_frequencies():
    factors = np.array([1.0, 2.0, 4.0, 8.0], np.float32)
    cos, sin = rope_angles(POSITIONS, Rope(8), factors)
    for t, pos in enumerate(POSITIONS):
        for pair in range(4):
            theta = int(pos) / 10000 ** (2 * pair / 8) / float(factors[pair])
            assert cos[t, pair] == pytest.approx(math.cos(theta), abs=2e-7)
            assert sin[t, pair] == pytest.approx(math.sin(theta), abs=2e-7)
