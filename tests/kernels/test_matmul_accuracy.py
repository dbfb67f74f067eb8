"""Products with every quantised type are as near to f64 as llama.cpp's own (conformance/matmul_accuracy.py)."""

import json
from pathlib import Path

import numpy as np
import pytest
from op_cases import BLOCKS, nmse

from llamabox.gguf import GGMLType, dequantize
from llamabox.kernels import Weight, open_backend

RESULTS = Path(__file__).parents[2] / "conformance" / "results"
STORED = json.loads((RESULTS / "matmul_accuracy.json").read_text())
TYPES = [name for name in BLOCKS if name not in ("Q8_1", "Q8_K")]  # those two are never weights in ggml
BOUND = 1.05  # our NMSE over llama.cpp's


@pytest.fixture(scope="module")
def ops():
    return open_backend("cpu", threads=2)


@pytest.fixture(scope="module")
def samples():
    return np.load(RESULTS / "matmul_accuracy.npz")


def test_the_stored_comparison_names_its_program_and_has_every_type():
    assert "llama.cpp" in STORED["provenance"]["program"]
    assert sorted(STORED["types"]) == sorted(TYPES)


@pytest.mark.parametrize("type_name", TYPES)
def test_stored_errors_are_at_most_llama_cpps(type_name):
    found = STORED["types"][type_name]
    assert found["ours"] / found["ggml"] == pytest.approx(found["ratio"])
    assert 0 < found["ours"] <= BOUND * found["ggml"]


@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize("rows", [1, 16])
def test_errors_now_are_at_most_llama_cpps_on_stored_products(ops, samples, type_name, rows):
    type, x = GGMLType[type_name], samples["x"]
    weights, theirs = samples[f"{type_name} weights"], samples[f"{type_name} products"]
    expected = x.astype(np.float64) @ dequantize(weights, type).astype(np.float64).T
    weight = Weight(type_name, type, (len(weights), x.shape[1]), weights)
    ours = np.concatenate([ops.linear(x[t : t + rows], weight) for t in range(0, len(x), rows)])
    assert 0 < nmse(expected, ours) <= BOUND * nmse(expected, theirs)
