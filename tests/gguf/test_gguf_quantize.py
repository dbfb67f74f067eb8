"""Quantisers: bit-equal to the gguf package, or of an error at most 1.02 times ggml's."""

import gguf
import numpy as np
import pytest

from llamabox.gguf import GGMLType, GGUFError, dequantize, quantize
from llamabox.gguf.quant import PACK

AS_GGUF_PACKAGE = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4"]
ALL = [t.name for t in (GGMLType.F32, GGMLType.F16, *PACK)]
LARGEST_RATIO = 1.02
F16_STEP = 2.0**-24  # between the smallest f16 numbers


@pytest.mark.parametrize("name", AS_GGUF_PACKAGE)
def test_equal_to_the_gguf_package(cases, name):
    for case, values in cases.weight_cases().items():
        theirs = gguf.quants.quantize(values, gguf.GGMLQuantizationType[name]).view(np.uint8)
        np.testing.assert_array_equal(quantize(values, GGMLType[name]), theirs, err_msg=case)


@pytest.mark.parametrize("name", AS_GGUF_PACKAGE)
def test_edge_values_equal_to_the_gguf_package(name):
    """Zeros, halves that round either way, one large value among small ones, and values beyond f16."""
    zeros = np.zeros(256, np.float32)
    halves = (np.arange(256, dtype=np.float32) - 128) / 2
    spike = np.where(np.arange(256) == 77, -3.0, 1e-3).astype(np.float32)
    large = np.linspace(-1e6, 1e6, 256, dtype=np.float32)
    values = np.stack([zeros, -zeros, halves, spike, large])
    with np.errstate(all="ignore"):
        theirs = gguf.quants.quantize(values, gguf.GGMLQuantizationType[name]).view(np.uint8)
    np.testing.assert_array_equal(quantize(values, GGMLType[name]), theirs)


def test_bf16_keeps_nan_and_infinity():
    values = np.array([[np.nan, np.inf, -np.inf, -np.nan, 1 + 2**-8, 1 + 3 * 2**-8]], np.float32)
    theirs = gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16)
    np.testing.assert_array_equal(quantize(values, GGMLType.BF16), theirs)


@pytest.mark.parametrize("name", [t.name for t in PACK])
def test_error_beside_ggml(cases, results, name):
    stored = results("quantize")["rms"][name]
    assert set(stored) == set(cases.weight_cases())
    for case, values in cases.weight_cases().items():
        error = cases.rms_error(values, dequantize(quantize(values, GGMLType[name]), GGMLType[name]))
        assert error <= LARGEST_RATIO * stored[case]["ggml"], f"{case}: {error} beside {stored[case]['ggml']}"


@pytest.mark.parametrize("name", ["Q4_K", "Q5_K", "Q6_K"])
def test_k_types_on_edge_values(name):
    """Constant, zero and tiny blocks; a block of one value; and blocks whose neighbours are far larger."""
    type, rng = GGMLType[name], np.random.default_rng(5)
    bell = rng.standard_normal(256).astype(np.float32)
    blocks = {
        "zero": np.zeros(256),
        "positive constant": np.full(256, 0.7),
        "negative constant": np.full(256, -0.7),
        "tiny": bell * 1e-20,
        "one value": np.where(np.arange(256) == 100, 5, 0),
        "loud and quiet": bell * np.where(np.arange(256) < 128, 1e-4, 10),
        "large": bell * 1e4,
    }
    for case, values in blocks.items():
        back = dequantize(quantize(values.astype(np.float32)[None], type), type)[0]
        bound = np.abs(values).max() / (8 if name == "Q4_K" else 14) + F16_STEP * 32  # of the code, of the scale
        assert np.isfinite(back).all(), case
        assert np.abs(back - values).max() <= bound, case
    assert (dequantize(quantize(np.zeros((1, 256), np.float32), type), type) == 0).all()


@pytest.mark.parametrize("name", ALL)
def test_shapes_and_chunks(cases, name):
    """Leading axes are kept, and rows do not depend on what is quantised with them."""
    type, values = GGMLType[name], cases.weight_cases()["bell"].reshape(2, 128, 512)
    rows = quantize(values, type)
    assert rows.shape == (2, 128, type.row_bytes(512)) and rows.dtype == np.uint8
    np.testing.assert_array_equal(rows[1, 5:7], quantize(values[1, 5:7], type))
    assert quantize(values[:0], type).shape == (0, 128, type.row_bytes(512))
    tiled = np.tile(values.reshape(-1, 512), (3, 1))  # more than one chunk
    np.testing.assert_array_equal(quantize(tiled, type)[512:], rows.reshape(256, -1))


def test_what_cannot_be_quantised_is_refused():
    with pytest.raises(GGUFError, match="a row of 100 values is not a multiple of Q4_K's block of 256"):
        quantize(np.zeros((2, 100), np.float32), GGMLType.Q4_K)
    with pytest.raises(GGUFError, match="cannot quantise to IQ2_S; possible are F32, F16, BF16"):
        quantize(np.zeros((1, 256), np.float32), GGMLType.IQ2_S)
    values = np.zeros((1, 256), np.float32)
    values[0, 3:5] = np.nan, np.inf
    with pytest.raises(GGUFError, match="cannot quantise to Q6_K: 2 values are not finite"):
        quantize(values, GGMLType.Q6_K)
