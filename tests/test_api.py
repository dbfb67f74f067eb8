"""The Python face: load, logits, embed, and what they refuse."""

import sys
from pathlib import Path

import numpy as np
import pytest

import llamabox
from llamabox.models import ModelError

sys.path.append(str(Path(__file__).resolve().parents[1] / "conformance"))
import logits  # noqa: E402

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.fixture(scope="module")
def path_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archs")
    return lambda name: logits.open_case(name, folder).path


@pytest.fixture(scope="module")
def llama(path_of):
    return llamabox.load(path_of("llama"), backend="numpy", cache_type_k="f32", cache_type_v="f32")


def test_a_file_without_a_vocabulary_has_no_tokenizer(llama):
    assert llama.tokenizer is None
    assert llama.n_ctx == 256


def test_logits_have_a_row_a_token(llama):
    found = llama.logits(TOKENS)
    assert found.shape == (len(TOKENS), 128) and found.dtype == np.float32
    assert np.array_equal(llama.logits(np.array(TOKENS)), found)
    assert logits.nmse(found[:3], llama.logits(TOKENS[:3])) < 1e-11


def test_long_prompts_run_in_chunks(llama, monkeypatch):
    tokens = (np.arange(200) * 7) % 128
    whole = llama.logits(tokens)
    monkeypatch.setattr("llamabox.api.PREFILL_ROWS", 48)
    assert logits.nmse(whole, llama.logits(tokens)) < 1e-11


def test_the_cache_types_matter(path_of, llama):
    half = llamabox.load(path_of("llama"), backend="numpy").logits(TOKENS)
    error = logits.nmse(llama.logits(TOKENS), half)
    assert 0 < error < 1e-5
    rough = llamabox.load(path_of("llama"), backend="numpy", cache_type_k="q4_0", cache_type_v="q4_0").logits(TOKENS)
    assert logits.nmse(llama.logits(TOKENS), rough) > 10 * error


def test_a_cache_type_that_does_not_fit_the_heads_is_refused(path_of):
    with pytest.raises(ModelError, match="cache_type_v: found q5_1, which stores 32 values at a time, and heads of 48"):
        llamabox.load(path_of("qwen3"), backend="numpy", cache_type_v="q5_1")


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_pooling(path_of, name):
    model = llamabox.load(path_of(name), backend="numpy")
    rows = model.embed(TOKENS, "none")
    assert rows.shape == (len(TOKENS), 128) and rows.dtype == np.float32
    assert np.allclose(model.embed(TOKENS, "mean"), rows.mean(axis=0), atol=1e-6)
    assert np.array_equal(model.embed(TOKENS, "cls"), rows[0])
    assert np.array_equal(model.embed(TOKENS, "last"), rows[-1])
    assert np.array_equal(model.embed(TOKENS), rows)  # these files name no pooling


@pytest.mark.parametrize("name,pooling", [("bert-mean", "mean"), ("bert-cls", "cls"), ("qwen3-embedding", "last")])
def test_the_file_s_own_pooling(path_of, name, pooling):
    model = llamabox.load(path_of(name), backend="numpy")
    assert np.array_equal(model.embed(TOKENS), model.embed(TOKENS, pooling))


def test_attention_without_a_mask(path_of, llama):
    both = llamabox.load(path_of("llama"), backend="numpy", overrides=["llama.attention.causal=bool:false"])
    assert not both.model.causal
    changed = [*TOKENS[:-1], 77]
    assert np.array_equal(llama.embed(TOKENS, "none")[0], llama.embed(changed, "none")[0])
    assert not np.allclose(both.embed(TOKENS, "none")[0], both.embed(changed, "none")[0])


def test_rank_scores(path_of):
    assert llamabox.load(path_of("bert-rank"), backend="numpy").embed(TOKENS).shape == (1,)
    labels = llamabox.load(path_of("qwen3-rerank"), backend="numpy").embed(TOKENS)
    assert labels.shape == (2,) and abs(labels.sum() - 1) < 1e-6


REFUSED = {
    "no ids": (lambda m: m.logits([]), r"ids: found shape \(0,\)"),
    "ids in two axes": (lambda m: m.logits([[1, 2]]), r"ids: found shape \(1, 2\)"),
    "negative id": (lambda m: m.logits([1, -1]), "ids: found -1, expected ids from 0 to 127"),
    "id beyond the vocabulary": (lambda m: m.logits([128]), "ids: found 128, expected ids from 0 to 127"),
    "huge id": (lambda m: m.logits([2**70]), "ids: found .*, expected token ids"),
    "text": (lambda m: m.logits("abc"), r"ids: found shape \(\)"),
    "fractions": (lambda m: m.logits([1.5]), r"ids: found \[1.5\], expected token ids"),
    "more than the context": (lambda m: m.logits([1] * 257), "ids: found 257 tokens, the context holds 256"),
    "encoder ids": (lambda m: m.logits([1], encoder_ids=[1]), "encoder_ids must be None"),
    "unknown pooling": (lambda m: m.embed([1], "max"), "pooling: found 'max', expected one of none, mean, cls"),
    "rank of a model without": (lambda m: m.embed([1], "rank"), "no classifier"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused(llama, what):
    call, message = REFUSED[what]
    with pytest.raises(ModelError, match=message):
        call(llama)


def test_an_encoder_has_no_logits(path_of):
    with pytest.raises(ModelError, match="bert is an encoder; use embed"):
        llamabox.load(path_of("bert"), backend="numpy").logits(TOKENS)


def test_learned_positions_end_the_context(path_of):
    assert llamabox.load(path_of("bert"), backend="numpy", n_ctx=1000).n_ctx == 256


def test_unknown_options_are_refused(path_of):
    with pytest.raises(TypeError, match="flavour"):
        llamabox.load(path_of("llama"), backend="numpy", flavour="vanilla")
    with pytest.raises(ValueError, match="backend: found 'abacus', expected one of numpy, cpu"):
        llamabox.load(path_of("llama"), backend="abacus")
    with pytest.raises(ValueError, match="cache_type_k: found 'f8'"):
        llamabox.load(path_of("llama"), backend="numpy", cache_type_k="f8")
    with pytest.raises(ModelError, match="option n_ctx_seq: found 0"):
        llamabox.load(path_of("llama"), backend="numpy", n_ctx=0)


def test_rope_options_change_the_maths(path_of, llama):
    plain = llama.logits(TOKENS)
    yarn = {"rope_scaling": "yarn", "yarn_orig_ctx": 4, "rope_freq_scale": 0.25}
    for options in ({"rope_freq_base": 9000.0}, {"rope_freq_scale": 0.5}, yarn, {**yarn, "yarn_ext_factor": 0.5}):
        other = llamabox.load(path_of("llama"), backend="numpy", cache_type_k="f32", cache_type_v="f32", **options)
        assert logits.nmse(plain, other.logits(TOKENS)) > 1e-6
    scaled = llamabox.load(path_of("llama-rope-linear"), backend="numpy", rope_scaling="none")
    unscaled = llamabox.load(path_of("llama-rope-linear"), backend="numpy", rope_freq_scale=1.0)
    assert np.array_equal(scaled.logits(TOKENS), unscaled.logits(TOKENS))


def test_a_longer_context_takes_the_long_factors(path_of):
    short = llamabox.load(path_of("phi3"), backend="numpy", n_ctx=256).logits(TOKENS)
    long = llamabox.load(path_of("phi3"), backend="numpy", n_ctx=257).logits(TOKENS)
    assert logits.nmse(short, long) > 1e-6
