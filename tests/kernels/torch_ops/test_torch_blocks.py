"""Block types in torch's operations: the values that gguf.dequantize gives, bit for bit, on random bytes."""

import numpy as np
import pytest
import torch

from llamabox.gguf import GGMLType, dequantize
from llamabox.gguf.dequant import UNPACK as TYPES
from llamabox.kernels.torch_ops.blocks import UNPACK, values


def test_every_block_type_is_there():
    assert set(UNPACK) == set(TYPES)


@pytest.mark.parametrize("type", UNPACK, ids=lambda type: type.name)
@pytest.mark.parametrize("shape", [(64, 2), (1, 1), (3, 2, 4)], ids=str)
def test_values_are_those_of_gguf(type, shape):
    rng = np.random.default_rng(type)
    data = rng.integers(0, 256, (*shape[:-1], shape[-1] * type.type_size), dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = dequantize(data, type)
    found = values(torch.from_numpy(data), type)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), expected)  # NaN where NaN is; -0.0 equals 0.0


def test_rows_that_start_anywhere():
    """A view whose bytes begin at an odd place, as rows of a type of 17 bytes do."""
    data = np.random.default_rng(0).integers(0, 120, (5, 17), dtype=np.uint8)
    found = values(torch.from_numpy(data)[1:4], GGMLType.MXFP4)
    np.testing.assert_array_equal(found.numpy(), dequantize(data[1:4], GGMLType.MXFP4))


@pytest.mark.parametrize("type", [GGMLType.F32, GGMLType.F16, GGMLType.I8, GGMLType.I32], ids=lambda type: type.name)
def test_plain_types(type):
    data = np.arange(-6, 6).reshape(3, 4).astype(type.dtype)
    np.testing.assert_array_equal(values(torch.from_numpy(data), type).numpy(), data.astype(np.float32))
