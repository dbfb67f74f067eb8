"""Fixtures: a small file of every kind of metadata, and the seeded cases shared with conformance/."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from llamabox.gguf import GGMLType, GGUFWriter, ValueType, quantize

CONFORMANCE = Path(__file__).parents[2] / "conformance"


@pytest.fixture(scope="session")
def cases():
    """The module conformance/gguf_cases.py."""
    spec = importlib.util.spec_from_file_location("gguf_cases", CONFORMANCE / "gguf_cases.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def results():
    """results("dequantize"): what conformance/results/dequantize.json holds."""
    return lambda name: json.loads((CONFORMANCE / "results" / f"{name}.json").read_text())


METADATA = [
    ("test.uint8", 255, ValueType.UINT8),
    ("test.int8", -128, ValueType.INT8),
    ("test.uint16", 65535, ValueType.UINT16),
    ("test.int16", -32768, ValueType.INT16),
    ("test.uint32", 2**32 - 1, ValueType.UINT32),
    ("test.int32", -(2**31), ValueType.INT32),
    ("test.uint64", 2**64 - 1, ValueType.UINT64),
    ("test.int64", -(2**63), ValueType.INT64),
    ("test.float32", 0.5, ValueType.FLOAT32),
    ("test.float64", 1 / 3, ValueType.FLOAT64),
    ("test.bool", True, ValueType.BOOL),
    ("test.string", "schön \N{SMILING FACE WITH SUNGLASSES}", ValueType.STRING),
    ("test.empty_string", "", ValueType.STRING),
    ("test.strings", ["", "a", "bc"], ValueType.STRING),
    ("test.int32s", [1, -2, 3], ValueType.INT32),
    ("test.float32s", [0.25, -1.5], ValueType.FLOAT32),
    ("test.bools", [True, False, True], ValueType.BOOL),
    ("test.empty", [], ValueType.UINT16),
    ("test.nested", [[1, 2], [], [3]], (ValueType.ARRAY, ValueType.ARRAY, ValueType.INT16)),
    ("test.nested_strings", [["a"], ["b", "c"]], (ValueType.ARRAY, ValueType.ARRAY, ValueType.STRING)),
]


def example_tensors():
    """name -> (stored data, type): each plain type and some block types, with values from a seed."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal((2, 3, 256)).astype(np.float32)
    plain = {
        "F32": values[:, :, :5].copy(),
        "F16": values.astype(np.float16),
        "F64": values[0].astype(np.float64),
        "I8": rng.integers(-128, 128, (3, 7), dtype=np.int8),
        "I16": rng.integers(-(2**15), 2**15, 5, dtype=np.int16),
        "I32": rng.integers(-(2**31), 2**31, (1, 2, 3, 4), dtype=np.int32),
        "I64": rng.integers(-(2**62), 2**62, 3, dtype=np.int64),
    }
    blocks = ("BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "TQ1_0", "TQ2_0", "MXFP4")
    packed = {name: quantize(values, GGMLType[name]) for name in blocks}
    return {name: (data, GGMLType[name]) for name, data in {**plain, **packed}.items()}


@pytest.fixture(scope="session")
def tensors():
    return example_tensors()


def write_example(path, byte_order="little", alignment=32):
    """Write METADATA and example_tensors to a file."""
    writer = GGUFWriter(path, "test", alignment, byte_order)
    for key, value, type in METADATA:
        writer.add(key, value, type)
    for name, (data, type) in example_tensors().items():
        writer.add_tensor(name, data, type)
    writer.write()
    return path


@pytest.fixture
def example(tmp_path):
    return write_example(tmp_path / "example.gguf")
