"""What each Hugging Face architecture needs to become GGUF: its keys, its tensor names, how some tensors change."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llamabox.gguf.convert import names
from llamabox.gguf.convert.checkpoint import Checkpoint, ConvertError
from llamabox.gguf.convert.rope import (
    llama3_factors,
    longrope_magnitude,
    longrope_original,
    rope_keys,
    rope_parameters,
)

Keys = dict[str, Any]
Change = Callable[[str, np.ndarray, dict], np.ndarray]


@dataclass(frozen=True)
class Architecture:
    """arch: general.architecture; keys: config -> metadata; change: (GGUF name, values, config) -> values."""

    arch: str
    keys: Callable[[Checkpoint], Keys]
    change: Change = lambda name, values, config: values
    extra: Callable[[dict], dict[str, np.ndarray]] = lambda config: {}
    top: dict[str, str] = field(default_factory=lambda: names.DECODER)
    layer: dict[str, str] = field(default_factory=lambda: names.DECODER_LAYER)
    unused: tuple[str, ...] = ()


def head_dim(config: dict) -> int:
    value = config.get("head_dim")
    return value if value is not None else config["hidden_size"] // config["num_attention_heads"]


def decoder_keys(checkpoint: Checkpoint) -> Keys:
    """The keys that all decoders share."""
    c = checkpoint.config
    keys = {
        "context_length": c["max_position_embeddings"],
        "embedding_length": c["hidden_size"],
        "block_count": c["num_hidden_layers"],
        "feed_forward_length": c["intermediate_size"],
        "attention.head_count": c["num_attention_heads"],
        "attention.head_count_kv": c.get("num_key_value_heads") or c["num_attention_heads"],
        "attention.key_length": head_dim(c),
        "attention.value_length": head_dim(c),
        "rope.dimension_count": head_dim(c),
        "vocab_size": c["vocab_size"],
        **rope_keys(rope_parameters(c)),
    }
    if "rms_norm_eps" in c:
        keys["attention.layer_norm_rms_epsilon"] = float(c["rms_norm_eps"])
    return keys


def llama_keys(checkpoint: Checkpoint) -> Keys:
    c = checkpoint.config
    experts = c.get("num_local_experts") or 0
    if not experts:
        return decoder_keys(checkpoint)
    return decoder_keys(checkpoint) | {"expert_count": experts, "expert_used_count": c["num_experts_per_tok"]}


def qwen3moe_keys(checkpoint: Checkpoint) -> Keys:
    c = checkpoint.config
    if c.get("mlp_only_layers") or c.get("decoder_sparse_step", 1) != 1:
        raise ConvertError("config.json: found dense layers between expert layers, expected experts in every layer")
    if not c.get("norm_topk_prob", False):
        raise ConvertError("config.json: found norm_topk_prob false, expected true: qwen3moe files always normalise")
    return decoder_keys(checkpoint) | {
        "expert_count": c.get("num_experts", c.get("num_local_experts")),
        "expert_used_count": c["num_experts_per_tok"],
        "expert_feed_forward_length": c["moe_intermediate_size"],
    }


def gemma2_keys(checkpoint: Checkpoint) -> Keys:
    c = checkpoint.config
    _check_query_scale(c)
    return decoder_keys(checkpoint) | {
        "attn_logit_softcapping": float(c["attn_logit_softcapping"]),
        "final_logit_softcapping": float(c["final_logit_softcapping"]),
        "attention.sliding_window": c["sliding_window"],
    }


def gemma3_keys(checkpoint: Checkpoint) -> Keys:
    c = checkpoint.config
    _check_query_scale(c)
    keys = decoder_keys(checkpoint) | {"attention.sliding_window": c["sliding_window"]}
    if c.get("final_logit_softcapping"):
        keys["final_logit_softcapping"] = float(c["final_logit_softcapping"])
    local = rope_parameters(c).get("local")
    if local is not None:
        keys["rope.freq_base_swa"] = float(local["rope_theta"])
    keys["attention.sliding_window_pattern"] = _window_period(c)
    return keys


def _window_period(c: dict) -> int:
    """Every how many layers one sees the whole context."""
    if c.get("layer_types") is None:
        return c.get("sliding_window_pattern", 6)
    full = [i for i, kind in enumerate(c["layer_types"]) if kind == "full_attention"]
    period = full[0] + 1 if full else c["num_hidden_layers"] + 1
    expected = [
        "full_attention" if (i + 1) % period == 0 else "sliding_attention" for i in range(len(c["layer_types"]))
    ]
    if c["layer_types"] != expected:
        raise ConvertError(f"config.json: layer_types {c['layer_types']}, expected one full layer every {period}")
    return period


def _check_query_scale(c: dict) -> None:
    """GGUF has no key for it: readers divide by head_dim, or for the 27B models by hidden_size / heads."""
    wide = c["hidden_size"] // c["num_attention_heads"]
    if c.get("query_pre_attn_scalar", head_dim(c)) not in (head_dim(c), wide):
        raise ConvertError(f"config.json: query_pre_attn_scalar {c['query_pre_attn_scalar']}, expected {head_dim(c)}")


def phi3_keys(checkpoint: Checkpoint) -> Keys:
    c, rope = checkpoint.config, rope_parameters(checkpoint.config)
    keys = decoder_keys(checkpoint)
    keys["rope.dimension_count"] = int(
        head_dim(c) * rope.get("partial_rotary_factor", c.get("partial_rotary_factor", 1.0))
    )
    keys["attention.sliding_window"] = c.get("sliding_window") or 0
    keys["rope.scaling.original_context_length"] = longrope_original(rope, c)
    if rope["rope_type"] in ("longrope", "su"):
        keys["rope.scaling.attn_factor"] = longrope_magnitude(rope, c)
    return keys


def phi3_factors(config: dict) -> dict[str, np.ndarray]:
    rope = rope_parameters(config)
    if rope["rope_type"] not in ("longrope", "su"):
        return {}
    return {f"rope_factors_{kind}.weight": np.array(rope[f"{kind}_factor"], np.float32) for kind in ("long", "short")}


def granite_keys(checkpoint: Checkpoint) -> Keys:
    c = checkpoint.config
    return decoder_keys(checkpoint) | {
        "attention.scale": float(c["attention_multiplier"]),
        "embedding_scale": float(c["embedding_multiplier"]),
        "residual_scale": float(c["residual_multiplier"]),
        "logit_scale": float(c["logits_scaling"]),
    }


def mistral3_keys(checkpoint: Checkpoint) -> Keys:
    rope = rope_parameters(checkpoint.config)
    keys = decoder_keys(checkpoint)
    if rope.get("mscale_all_dim") is not None:
        keys["rope.scaling.yarn_log_multiplier"] = float(rope["mscale_all_dim"])
    if rope.get("llama_4_scaling_beta") is not None:
        keys["attention.temperature_scale"] = float(rope["llama_4_scaling_beta"])
    return keys


def command_r_keys(checkpoint: Checkpoint) -> Keys:
    c = checkpoint.config
    return decoder_keys(checkpoint) | {
        "attention.layer_norm_epsilon": float(c["layer_norm_eps"]),
        "logit_scale": float(c["logit_scale"]),
        "rope.scaling.type": "none",
        "context_length": c.get("model_max_length", c["max_position_embeddings"]),
    }


POOLING = {"mean_tokens": 1, "cls_token": 2, "lasttoken": 3}


def bert_keys(checkpoint: Checkpoint) -> Keys:
    c = checkpoint.config
    keys = {
        "context_length": c["max_position_embeddings"],
        "embedding_length": c["hidden_size"],
        "block_count": c["num_hidden_layers"],
        "feed_forward_length": c["intermediate_size"],
        "attention.head_count": c["num_attention_heads"],
        "attention.head_count_kv": c["num_attention_heads"],
        "attention.layer_norm_epsilon": float(c["layer_norm_eps"]),
        "attention.causal": False,
        "vocab_size": c["vocab_size"],
    }
    if c.get("hidden_act", "gelu") != "gelu" or c.get("position_embedding_type", "absolute") != "absolute":
        raise ConvertError("config.json: expected hidden_act gelu and absolute position embeddings")
    pooling = checkpoint.json("1_Pooling/config.json")
    if pooling is not None:
        keys["pooling_type"] = _pooling_type(pooling)
    return keys


def bert_rank_keys(checkpoint: Checkpoint) -> Keys:
    """A classifier over the first token: pooling type rank."""
    labels = checkpoint.config.get("id2label") or {}
    names = [labels[i] for i in sorted(labels, key=int)]
    return bert_keys(checkpoint) | {"pooling_type": 4, **({"classifier.output_labels": names} if names else {})}


def _pooling_type(pooling: dict) -> int:
    chosen = [type for name, type in POOLING.items() if pooling.get(f"pooling_mode_{name}")]
    if len(chosen) != 1:
        raise ConvertError("1_Pooling/config.json: found no pooling mode that GGUF knows, expected mean, cls or last")
    return chosen[0]


def interleave(name: str, values: np.ndarray, config: dict) -> np.ndarray:
    """q and k rows: Hugging Face turns pairs (i, i + E/2) of a head, these GGUF files pairs (2i, 2i + 1)."""
    part = name.split(".")[2] if name.startswith("blk.") else ""
    if part not in ("attn_q", "attn_k"):
        return values
    heads = config["num_attention_heads"]
    if part == "attn_k":
        heads = config.get("num_key_value_heads") or heads
    pairs = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)


def one_plus_norm(name: str, values: np.ndarray, config: dict) -> np.ndarray:
    """Gemma's norms multiply by 1 + weight; GGUF holds the sum."""
    return values + 1 if "norm" in name else values


