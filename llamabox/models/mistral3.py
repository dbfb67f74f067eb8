"""Ministral 3 decoder, dense or with experts: llama with YaRN and queries that grow with the logarithm of the position.
Source: mistralai/Ministral-3 model cards; temperature: arXiv:2501.19399 as in Llama 4."""

from dataclasses import dataclass

from llamabox.kernels import KVShape, Rope
from llamabox.models.binding import OPTIONAL
from llamabox.models.moe import moe_ffn
from llamabox.models.rope import factor_tensors, long_context, original_context, rope_factors, rope_from_metadata


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
    rope_long: bool
    temperature: float
    temperature_period: int
    n_expert: int
    n_expert_used: int
    causal: bool

    @classmethod
    def from_metadata(cls, meta):
        n_embd = meta.count("embedding_length")
        n_head, n_head_kv, head_dim = meta.heads(n_embd)
        n_expert, n_expert_used = meta.experts()
        return cls(
            n_vocab=meta.n_vocab,
            n_ctx_train=meta.count("context_length"),
            n_layer=meta.n_layer(),
            n_embd=n_embd,
            n_ff=meta.count("feed_forward_length"),
            n_head=n_head,
            n_head_kv=n_head_kv,
            head_dim=head_dim,
            norm_eps=meta.real("attention.layer_norm_rms_epsilon", low=0.0),
            rope=rope_from_metadata(meta, head_dim, neox=False, yarn_keys=True),
            rope_long=long_context(meta),
            temperature=meta.real("attention.temperature_scale", 0.0),  # 0: none
            temperature_period=original_context(meta),
            n_expert=n_expert,
            n_expert_used=n_expert_used,
            causal=meta.flag("attention.causal", True),
        )

    def kv_shapes(self):
        return [KVShape(self.n_head_kv, self.head_dim, self.head_dim)] * self.n_layer


def tensors(c):
    D, Q, K, F, X = c.n_embd, c.n_head * c.head_dim, c.n_head_kv * c.head_dim, c.n_ff, c.n_expert
    yield "token_embd.weight", (c.n_vocab, D)
    yield "output_norm.weight", (D,)
    yield "output.weight", (c.n_vocab, D), "token_embd.weight"  # tied when absent
    yield from factor_tensors(c.rope.dim)
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


def attention(ops, w, c, x, angles, temperature, step, i):  # (T, D) -> (T, D)
    q, k, v = ops.linear_many(x, [w.attn_q, w.attn_k, w.attn_v], [w.attn_q_bias, w.attn_k_bias, w.attn_v_bias])
    q = ops.rope(q.reshape(-1, c.n_head, c.head_dim), angles, c.rope.neox)  # (T, H, E)
    k = ops.rope(k.reshape(-1, c.n_head_kv, c.head_dim), angles, c.rope.neox)  # (T, K, E)
    v = v.reshape(-1, c.n_head_kv, c.head_dim)  # (T, K, E)
    q, k, v = ops.tag(q, "Qcur", i), ops.tag(k, "Kcur", i), ops.tag(v, "Vcur", i)
    if c.temperature != 0.0:
        q = ops.tag(q * temperature, "Qcur_attn_temp_scaled", i)
    y = ops.attend(q, k, v, step, i, scale=c.head_dim**-0.5)  # (T, H, E)
    y = ops.tag(y.reshape(-1, c.n_head * c.head_dim), "kqv_out", i)
    return ops.tag(ops.linear(y, w.attn_output, w.attn_output_bias), "attn_out", i)


def ffn(ops, w, c, x, i):  # (T, D) -> (T, D)
    if c.n_expert > 0:
        return moe_ffn(ops, w, x, c.n_expert_used, i)
    if w.ffn_gate_bias is None and w.ffn_up_bias is None:
        y = ops.ffn_gated(x, w.ffn_gate, w.ffn_up)  # (T, F)
    else:
        gate, up = ops.linear_many(x, [w.ffn_gate, w.ffn_up], [w.ffn_gate_bias, w.ffn_up_bias])
        y = ops.silu(gate) * up
    return ops.tag(ops.linear(y, w.ffn_down, w.ffn_down_bias), "ffn_out", i)


def key_ropes(w, c):
    """What turns the keys of each layer, for LoadedModel.key_ropes."""
    return [(c.rope, rope_factors(w, c.rope_long))] * c.n_layer


def hidden(ops, w, c, tokens, step):  # (T,) -> (R, D)
    angles = ops.rope_angles(step.pos, c.rope, rope_factors(w, c.rope_long))
    temperature = ops.attention_temperature(step.pos, c.temperature, c.temperature_period)  # (T, 1, 1)
    x = ops.tag(ops.embed(w.token_embd, tokens), "embd")  # (T, D)
    for i, layer in enumerate(w.layers):
        h = ops.tag(ops.rms_norm(x, layer.attn_norm, c.norm_eps), "attn_norm", i)
        h = attention(ops, layer, c, h, angles, temperature, step, i)
        if i == c.n_layer - 1:
            h, x = ops.take_rows(h, step.out_rows), ops.take_rows(x, step.out_rows)  # (R, D): the rows that are wanted
        x = ops.tag(x + h, "ffn_inp", i)
        h = ops.tag(ops.rms_norm(x, layer.ffn_norm, c.norm_eps), "ffn_norm", i)
        x = ops.tag(x + ffn(ops, layer, c, h, i), "l_out", i)
    return ops.tag(ops.rms_norm(x, w.output_norm, c.norm_eps), "result_norm")


def forward(ops, w, c, tokens, step):  # (T,) -> logits (R, V)
    x = hidden(ops, w, c, tokens, step)  # (R, D)
    return ops.tag(ops.linear(x, w.output), "result_output")
