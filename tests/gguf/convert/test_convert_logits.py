"""Folders of tiny random transformers models, converted and run, against the logits that transformers gave."""

import json
from pathlib import Path

import numpy as np
import pytest

import llamabox
from llamabox.gguf.convert import convert_folder

FIXTURES = Path(__file__).parents[3] / "conformance" / "convert"
NAMES = sorted(json.loads((FIXTURES / "provenance.json").read_text())["models"])
BOUND = 1e-8  # NMSE


def nmse(expected, found):
    expected, found = expected.astype(np.float64), found.astype(np.float64)
    return ((expected - found) ** 2).sum() / (expected**2).sum()


@pytest.mark.parametrize("name", NAMES)
def test_a_converted_model_gives_the_logits_of_transformers(name, tmp_path):
    convert_folder(FIXTURES / name, tmp_path / "model.gguf", "f32")
    expected = np.load(FIXTURES / name / "expected.npz")
    model = llamabox.load(tmp_path / "model.gguf", backend="numpy", cache_type_k="f32", cache_type_v="f32")
    run = model.logits if name != "bert" else lambda ids: model.embed(ids, pooling="none")
    found = run(expected["tokens"])
    assert found.shape == expected["values"].shape
    assert nmse(expected["values"], found) < BOUND
