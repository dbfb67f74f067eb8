"""Llama decoder (Llama 1-3, Mistral, Mixtral and kin): RMS norm, RoPE, grouped-query attention, SwiGLU or experts.
Source: arXiv:2302.13971, 2307.09288, 2401.04088; rope_freqs: Llama 3.1's per-pair frequency divisors."""

from dataclasses import dataclass

from llamabox.kernels import KVShape, Rope
from llamabox.models.loading import OPTIONAL
from llamabox.models.moe import moe_ffn
from llamabox.models.rope import rope_from_metadata


@dataclass(frozen=True)
class Config:
    n_vocab: int
    n_ctx_train: int
    n_layer: int
    n_embd: int
    n_ff: int
    n_head: int
    n_head_kv: int
    head_dim: int
    norm_eps: float
    rope: Rope
    attn_scale: float
    n_expert: int
    n_expert_used: int
    expert_weights_scale: float

    @classmethod
    def from_metadata(cls, meta):
        n_embd, n_head = meta["embedding_length"], meta["attention.head_count"]
        head_dim = meta.get("attention.key_length", n_embd // n_head)
        return cls(
            n_vocab=meta.n_vocab,
            n_ctx_train=meta["context_length"],
            n_layer=meta["block_count"],
            n_embd=n_embd,
            n_ff=meta["feed_forward_length"],
            n_head=n_head,
            n_head_kv=meta.get("attention.head_count_kv", n_head),
            head_dim=head_dim,
            norm_eps=meta["attention.layer_norm_rms_epsilon"],
            rope=rope_from_metadata(meta, meta.get("rope.dimension_count", head_dim), neox=False),
            attn_scale=meta.get("attention.scale", head_dim**-0.5),
            n_expert=meta.get("expert_count", 0),
            n_expert_used=meta.get("expert_used_count", 0),
            expert_weights_scale=meta.get("expert_weights_scale", 1.0),
        )

    def kv_shapes(self):
        return [KVShape(self.n_head_kv, self.head_dim, self.head_dim)] * self.n_layer


def tensors(c):
    D, Q, K, F, X = c.n_embd, c.n_head * c.head_dim, c.n_head_kv * c.head_dim, c.n_ff, c.n_expert
    yield "token_embd.weight", (c.n_vocab, D)
    yield "output_norm.weight", (D,)
    yield "output.weight", (c.n_vocab, D), "token_embd.weight"  # tied when absent
    yield "rope_freqs.weight", (c.rope.dim // 2,), OPTIONAL
    for i in range(c.n_layer):
        yield f"blk.{i}.attn_norm.weight", (D,)
        for name, rows, columns in (("q", Q, D), ("k", K, D), ("v", K, D), ("output", D, Q)):
            yield f"blk.{i}.attn_{name}.weight", (rows, columns)
            yield f"blk.{i}.attn_{name}.bias", (rows,), OPTIONAL
        yield f"blk.{i}.ffn_norm.weight", (D,)
        if X == 0:
            for name, rows, columns in (("gate", F, D), ("up", F, D), ("down", D, F)):
                yield f"blk.{i}.ffn_{name}.weight", (rows, columns)
                yield f"blk.{i}.ffn_{name}.bias", (rows,), OPTIONAL
        else:
            yield f"blk.{i}.ffn_gate_inp.weight", (X, D)
            yield f"blk.{i}.ffn_gate_exps.weight", (X, F, D)
            yield f"blk.{i}.ffn_up_exps.weight", (X, F, D)
            yield f"blk.{i}.ffn_down_exps.weight", (X, D, F)


def attention(ops, w, c, x, angles, step, i):  # (T, D) -> (T, D)
    q, k, v = ops.linear_many(x, [w.attn_q, w.attn_k, w.attn_v], [w.attn_q_bias, w.attn_k_bias, w.attn_v_bias])
    q = ops.rope(q.reshape(-1, c.n_head, c.head_dim), angles, c.rope.neox)  # (T, H, E)
    k = ops.rope(k.reshape(-1, c.n_head_kv, c.head_dim), angles, c.rope.neox)  # (T, K, E)
    v = v.reshape(-1, c.n_head_kv, c.head_dim)  # (T, K, E)
    y = ops.attend(q, k, v, step, i, scale=c.attn_scale)  # (T, H, E)
    return ops.linear(y.reshape(-1, c.n_head * c.head_dim), w.attn_output, w.attn_output_bias)


def ffn(ops, w, c, x):  # (T, D) -> (T, D)
    if c.n_expert > 0:
        return moe_ffn(ops, w, x, c.n_expert_used, scale=c.expert_weights_scale)
    if w.ffn_gate_bias is None and w.ffn_up_bias is None:
        y = ops.ffn_gated(x, w.ffn_gate, w.ffn_up)  # (T, F)
    else:
        gate, up = ops.linear_many(x, [w.ffn_gate, w.ffn_up], [w.ffn_gate_bias, w.ffn_up_bias])
        y = ops.silu(gate) * up
    return ops.linear(y, w.ffn_down, w.ffn_down_bias)


def forward(ops, w, c, tokens, step):  # (T,) -> logits (R, V)
    angles = ops.rope_angles(step.pos, c.rope, w.rope_freqs)
    x = ops.tag(ops.embed(w.token_embd, tokens), "inp_embd")  # (T, D)
    for i, layer in enumerate(w.layers):
        h = ops.tag(ops.rms_norm(x, layer.attn_norm, c.norm_eps), "attn_norm", i)
        x = x + ops.tag(attention(ops, layer, c, h, angles, step, i), "attn_out", i)
        if i == c.n_layer - 1:
            x = ops.take_rows(x, step.out_rows)  # (R, D): only the rows that want logits
        h = ops.tag(ops.rms_norm(x, layer.ffn_norm, c.norm_eps), "ffn_norm", i)
        x = ops.tag(x + ffn(ops, layer, c, h), "l_out", i)
    x = ops.tag(ops.rms_norm(x, w.output_norm, c.norm_eps), "result_norm")
    return ops.tag(ops.linear(x, w.output), "result_output")
