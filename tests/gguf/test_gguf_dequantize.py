"""Values of blocks: bit for bit those of the gguf package, and of ggml as stored in conformance/results."""

import zlib

import gguf
import numpy as np
import pytest

from llamabox.gguf import GGMLType, GGUFError, dequantize
from llamabox.gguf.dequant import UNPACK
from llamabox.gguf.dequant.codebooks import codebook

BLOCK_TYPES = [t for t in GGMLType if t.dtype is None]
NOT_IN_GGUF_PACKAGE = {"Q8_1", "Q8_K", "Q1_0", "Q2_0"}
NOT_IN_GGML = {"Q8_1"}  # ggml has no to_float for it: it only meets dot products


def test_every_type_is_read():
    assert set(UNPACK) == set(BLOCK_TYPES)


@pytest.mark.parametrize("type", BLOCK_TYPES, ids=lambda t: t.name)
def test_equal_to_ggml(cases, results, type):
    stored = results("dequantize")["types"][type.name]
    if type.name in NOT_IN_GGML:
        assert stored["crc32"] is None
        return
    with np.errstate(all="ignore"):
        values = dequantize(cases.random_blocks(type), type)
    assert values.dtype == np.float32 and values.shape == (cases.BLOCKS_PER_TYPE, type.block_size)
    assert zlib.crc32(cases.canonical_bytes(values)) == stored["crc32"]


@pytest.mark.parametrize("type", [t for t in BLOCK_TYPES if t.name not in NOT_IN_GGUF_PACKAGE], ids=lambda t: t.name)
def test_equal_to_the_gguf_package(cases, type):
    blocks = cases.random_blocks(type)
    with np.errstate(all="ignore"):
        ours = dequantize(blocks, type).view(np.uint32)
        theirs = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[type.name]).view(np.uint32)
    is_nan = np.isnan(theirs.view(np.float32))
    np.testing.assert_array_equal(is_nan, np.isnan(ours.view(np.float32)))
    np.testing.assert_array_equal(np.where(is_nan, 0, ours), np.where(is_nan, 0, theirs))


@pytest.mark.parametrize("scale", [0x0000, 0x8000, 0x0001, 0x03FF, 0x7BFF, 0x7C00, 0xFC00, 0x7E00])
def test_edge_scales(scale):
    """Zeros of both signs, subnormals, the largest number, infinities and NaN as a Q4_0 and Q8_0 scale."""
    for type in (GGMLType.Q4_0, GGMLType.Q8_0):
        block = np.arange(type.type_size, dtype=np.uint8)[None] * 7
        block[:, :2] = np.array([scale], np.uint16).view(np.uint8)
        with np.errstate(all="ignore"):
            theirs = gguf.quants.dequantize(block, gguf.GGMLQuantizationType[type.name])
            np.testing.assert_array_equal(dequantize(block, type), theirs)


def test_q8_1_by_hand():
    """The one type nobody else reads: d, a sum that does not matter, and 32 int8."""
    block = np.concatenate(
        [np.array([0.5, 99], np.float16).view(np.uint8), np.arange(-16, 16, dtype=np.int8).view(np.uint8)]
    )
    np.testing.assert_array_equal(dequantize(block[None], GGMLType.Q8_1), [np.arange(-16, 16, dtype=np.float32) / 2])


@pytest.mark.parametrize("name", ["IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"])
def test_codebooks_are_the_gguf_packages(name):
    peer = getattr(gguf.quants, name)
    peer.init_grid()
    np.testing.assert_array_equal(
        codebook(name).view(np.int8).reshape(peer.grid_shape), peer.grid.reshape(peer.grid_shape)
    )


def test_leading_axes_and_plain_types(cases):
    blocks = cases.random_blocks(GGMLType.Q6_K)[:24].reshape(2, 3, 4 * 210)
    values = dequantize(blocks, GGMLType.Q6_K)
    assert values.shape == (2, 3, 1024)
    np.testing.assert_array_equal(values[1, 2], dequantize(blocks[1, 2], GGMLType.Q6_K))
    numbers = np.array([[1.5, -2], [3, 4]], np.float16)
    for data in (numbers, numbers.view(np.uint8)):
        values = dequantize(data, GGMLType.F16)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, numbers)


def test_a_slice_of_rows_equals_the_rows(cases):
    blocks = cases.random_blocks(GGMLType.IQ3_S)[:16].reshape(8, 220)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(
            dequantize(blocks[1::3], GGMLType.IQ3_S), dequantize(blocks, GGMLType.IQ3_S)[1::3]
        )


@pytest.mark.parametrize("type", BLOCK_TYPES, ids=lambda t: t.name)
def test_no_blocks(type):
    assert dequantize(np.empty((3, 0), np.uint8), type).shape == (3, 0)
    assert dequantize(np.empty((0, 2 * type.type_size), np.uint8), type).shape == (0, 2 * type.block_size)


def test_what_does_not_fit_is_refused():
    with pytest.raises(GGUFError, match=r"dequantize Q8_0: data is uint8 \(35,\), expected uint8 \(..., n \* 34\)"):
        dequantize(np.zeros(35, np.uint8), GGMLType.Q8_0)
    with pytest.raises(GGUFError, match=r"dequantize Q8_0: data is int8 \(34,\)"):
        dequantize(np.zeros(34, np.int8), GGMLType.Q8_0)
