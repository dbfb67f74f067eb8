"""The quantised skeleton models, written by the gguf package: our reader finds the bytes whose CRC-32 is stored."""

import importlib.util
import zlib

import numpy as np
import pytest
from conftest import CONFORMANCE

from llamabox.gguf import open_gguf

TYPES = (
    "bf16 f16 iq1-m iq1-s iq2-s iq2-xs iq2-xxs iq3-s iq3-xxs iq4-nl iq4-xs mxfp4 nvfp4 q1-0 q2-k q3-k q4-0 q4-1 q4-k "
    "q5-0 q5-1 q5-k q6-k q8-0 tq1-0 tq2-0"
).split()


@pytest.fixture(scope="module")
def archs():
    """The module conformance/archs/materialize.py."""
    spec = importlib.util.spec_from_file_location("materialize", CONFORMANCE / "archs" / "materialize.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("type", TYPES)
def test_reads_the_bytes_of_a_skeleton(archs, tmp_path, type):
    path = tmp_path / "model.gguf"
    archs.materialize(archs.load_skeleton(CONFORMANCE / "archs" / "skeletons" / f"llama-{type}.json"), path)
    file, crc = open_gguf(path), 0
    for tensor in file.tensors.values():
        crc = zlib.crc32(tensor.data.tobytes(), crc)
    assert crc == int(np.load(CONFORMANCE / "archs" / "expected" / f"llama-{type}.npz")["weights_crc32"])
    assert type.upper().replace("-", "_") in {tensor.type.name for tensor in file.tensors.values()}
