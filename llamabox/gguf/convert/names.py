"""Hugging Face tensor names -> GGUF names, for decoders and BERT. A name that no table has is an error."""

import re

DECODER = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "lm_head": "output",
}
DECODER_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate_up_proj": "ffn_up",  # phi3: gate and up in one
    "mlp.gate": "ffn_gate_inp",
    "block_sparse_moe.gate": "ffn_gate_inp",
}
GEMMA_LAYER = DECODER_LAYER | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
EXPERT = {  # (.experts.)3(.)w1
    "w1": "ffn_gate_exps",
    "w3": "ffn_up_exps",
    "w2": "ffn_down_exps",
    "gate_proj": "ffn_gate_exps",
    "up_proj": "ffn_up_exps",
    "down_proj": "ffn_down_exps",
}
BERT = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
BERT_HEAD = {
    "pooler.dense": "cls",
    "classifier": "cls.output",
}
BERT_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
BERT_UNUSED = ("pooler.", "cls.", "embeddings.position_ids")  # heads of its training; llama.cpp leaves them out too

_LAYER = re.compile(r"(?:encoder\.layer|layers)\.(\d+)\.(.+)")
_EXPERT = re.compile(r"(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)")
_PREFIX = re.compile(r"^(?:model\.language_model\.|language_model\.model\.|language_model\.|model\.|bert\.)+")


def split_name(name: str) -> tuple[str, str]:
    """("model.layers.0.mlp.up_proj", "weight"); a name without such an ending counts as a weight."""
    base, _, last = name.rpartition(".")
    renamed = {"gamma": "weight", "beta": "bias"}.get(last, last)
    return (base, renamed) if renamed in ("weight", "bias") else (name, "weight")


def gguf_name(name: str, top: dict[str, str], layer: dict[str, str]) -> tuple[str, int | None] | None:
    """("blk.0.ffn_up.weight", None); for an expert's matrix ("blk.0.ffn_up_exps.weight", its number); None: unknown."""
    base, kind = split_name(_PREFIX.sub("", name))
    found = _LAYER.fullmatch(base)
    if found is None:
        return (f"{top[base]}.{kind}", None) if base in top else None
    i, rest = found.groups()
    expert = _EXPERT.fullmatch(rest)
    if expert is not None and expert.group(2) in EXPERT:
        return f"blk.{i}.{EXPERT[expert.group(2)]}.{kind}", int(expert.group(1))
    return (f"blk.{i}.{layer[rest]}.{kind}", None) if rest in layer else None
