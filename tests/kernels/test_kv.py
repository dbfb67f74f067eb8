"""KVCache: its arrays, block copies and types."""

from pathlib import Path

import numpy as np
import pytest

from llamabox.gguf import dequantize
from llamabox.kernels import BLOCK, CACHE_TYPES, KVCache, KVShape
from llamabox.kernels.kv import PLAIN, decode, encode

QUANTISED = [name for name in CACHE_TYPES if name not in PLAIN]
STORED = Path(__file__).resolve().parents[2] / "conformance" / "results" / "cache_types.npz"


def test_arrays_of_every_layer():
    kv = KVCache([KVShape(2, 16, 8), KVShape(1, 4, 4)], 3, "f32", "f16")
    assert [a.shape for a in kv.k] == [(3, 2, BLOCK, 16), (3, 1, BLOCK, 4)]
    assert [a.shape for a in kv.v] == [(3, 2, BLOCK, 8), (3, 1, BLOCK, 4)]
    assert kv.k[0].dtype == np.float32 and kv.v[0].dtype == np.float16
    assert kv.size_bytes == 3 * BLOCK * (4 * (32 + 4) + 2 * (16 + 4))


def test_copy_block_copies_every_layer():
    kv = KVCache([KVShape(2, 8, 8)] * 2, 4)
    for i, array in enumerate(kv.k + kv.v):
        array[1] = i + 1
    kv.copy_block(1, 3)
    for i, array in enumerate(kv.k + kv.v):
        assert (array[3] == i + 1).all() and (array[[0, 2]] == 0).all()


@pytest.mark.parametrize("types", [("f64", "f16"), ("f16", "Q8_0")])
def test_unknown_types_are_refused(types):
    with pytest.raises(ValueError, match="expected one of f32, f16, bf16, q8_0"):
        KVCache([KVShape(1, 8, 8)], 1, *types)


def test_arrays_of_quantised_types_hold_their_blocks():
    kv = KVCache([KVShape(2, 64, 32)], 3, "q4_0", "q8_0")
    assert kv.k[0].shape == (3, 2, BLOCK, 36) and kv.v[0].shape == (3, 2, BLOCK, 34)
    assert kv.k[0].dtype == kv.v[0].dtype == np.uint8


@pytest.mark.parametrize("flag", ["cache_type_k", "cache_type_v"])
def test_heads_that_are_no_whole_number_of_blocks_are_refused(flag):
    shape = KVShape(2, 48, 64) if flag == "cache_type_k" else KVShape(2, 64, 48)
    types = ("q8_0", "f16") if flag == "cache_type_k" else ("f16", "q8_0")
    message = f"{flag}: found q8_0, which stores 32 values at a time, and heads of 48 values in layer 1"
    with pytest.raises(ValueError, match=message):
        KVCache([KVShape(2, 64, 64), shape], 1, *types)
    KVCache([shape], 1, *reversed(types))  # the other one may


@pytest.mark.parametrize("name", QUANTISED)
def test_rows_are_rounded_as_ggml_does(name):
    with np.load(STORED) as stored:
        values, theirs = stored["rows"], stored[name]
    ours = encode(values, name)
    differ = (ours != theirs).any(axis=1)
    if name != "iq4_nl":
        assert not differ.any()
        return
    assert differ.mean() <= 0.01, "its scale is a quotient of sums, which a compiler may fuse"
    np.testing.assert_array_equal(ours[:, 2:], theirs[:, 2:])
    scales = [dequantize(blocks, CACHE_TYPES[name])[differ] for blocks in (ours, theirs)]
    np.testing.assert_allclose(*scales, rtol=2**-10)


@pytest.mark.parametrize("name", QUANTISED)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_spoil_their_block_and_no_other(name, bad):
    x = np.random.default_rng(0).standard_normal((2, 96)).astype(np.float32)
    x[0, 40] = bad
    back = decode(encode(x, name), name)
    assert not np.isfinite(back[0, 32:64]).any()
    assert np.isfinite(back[0, :32]).all() and np.isfinite(back[0, 64:]).all() and np.isfinite(back[1]).all()


def test_bf16_rounds_to_nearest_even():
    x = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -3e38, 1e-40], np.float32)
    assert decode(encode(x, "bf16"), "bf16").tolist()[:4] == [1.0, 1.0, 1 + 2**-6, 1 + 2**-7]
    np.testing.assert_allclose(decode(encode(x, "bf16"), "bf16"), x, rtol=2**-8, atol=1e-40)
