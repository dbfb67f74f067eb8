"""The first value that is not finite is named with its layer."""

from dataclasses import replace

import logits
import numpy as np
import pytest

from llamabox.kernels import Rows, make_step
from llamabox.models.diagnose import first_not_finite

TOKENS = np.array([3, 1, 4], np.int32)


def step_of(loaded):
    if loaded.is_encoder:
        return make_step([Rows(0, len(TOKENS), (), "all")], None, causal=False)
    return make_step([Rows(0, len(TOKENS), (0,), "last")], loaded.ops.kv_cache(loaded.config.kv_shapes(), 1))


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_a_sound_model_has_no_such_value(open_case, name):
    loaded = logits.load(open_case(name), "numpy").model
    assert first_not_finite(loaded, TOKENS, step_of(loaded)) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_weight_is_found_by_its_layer(open_case, value):
    loaded = logits.load(open_case("llama"), "numpy").model
    listener = loaded.ops.listener = lambda name, x: None
    layer = loaded.weights.layers[1]
    broken = layer.ffn_down.data.copy()
    broken[5, 7] = value
    layer.ffn_down = replace(layer.ffn_down, data=broken)
    assert first_not_finite(loaded, TOKENS, step_of(loaded)) == "ffn_out-1"
    assert loaded.ops.listener is listener