def llama3_tensor(config: dict) -> dict[str, np.ndarray]:
    rope = rope_parameters(config)
    return {"rope_freqs.weight": llama3_factors(rope, head_dim(config))} if rope["rope_type"] == "llama3" else {}


LLAMA = Architecture("llama", llama_keys, interleave, llama3_tensor)
BERT = Architecture("bert", bert_keys, top=names.BERT, layer=names.BERT_LAYER, unused=names.BERT_UNUSED)
BERT_RANK = Architecture("bert", bert_rank_keys, top=names.BERT | names.BERT_HEAD, layer=names.BERT_LAYER)
GEMMA3 = Architecture("gemma3", gemma3_keys, one_plus_norm, layer=names.GEMMA_LAYER)
MISTRAL3 = Architecture("mistral3", mistral3_keys, interleave)

# config.json "architectures"[0] -> how to convert it
ARCHITECTURES = {
    "LlamaForCausalLM": LLAMA,
    "MistralForCausalLM": LLAMA,
    "MixtralForCausalLM": LLAMA,
    "Qwen2ForCausalLM": Architecture("qwen2", decoder_keys),
    "Qwen3ForCausalLM": Architecture("qwen3", decoder_keys),
    "Qwen3MoeForCausalLM": Architecture("qwen3moe", qwen3moe_keys),
    "Gemma2ForCausalLM": Architecture("gemma2", gemma2_keys, one_plus_norm, layer=names.GEMMA_LAYER),
    "Gemma3ForCausalLM": GEMMA3,
    "Phi3ForCausalLM": Architecture("phi3", phi3_keys, extra=phi3_factors),
    "GraniteForCausalLM": Architecture("granite", granite_keys, interleave),
    "Ministral3ForCausalLM": MISTRAL3,
    "CohereForCausalLM": Architecture("command-r", command_r_keys),
    "BertModel": BERT,
    "BertForMaskedLM": BERT,
    "BertForSequenceClassification": BERT_RANK,
}
