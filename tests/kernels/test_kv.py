"""KVCache: its arrays, block copies and types."""

import numpy as np
import pytest

from llamabox.kernels import BLOCK, KVCache, KVShape
from llamabox.kernels.kv import decode, encode


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
    with pytest.raises(ValueError, match="expected one of f32, f16, bf16"):
        KVCache([KVShape(1, 8, 8)], 1, *types)


def test_bf16_rounds_to_nearest_even():
    x = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -3e38, 1e-40], np.float32)
    assert decode(encode(x, "bf16"), "bf16").tolist()[:4] == [1.0, 1.0, 1 + 2**-6, 1 + 2**-7]
    np.testing.assert_allclose(decode(encode(x, "bf16"), "bf16"), x, rtol=2**-8, atol=1e-40)
