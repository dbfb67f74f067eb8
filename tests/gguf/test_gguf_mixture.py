"""Mixtures against llama-quantize's choices, stored in conformance/results; and quantising whole files."""

import numpy as np
import pytest

from llamabox.gguf import GGMLType, GGUFError, GGUFWriter, dequantize, open_gguf, quantize
from llamabox.gguf.mixture import MIXTURES, ModelFacts, choose_types, find_mixture
from llamabox.gguf.requantize import plan_types, write_requantized


def test_types_are_those_llama_quantize_chose(results):
    models = results("quantize")["mixtures"]
    assert len(models) >= 9
    for model, stored in models.items():
        tensors = [(name, GGMLType.F32, tuple(shape)) for name, shape in stored["tensors"]]
        for mixture, theirs in stored["types"].items():
            ours = choose_types(reversed(tensors), ModelFacts(**stored["facts"]), mixture)
            differing = {name: (t.name, p) for (name, t), p in zip(ours.items(), theirs, strict=True) if t.name != p}
            assert not differing, (model, mixture)


def test_the_stored_choices_meet_every_rule(results):
    """The comparison above could not fail if the models met no rule: each mixture must use several types."""
    models = results("quantize")["mixtures"].values()
    used = {
        mixture: {t for model in models for t in model["types"][mixture]} for mixture in ("Q4_K_M", "Q4_K_S", "TQ1_0")
    }
    assert {"F32", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q5_0"} <= used["Q4_K_M"]
    assert {"Q4_K", "Q5_K", "Q6_K", "Q8_0"} <= used["Q4_K_S"]
    assert {"TQ1_0", "Q4_K", "Q6_K", "Q4_0"} <= used["TQ1_0"]


def test_names():
    assert find_mixture("q4_k") == "Q4_K_M" and find_mixture("Q8_0") == "Q8_0"
    with pytest.raises(
        GGUFError, match="quantisation type 'IQ2_XS' is not supported, expected one of F32, F16, .*Q4_K_M"
    ):
        find_mixture("IQ2_XS")


@pytest.fixture
def model(tmp_path):
    """A two-layer model with rows of 256 in F32, F16 and BF16, and its values."""
    rng = np.random.default_rng(2)
    values = {
        "token_embd.weight": rng.standard_normal((32, 256)).astype(np.float32),
        "blk.0.attn_v.weight": rng.standard_normal((16, 256)).astype(np.float32),
        "blk.1.attn_q.weight": rng.standard_normal((64, 256)).astype(np.float16).astype(np.float32),
        "blk.0.ffn_up_exps.weight": rng.standard_normal((3, 8, 256)).astype(np.float32),
        "output_norm.weight": np.ones(256, np.float32),
    }
    stored = dict(values)
    stored["blk.1.attn_q.weight"] = values["blk.1.attn_q.weight"].astype(np.float16)
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "llama", alignment=64).add("llama.block_count", 2).add("general.file_type", 0)
    writer.add("tokenizer.ggml.tokens", ["a", "b"]).add("split.count", 1).add(
        "test.numbers", np.arange(3, dtype=np.uint16)
    )
    for name, data in stored.items():
        writer.add_tensor(name, data)
    writer.write()
    return path, values


@pytest.mark.parametrize("mixture", MIXTURES)
def test_a_quantised_file_holds_the_quantised_values(model, tmp_path, mixture):
    path, values = model
    source, out, seen = open_gguf(path), tmp_path / "out.gguf", []
    types = plan_types(source, mixture)
    write_requantized(source, out, mixture, types, n_threads=2, progress=seen.append)
    file = open_gguf(out)
    assert seen == list(file.tensors) == list(types) and set(types) == set(values)
    assert types["output_norm.weight"] == GGMLType.F32
    assert mixture == "F32" or types["blk.1.attn_q.weight"] == MIXTURES[mixture][1] or mixture == "MXFP4_MOE"
    for name, tensor in file.tensors.items():
        assert tensor.type == types[name] and tensor.shape == values[name].shape
        expected = dequantize(quantize(values[name], types[name]), types[name])
        np.testing.assert_array_equal(dequantize(tensor.data, tensor.type), expected, err_msg=name)
    assert file.metadata["general.file_type"] == MIXTURES[mixture][0]
    assert file.metadata["general.quantization_version"] == 2
    assert file.metadata["tokenizer.ggml.tokens"] == ["a", "b"] and file.metadata["test.numbers"].dtype == np.uint16
    assert "split.count" not in file.metadata and "general.alignment" not in file.metadata


def test_quantised_weights_are_quantised_again_only_when_asked(model, tmp_path):
    source, out = open_gguf(model[0]), tmp_path / "q8.gguf"
    write_requantized(source, out, "Q8_0", plan_types(source, "Q8_0"))
    quantised = open_gguf(out)
    with pytest.raises(GGUFError, match="tensor '.*' is Q8_0 already; quantising it again needs --allow-requantize"):
        plan_types(quantised, "Q4_0")
    assert plan_types(quantised, "Q8_0") == plan_types(source, "Q8_0")
    again = plan_types(quantised, "Q4_0", allow_requantize=True)
    assert again["blk.1.attn_q.weight"] == GGMLType.Q4_0


def test_pure_uses_one_type(model):
    types = plan_types(open_gguf(model[0]), "Q4_K_M", pure=True)
    assert {name for name, type in types.items() if type != GGMLType.Q4_K} == {"output_norm.weight"}


def test_values_that_are_not_finite_name_their_tensor(tmp_path):
    path = tmp_path / "x.gguf"
    GGUFWriter(path, "llama").add_tensor("blk.0.attn_q.weight", np.full((2, 256), np.nan, np.float32)).write()
    file = open_gguf(path)
    with pytest.raises(
        GGUFError, match="tensor 'blk.0.attn_q.weight': cannot quantise to Q8_0: 512 values are not finite"
    ):
        write_requantized(file, tmp_path / "out.gguf", "Q8_0", plan_types(file, "Q8_0"))
    assert [p.name for p in tmp_path.iterdir()] == ["x.gguf"]
