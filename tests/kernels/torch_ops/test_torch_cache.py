"""Cells of a KV cache in torch's operations: rounded as the host rounds them, and as ggml did."""

from pathlib import Path

import numpy as np
import pytest
import torch

from llamabox.gguf import dequantize
from llamabox.kernels import CACHE_TYPES, kv
from llamabox.kernels.torch_ops import cache

STORED = Path(__file__).resolve().parents[3] / "conformance" / "results" / "cache_types.npz"
QUANTISED = [name for name in CACHE_TYPES if name not in cache.PLAIN]


def bits(x: torch.Tensor) -> np.ndarray:
    return x.contiguous().view(torch.uint8).numpy()


def rows() -> np.ndarray:
    """Rows of many sizes; blocks of one value, of zeros, of halves, of huge numbers."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((300, 3, 64)) * np.exp(rng.standard_normal((300, 1, 1)) * 4)).astype(np.float32)
    x[0, 0, :32], x[1, 0, :32], x[2], x[3, 0, :32] = 0, 0.7, 1e-20, (np.arange(32) - 16) / 2
    x[4, 0, :32] = -3e5 * np.arange(32)
    return x


@pytest.mark.parametrize("name", CACHE_TYPES)
def test_bits_are_those_of_the_host(name):
    x = rows()
    with np.errstate(all="ignore"):
        expected = kv.encode(x, name)
    found = cache.encode(torch.from_numpy(x), name)
    np.testing.assert_array_equal(bits(found), np.ascontiguousarray(expected).view(np.uint8))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(cache.decode(found, name).numpy(), kv.decode(expected, name))


@pytest.mark.parametrize("name", QUANTISED)
def test_rows_are_rounded_as_ggml_does(name):
    """As tests/kernels/test_kv.py for the host: IQ4_NL's scale is a quotient of sums, which a compiler may fuse."""
    with np.load(STORED) as stored:
        x, theirs = stored["rows"], stored[name]
    ours = cache.encode(torch.from_numpy(x), name).numpy()
    differ = (ours != theirs).any(axis=1)
    assert differ.mean() <= (0.01 if name == "iq4_nl" else 0)
    np.testing.assert_array_equal(ours[:, 2:], theirs[:, 2:])
    scales = [dequantize(blocks, CACHE_TYPES[name])[differ] for blocks in (ours, theirs)]
    np.testing.assert_allclose(*scales, rtol=2**-10)


@pytest.mark.parametrize("name", QUANTISED)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_spoil_their_block_and_no_other(name, bad):
    x = np.random.default_rng(0).standard_normal((2, 96)).astype(np.float32)
    x[0, 40] = bad
    back = cache.decode(cache.encode(torch.from_numpy(x), name), name)
    assert not torch.isfinite(back[0, 32:64]).any()
    assert torch.isfinite(back[0, :32]).all() and torch.isfinite(back[0, 64:]).all() and torch.isfinite(back[1]).all()
