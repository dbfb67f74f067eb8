"""Files of LoRA adapters that are not what they say: one ModelError that names the file and the thing."""

import logging
import math

import adapters
import numpy as np
import pytest

from llamabox.gguf import GGMLType, GGUFWriter, ValueType, open_gguf
from llamabox.kernels import open_backend
from llamabox.models import ModelError, load_model

Q, NORM = "blk.0.attn_q.weight", "blk.0.attn_norm.weight"
GOOD = {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 8.0}
PAIR = {f"{Q}.lora_a": (4, 128), f"{Q}.lora_b": (128, 4)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("lora") / "llama.gguf"
    adapters.variants.write(adapters.Variant("llama"), path)
    return load_model(open_gguf(path), open_backend("numpy"))


def write(path, metadata=None, tensors=None, arch="llama", type=GGMLType.F32):
    writer = GGUFWriter(path, arch)
    for key, value in {**GOOD, **(metadata or {})}.items():
        if value is not None:
            writer.add(key, value, ValueType.UINT32 if isinstance(value, list) else None)
    for name, shape in (PAIR if tensors is None else tensors).items():
        dtype = {GGMLType.F32: np.float32, GGMLType.I32: np.int32}[type]
        writer.add_tensor(name, np.ones(shape, dtype))
    writer.write()
    return open_gguf(path)


def test_what_the_file_says_is_kept(model, tmp_path):
    said = {"adapter.lora.task_name": "rhyme", "adapter.lora.prompt_prefix": "Sing: "}
    file = write(tmp_path / "good.gguf", said)
    (lora,) = model.with_adapters([file]).loras
    assert (lora.path, lora.task_name, lora.prompt_prefix) == (str(file.path), "rhyme", "Sing: ")
    assert set(lora.pairs) == {Q} and lora.pairs[Q].factor == 2.0
    (bare,) = model.with_adapters([write(tmp_path / "bare.gguf", {"adapter.lora.alpha": None})]).loras
    assert bare.pairs[Q].factor == 1.0


@pytest.mark.parametrize(
    "metadata, tensors, words",
    [
        ({"general.type": None}, None, "general.type: found None, expected 'adapter'"),
        ({"general.type": "model"}, None, "general.type: found 'model', expected 'adapter'"),
        ({"adapter.type": "control_vector"}, None, "adapter.type: found 'control_vector', expected 'lora'"),
        ({"adapter.lora.alpha": "8"}, None, "adapter.lora.alpha: found '8', expected a finite number"),
        ({"adapter.lora.alpha": math.nan}, None, "adapter.lora.alpha: found nan, expected a finite number"),
        ({"adapter.lora.alpha": math.inf}, None, "adapter.lora.alpha: found inf, expected a finite number"),
        ({"adapter.lora.alpha": True}, None, "adapter.lora.alpha: found True, expected a finite number"),
        ({"adapter.alora.invocation_tokens": [1, 2]}, None, "alora.invocation_tokens: activated LoRA"),
        ({}, {}, "found no tensors X.lora_a and X.lora_b"),
        ({}, {f"{Q}.lora_a": (4, 128)}, "attn_q.weight.lora_b' is missing, the partner of 'blk.0.attn_q"),
        ({}, {f"{Q}.lora_b": (4, 128)}, "attn_q.weight.lora_a' is missing, the partner of 'blk.0.attn_q"),
        ({}, {Q: (128, 128)}, "'blk.0.attn_q.weight': expected a name that ends in .lora_a or .lora_b"),
        ({}, {"a\nb.lora_a": (4, 4), "a\nb.lora_b": (4, 4)}, "'a\\nb.lora_a': the model has no tensor"),
        ({}, {"blk.9.attn_q.weight.lora_a": (4, 128), "blk.9.attn_q.weight.lora_b": (128, 4)}, "has no tensor of that"),
        (
            {},
            {"blk.0.attn_norm.weight.lora_a": (4, 128), "blk.0.attn_norm.weight.lora_b": (1, 4)},
            "no matrix that LoRA",
        ),
        ({}, {f"{Q}.lora_a": (128, 4), f"{Q}.lora_b": (4, 128)}, "found shape (128, 4), expected (128, 128)"),
        ({}, {f"{Q}.lora_a": (4, 64), f"{Q}.lora_b": (128, 4)}, "found shape (4, 64), expected (4, 128)"),
        ({}, {f"{Q}.lora_a": (3, 128), f"{Q}.lora_b": (128, 4)}, "found shape (3, 128), expected (4, 128)"),
        ({}, {f"{Q}.lora_a": (4, 128), f"{Q}.lora_b": (64, 4)}, "found shape (64, 4), expected (128, 4)"),
        ({}, {f"{Q}.lora_a": (2, 4, 128), f"{Q}.lora_b": (128, 4)}, "found shape (2, 4, 128), expected (4, 128)"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(model, tmp_path, metadata, tensors, words):
    file = write(tmp_path / "bad.gguf", metadata, tensors)
    with pytest.raises(ModelError) as error:
        model.with_adapters([file])
    assert words in str(error.value) and "bad.gguf: " in str(error.value) and "\n" not in str(error.value)


def test_another_architecture_another_type_and_rank_0_are_refused(model, tmp_path):
    with pytest.raises(ModelError, match="general.architecture: found 'qwen2', expected 'llama'"):
        model.with_adapters([write(tmp_path / "arch.gguf", arch="qwen2")])
    with pytest.raises(ModelError, match="found type I32, expected floats"):
        model.with_adapters([write(tmp_path / "type.gguf", type=GGMLType.I32)])


def test_a_tied_output_has_no_adapter_of_its_own(tmp_path):
    path = tmp_path / "tied.gguf"
    adapters.variants.write(adapters.Variant("llama-tied"), path)
    tied = load_model(open_gguf(path), open_backend("numpy"))
    with pytest.raises(ModelError, match="'output.weight.lora_a': the model has no tensor"):
        tied.with_adapters(
            [write(tmp_path / "o.gguf", {}, {"output.weight.lora_a": (4, 128), "output.weight.lora_b": (128, 4)})]
        )


def test_norms_in_a_file_are_left_out_with_a_warning(model, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    file = write(tmp_path / "norms.gguf", {}, {**PAIR, "blk.0.attn_norm.weight": (128,)})
    assert set(model.with_adapters([file]).loras[0].pairs) == {Q}
    assert "blk.0.attn_norm.weight" in caplog.text
