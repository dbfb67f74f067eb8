"""Logits with every type of KV cache beside llama.cpp's, on both backends."""

from pathlib import Path

import cache_types  # of conformance/
import numpy as np
import pytest
from logits import load, nmse
from on_backends import PRESENT

from llamabox.kernels import CACHE_TYPES

FILE = Path(cache_types.__file__).parent / "results" / "cache_types.npz"


@pytest.fixture(scope="module")
def stored():
    with np.load(FILE) as file:
        return dict(file)


@pytest.mark.parametrize("backend", PRESENT)
@pytest.mark.parametrize("name", CACHE_TYPES)
@pytest.mark.parametrize("model", cache_types.MODELS)
def test_logits_beside_llama_cpp(open_case, stored, model, name, backend):
    """ggml rounds what it multiplies by, we do not: that difference, measured, is the bound, beside the floor: what its
    flash attention differs by with an f32 cache."""
    loaded, tokens = load(open_case(model), backend).model, stored[f"{model}/tokens"]
    ours = cache_types.our_logits(loaded, tokens, name)
    bound = 2 * float(stored[f"{model}/{name}/noise"] + stored[f"{model}/floor"])
    assert nmse(stored[f"{model}/{name}"], ours) <= bound
    if name not in ("f32", "f16", "bf16", "q8_0"):  # queries rounded to 8 bits hide these
        assert nmse(stored[f"{model}/f32"], ours) > bound, "the type makes a difference that this test would see"
