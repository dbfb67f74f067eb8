"""Files that are not what they say: one ModelError naming the thing, the value found and the value expected."""

import math
import re

import pytest

import llamabox
from llamabox.models import ModelError, ModelOptions

L = "llama."
CASES = {
    # what is wrong: (skeleton, metadata to change, tensors to change, the error's words)
    "no architecture": ("llama", {"general.architecture": None}, {}, "general.architecture: found None"),
    "unknown architecture": ("llama", {"general.architecture": "parrot"}, {}, "found 'parrot', expected one of bert"),
    "missing key": ("llama", {L + "embedding_length": None}, {}, "llama.embedding_length is missing"),
    "missing eps": ("llama", {L + "attention.layer_norm_rms_epsilon": None}, {}, "rms_epsilon is missing"),
    "text for a number": ("llama", {L + "block_count": "two"}, {}, "block_count: found 'two', expected a whole number"),
    "float for a count": ("llama", {L + "block_count": 2.0}, {}, "block_count: found 2.0, expected a whole number"),
    "flag for a count": ("llama", {L + "block_count": True}, {}, "block_count: found True, expected a whole number"),
    "array for a count": ("llama", {L + "attention.head_count": [4, 4]}, {}, "head_count: found array"),
    "no layers": ("llama", {L + "block_count": 0}, {}, "block_count: found 0, expected a whole number from 1"),
    "negative layers": ("llama", {L + "block_count": -1}, {}, "block_count: found -1"),
    "a billion layers": ("llama", {L + "block_count": 10**9}, {}, "found 1000000000, expected at most 2"),
    "fewer layers": ("llama", {L + "block_count": 1}, {}, "tensor blk.1.attn_norm.weight is not part of this arch"),
    "no heads": ("llama", {L + "attention.head_count": 0}, {}, "head_count: found 0"),
    "no kv heads": ("llama", {L + "attention.head_count_kv": 0}, {}, "head_count_kv: found 0"),
    "kv heads do not divide": ("llama", {L + "attention.head_count_kv": 3}, {}, "found 3, expected a divisor of att"),
    "more heads than n_embd": ("llama", {L + "attention.head_count": 256}, {}, "key_length: found 0"),
    "no head size": ("llama", {L + "attention.key_length": 0}, {}, "key_length: found 0"),
    "values of another size": ("llama", {L + "attention.value_length": 16}, {}, "value_length: found 16"),
    "odd rope": ("llama", {L + "rope.dimension_count": 31}, {}, "dimension_count: found 31, expected an even number"),
    "rope beyond the head": ("llama", {L + "rope.dimension_count": 64}, {}, "found 64, expected a whole number from 2"),
    "rope of nothing": ("llama", {L + "rope.dimension_count": 0}, {}, "dimension_count: found 0"),
    "NaN eps": ("llama", {L + "attention.layer_norm_rms_epsilon": math.nan}, {}, "found nan, expected a finite number"),
    "negative eps": ("llama", {L + "attention.layer_norm_rms_epsilon": -1.0}, {}, "found -1.0, expected a finite"),
    "infinite base": ("llama", {L + "rope.freq_base": math.inf}, {}, "freq_base: found inf"),
    "base of one": ("llama", {L + "rope.freq_base": 1.0}, {}, "freq_base: found 1.0, expected a finite number above 1"),
    "beta of zero": ("mistral3", {"mistral3.rope.scaling.yarn_beta_slow": 0.0}, {}, "yarn_beta_slow: found 0.0"),
    "base of zero": ("llama", {L + "rope.freq_base": 0.0}, {}, "freq_base: found 0.0"),
    "unknown scaling": ("llama", {L + "rope.scaling.type": "magic"}, {}, "found 'magic', expected one of none, linear"),
    "no context": ("llama", {L + "context_length": 0}, {}, "context_length: found 0"),
    "more experts used than there are": (
        "llama-moe",
        {L + "expert_used_count": 9},
        {},
        "found 9, expected 1 to expert",
    ),
    "experts without a use": ("llama-moe", {L + "expert_used_count": 0}, {}, "expert_used_count: found 0"),
    "used without experts": ("llama", {L + "expert_used_count": 2}, {}, "found 2, expected 0 to expert_count, 0"),
    "mixture without experts": (
        "qwen3moe",
        {"qwen3moe.expert_count": 0, "qwen3moe.expert_used_count": 0},
        {},
        "1 or m",
    ),
    "short window pattern": ("gemma3", {"gemma3.attention.sliding_window_pattern": [True]}, {}, "expected 4 flags"),
    "logits by nothing": ("granite", {"granite.logit_scale": 0.0}, {}, "logit_scale: found 0.0"),
    "unknown pooling": (
        "bert-mean",
        {"bert.pooling_type": 9},
        {},
        "bert.pooling_type: found 9, expected a whole number",
    ),
    "no token types": ("bert", {"tokenizer.ggml.token_type_count": None}, {}, "key tokenizer.ggml.token_type_count is"),
    "missing tensor": ("llama", {}, {"blk.1.ffn_up.weight": None}, r"blk.1.ffn_up.weight is missing, expected with"),
    "unknown tensor": ("llama", {}, {"blk.0.attn_sinks.weight": [4]}, "blk.0.attn_sinks.weight is not part of"),
    "transposed": ("llama", {}, {"blk.0.ffn_up.weight": [192, 128]}, "found shape (128, 192), expected (192, 128)"),
    "wrong rank": ("llama", {}, {"blk.0.attn_norm.weight": [64, 2]}, "found shape (2, 64), expected (128,)"),
    "flat embedding": ("llama", {}, {"token_embd.weight": [128]}, "found shape (128,), expected two axes"),
    "no embedding": ("llama", {}, {"token_embd.weight": None}, "token_embd.weight is missing"),
    "wrong width": (
        "llama",
        {L + "embedding_length": 256},
        {},
        "token_embd.weight: found shape (128, 128), expected (",
    ),
    "huge width": ("llama", {L + "embedding_length": 2**31 - 4}, {}, "token_embd.weight: found shape (128, 128)"),
    "wrong ff": ("llama", {L + "feed_forward_length": 100}, {}, "found shape (192, 128), expected (100, 128)"),
    "factors of another rope": ("llama-rope-freqs", {}, {"rope_freqs.weight": [8]}, "found shape (8,), expected (16,)"),
    "scale of another size": ("llama", {}, {"blk.0.attn_q.scale": [3]}, "blk.0.attn_q.scale: found shape (3,)"),
    "fused rows too few": (
        "llama",
        {},
        {"blk.0.attn_q.weight": None, "blk.0.attn_qkv.weight": [128, 100]},
        "does not hold blk.0.attn_q.weight (128, 128)",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_a_wrong_file_is_refused(edited, what):
    name, kv, tensors, message = CASES[what]
    path = edited(name, kv, tensors)
    with pytest.raises(ModelError, match=re.escape(message)):
        llamabox.load(path, backend="numpy")


OPTIONS = {
    "context": ({"n_ctx_seq": 0}, "option n_ctx_seq: found 0, expected a whole number from 1"),
    "half a context": ({"n_ctx_seq": 0.5}, "option n_ctx_seq: found 0.5"),
    "scaling": ({"rope_scaling": "magic"}, "option rope_scaling: found 'magic', expected one of none"),
    "base": ({"rope_freq_base": -5.0}, "option rope_freq_base: found -5.0"),
    "scale": ({"rope_freq_scale": math.nan}, "option rope_freq_scale: found nan"),
    "yarn": ({"yarn_beta_fast": -1.0}, "option yarn_beta_fast: found -1.0"),
}


@pytest.mark.parametrize("what", OPTIONS)
def test_a_wrong_option_is_refused(what):
    fields, message = OPTIONS[what]
    with pytest.raises(ModelError, match=re.escape(message)):
        ModelOptions(**fields)


def test_keys_that_nobody_reads_are_logged(edited, caplog):
    path = edited("llama", {"llama.favourite_colour": "teal", "other.key": 1})
    with caplog.at_level("DEBUG", logger="llamabox.models.loading"):
        llamabox.load(path, backend="numpy")
    assert [record.getMessage() for record in caplog.records] == [
        "metadata keys that llama does not use: llama.vocab_size, llama.favourite_colour"
    ]
