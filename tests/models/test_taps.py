"""Tagged values: llama.cpp's names and values, free to capture, and a replaced value changes what follows."""

import json

import logits
import numpy as np
import pytest

from llamabox.kernels import Rows, make_step

STORED = logits.HERE / "results" / "taps.npz"
BOUNDS = {"bert": 1e-6, "gemma2": 1e-6, "gemma3": 1e-6}  # GELU, as in conformance/archs/README.md
BOUND = 1e-8


def reference():
    with np.load(STORED) as stored:
        values = {key: stored[key] for key in stored.files if key != "provenance"}
        return values, json.loads(str(stored["provenance"]))


VALUES, PROVENANCE = reference()


def run(model, tokens):
    """All tagged values of one pass, in order, and its result."""
    loaded, seen = model.model, {}
    loaded.ops.listener = lambda name, x: seen.update({name: loaded.ops.to_numpy(x).copy()})
    if loaded.is_encoder:
        step = make_step([Rows(0, len(tokens), (), "all")], None, causal=False)
        return seen, loaded.hidden(tokens, step)
    cache = loaded.ops.kv_cache(loaded.config.kv_shapes(), 1, "f32", "f32")
    return seen, loaded.forward(tokens, make_step([Rows(0, len(tokens), (0,), "all")], cache))


@pytest.mark.parametrize("name", sorted({key.split("/")[0] for key in VALUES}))
def test_tagged_values_are_llama_cpp_s(open_case, name):
    model = logits.load(open_case(name), "numpy")
    seen, _ = run(model, np.array(PROVENANCE["tokens"], np.int32))
    expected = {key.split("/")[1]: value for key, value in VALUES.items() if key.startswith(f"{name}/")}
    common = [tag for tag in expected if tag in seen]
    assert {"l_out-0", "result_output"} <= set(common) or {"ffn_inp-1", "ffn_out-1"} <= set(common)
    for tag in common:
        error = logits.nmse(expected[tag], seen[tag])  # of equal shape, or it raises
        assert error <= BOUNDS.get(name, BOUND), f"{tag}: NMSE {error:.2e}"
    missing = {tag.rpartition("-")[0] for tag in expected if tag not in seen and "-" in tag}
    assert missing == set(), f"llama.cpp names these values, we do not: {missing}"


def test_every_tag_of_ours_is_one_of_llama_cpp_s(open_case):
    known = {key.split("/")[1] for key in VALUES} | {"result_embd"}  # renamed by llama.cpp's pooling
    for name in ("llama", "gemma3", "qwen3", "phi3", "command-r", "bert"):
        seen, _ = run(logits.load(open_case(name), "numpy"), np.array(PROVENANCE["tokens"], np.int32))
        assert set(seen) <= known, f"{name}: {set(seen) - known}"


def test_listening_changes_nothing(open_case):
    model, tokens = logits.load(open_case("llama"), "numpy"), [3, 1, 4, 1, 5]
    quiet = model.logits(tokens)
    names = []
    model.model.ops.listener = lambda name, x: names.append(name)
    assert np.array_equal(model.logits(tokens), quiet)
    assert names[0] == "embd" and names[-1] == "result_output" and "attn_out-1" in names


def test_a_replaced_value_changes_what_follows_and_nothing_before(open_case):
    model, tokens = logits.load(open_case("llama"), "numpy"), np.array([3, 1, 4, 1, 5], np.int32)
    before, result = run(model, tokens)
    patched = {}

    def patch(name, x):
        patched[name] = model.model.ops.to_numpy(x).copy()
        if name == "attn_out-0":
            return x * 0.0  # ablate the first layer's attention

    model.model.ops.listener = patch
    changed = model.logits(tokens)
    model.model.ops.listener = None
    assert logits.nmse(result, changed) > 1e-3
    assert np.array_equal(patched["kqv_out-0"], before["kqv_out-0"])
    assert np.array_equal(patched["ffn_inp-0"], before["embd"])
    assert np.allclose(model.logits(tokens), result, atol=1e-5)
