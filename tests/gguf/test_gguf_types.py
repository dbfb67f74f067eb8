"""Type numbers and block sizes against the gguf package and ggml."""

import gguf
import numpy as np
import pytest

from llamabox.gguf import GGMLType, GGUFError, ValueType

# The package pads Q8_1, which no file holds: ggml's struct has two f16 where the package has two f32.
GGUF_PACKAGE_DIFFERS = {"Q8_1": (32, 40)}


def test_numbers_and_sizes_are_the_gguf_packages():
    theirs = {t.name: (int(t), gguf.GGML_QUANT_SIZES[t]) for t in gguf.GGMLQuantizationType}
    ours = {t.name: (int(t), (t.block_size, t.type_size)) for t in GGMLType}
    ours |= {name: (ours[name][0], sizes) for name, sizes in GGUF_PACKAGE_DIFFERS.items()}
    assert {name: ours[name] for name in theirs} == theirs


def test_sizes_are_ggmls(results):
    stored = results("dequantize")["types"]
    assert set(stored) == {t.name for t in GGMLType if t.dtype is None}
    for name, type in stored.items():
        assert (GGMLType[name].block_size, GGMLType[name].type_size) == (type["block_size"], type["type_size"]), name


def test_value_types_are_the_gguf_packages():
    assert {t.name: int(t) for t in ValueType} == {t.name: int(t) for t in gguf.GGUFValueType}


def test_plain_types_have_dtypes_of_their_size():
    plain = [t for t in GGMLType if t.dtype is not None]
    assert {t.name for t in plain} == {"F32", "F16", "F64", "I8", "I16", "I32", "I64"}
    assert all(t.dtype.itemsize == t.type_size and t.block_size == 1 for t in plain)
    assert GGMLType.I32.dtype == np.int32


def test_row_bytes():
    assert GGMLType.Q4_K.row_bytes(512) == 288
    with pytest.raises(GGUFError, match="a row of 100 values is not a multiple of Q4_0's block of 32"):
        GGMLType.Q4_0.row_bytes(100)
