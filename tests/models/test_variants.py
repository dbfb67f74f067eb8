"""Optional tensors and keys, other defaults and the user's RoPE options, against llama.cpp's stored logits."""

import json

import numpy as np
import pytest
import variants
from logits import nmse
from on_backends import PRESENT

import llamabox

BOUND, BOUND_GELU = 1e-8, 1e-6  # as in conformance/archs/README.md
GELU = ("gemma2", "gemma3", "bert", "nomic-bert-moe", "jina-bert-v2", "modern-bert")


@pytest.fixture(scope="module")
def stored():
    with np.load(variants.STORED) as file:
        return dict(file)


@pytest.mark.parametrize("backend", PRESENT)
@pytest.mark.parametrize("name", variants.VARIANTS)
def test_variant_equals_llama_cpp(stored, tmp_path, name, backend):
    variant = variants.VARIANTS[name]
    path = tmp_path / f"{name}.gguf"
    variants.write(variant, path)
    types = {"cache_type_k": "f32", "cache_type_v": "f32"}
    model = llamabox.load(path, backend=backend, n_ctx=256, threads=1, **types, **variant.options)
    tokens = json.loads(str(stored["provenance"]))["tokens"]
    found = model.embed(tokens, "none") if model.model.is_encoder else model.logits(tokens)
    error = nmse(stored[name], found)
    assert error <= (BOUND_GELU if variant.skeleton in GELU else BOUND), f"NMSE {error:.2e}"


def test_what_is_stored_is_what_is_tested(stored):
    assert set(stored) - {"provenance"} == set(variants.VARIANTS)
