"""Files of control vectors that are not what they say, and which layers they reach."""

import logging

import numpy as np
import pytest

import llamabox
from llamabox.gguf import GGUFWriter, open_gguf
from llamabox.models import ModelError
from llamabox.models.control import load_control


def write(path, tensors):
    writer = GGUFWriter(path, "controlvector")
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write()
    return open_gguf(path)


def ones(n=8, dtype=np.float32):
    return np.ones(n, dtype)


@pytest.mark.parametrize(
    "tensors, words",
    [
        ({}, "found no tensors, expected direction.1"),
        ({"direction.0": ones()}, "'direction.0': expected names direction.1"),
        ({"direction.-1": ones()}, "'direction.-1': expected names direction.1"),
        ({"direction.1x": ones()}, "'direction.1x': expected names direction.1"),
        ({"direction.99999999999999999999": ones()}, "expected names direction.1"),
        ({"attn.1": ones()}, "'attn.1': expected names direction.1"),
        ({"direction.1": ones(7)}, "found F32 of shape (7,), expected F32 of shape (8,)"),
        ({"direction.1": ones(8, np.float16)}, "found F16 of shape (8,), expected F32 of shape (8,)"),
        ({"direction.1": np.ones((2, 8), np.float32)}, "found F32 of shape (2, 8), expected F32 of shape (8,)"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, tensors, words):
    file = write(tmp_path / "bad.gguf", tensors)
    with pytest.raises(ModelError) as error:
        load_control([(file, 1.0)], n_layer=4, n_embd=8)
    assert words in str(error.value) and "bad.gguf: " in str(error.value)


def test_directions_are_scaled_and_summed_within_the_range(tmp_path):
    a = write(tmp_path / "a.gguf", {f"direction.{i}": ones() * i for i in (1, 2, 3)})
    b = write(tmp_path / "b.gguf", {"direction.2": ones()})
    total = load_control([(a, 0.5), (b, -3.0)], 4, 8)
    assert {layer: float(v[0]) for layer, v in total.items()} == {1: 0.5, 2: -2.0, 3: 1.5}
    assert set(load_control([(a, 1.0)], 4, 8, (2, 2))) == {2}
    assert set(load_control([(a, 1.0)], 4, 8, (0, 2))) == {1, 2}
    assert set(load_control([(a, 1.0)], 4, 8, (2, 0))) == {2, 3}
    with pytest.raises(ModelError, match="layers: found 3 to 2"):
        load_control([(a, 1.0)], 4, 8, (3, 2))


def test_layers_that_the_model_does_not_have_are_left_out_with_a_warning(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    file = write(tmp_path / "a.gguf", {"direction.1": ones(), "direction.4": ones(), "direction.999999999": ones()})
    assert set(load_control([(file, 1.0)], 4, 8)) == {1}
    assert "direction.4 and 1 more" in caplog.text


def test_an_encoder_takes_none(tmp_path, edited):
    write(tmp_path / "v.gguf", {"direction.1": ones(128)})
    with pytest.raises(ModelError, match="bert is an encoder"):
        llamabox.load(edited("bert"), backend="numpy", control_vectors=[tmp_path / "v.gguf"])
