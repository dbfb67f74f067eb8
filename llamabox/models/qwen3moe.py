"""Qwen3 mixture of experts: qwen3 with experts in place of every feed-forward network. Source: arXiv:2505.09388."""

from dataclasses import dataclass

from llamabox.kernels import KVShape, Rope
from llamabox.models.binding import OPTIONAL
from llamabox.models.moe import moe_ffn
from llamabox.models.rope import rope_from_metadata


@dataclass(frozen=True)
class Config:
    n_vocab: int
    n_ctx_train: int
    n_layer: int
    n_embd: int
    n_ff_exp: int
    n_head: int
    n_head_kv: int
    head_dim: int
    norm_eps: float
    rope: Rope
    n_expert: int
    n_expert_used: int
    causal: bool

    @classmethod
    def from_metadata(cls, meta):
        n_embd = meta.count("embedding_length")
        n_head, n_head_kv, head_dim = meta.heads(n_embd)
        n_expert, n_expert_used = meta.experts()
        if n_expert == 0:
            meta.fail("expert_count", n_expert, "1 or more")
        n_ff_exp = meta.count("expert_feed_forward_length", 0, low=0)
        return cls(
            n_vocab=meta.n_vocab,
            n_ctx_train=meta.count("context_length"),
            n_layer=meta.n_layer(),
            n_embd=n_embd,
            n_ff_exp=n_ff_exp if n_ff_exp > 0 else meta.count("feed_forward_length") // n_expert_used,
            n_head=n_head,
            n_head_kv=n_head_kv,
            head_dim=head_dim,
            norm_eps=meta.real("attention.layer_norm_rms_epsilon", low=0.0),
            rope=rope_from_metadata(meta, head_dim, neox=True),
            n_expert=n_expert,
            n_expert_used=n_expert_used,
            causal=meta.flag("attention.causal", True),
        )

    def kv_shapes(self):
        return [KVShape(self.n_head_kv, self.head_dim, self.head_dim)] * self.n_layer


def tensors(c):
    D, E, Q, K, F, X = c.n_embd, c.head_dim, c.n_head * c.head_dim, c.n_head_kv * c.head_dim, c.n_ff_exp, c.n_expert
    yield "token_embd.weight", (c.n_vocab, D)
    yield "output_norm.weight", (D,)
    yield "output.weight", (c.n_vocab, D), "token_embd.weight"  # tied when absent
    for i in range(c.n_layer):
        yield f"blk.{i}.attn_norm.weight", (D,)
        for name, rows in (("q", Q), ("k", K), ("v", K)):
            yield f"blk.{i}.attn_{name}.weight", (rows, D)
            yield f"blk.{i}.attn_{name}.bias", (rows,), OPTIONAL
        yield f"blk.{i}.attn_q_norm.weight", (E,)
        yield f"blk.{i}.attn_k_norm.weight", (E,)
        yield f"blk.{i}.attn_output.weight", (D, Q)
        yield f"blk.{i}.ffn_norm.weight", (D,)
        yield f"blk.{i}.ffn_gate_inp.weight", (X, D)
        yield f"blk.{i}.ffn_gate_exps.weight", (X, F, D)
        yield f"blk.{i}.ffn_up_exps.weight", (X, F, D)
        yield f"blk.{i}.ffn_down_exps.weight", (X, D, F)


def attention(ops, w, c, x, angles, step, i):  # (T, D) -> (T, D)
    q, k, v = ops.linear_many(x, [w.attn_q, w.attn_k, w.attn_v], [w.attn_q_bias, w.attn_k_bias, w.attn_v_bias])
    q = ops.rms_norm(q.reshape(-1, c.n_head, c.head_dim), w.attn_q_norm, c.norm_eps)  # (T, H, E)
    k = ops.rms_norm(k.reshape(-1, c.n_head_kv, c.head_dim), w.attn_k_norm, c.norm_eps)  # (T, K, E)
    q, k = ops.tag(q, "Qcur_normed", i), ops.tag(k, "Kcur_normed", i)
    q = ops.tag(ops.rope(q, angles, c.rope.neox), "Qcur", i)
    k = ops.tag(ops.rope(k, angles, c.rope.neox), "Kcur", i)
    v = ops.tag(v.reshape(-1, c.n_head_kv, c.head_dim), "Vcur", i)  # (T, K, E)
    y = ops.attend(q, k, v, step, i, scale=c.head_dim**-0.5)  # (T, H, E)
    y = ops.tag(y.reshape(-1, c.n_head * c.head_dim), "kqv_out", i)
    return ops.linear(y, w.attn_output)


def key_ropes(w, c):
    """What turns the keys of each layer, for LoadedModel.key_ropes."""
    return [(c.rope, None)] * c.n_layer


def hidden(ops, w, c, tokens, step):  # (T,) -> (R, D)
    angles = ops.rope_angles(step.pos, c.rope)
    x = ops.tag(ops.embed(w.token_embd, tokens), "embd")  # (T, D)
    for i, layer in enumerate(w.layers):
        h = ops.tag(ops.rms_norm(x, layer.attn_norm, c.norm_eps), "attn_norm", i)
        h = attention(ops, layer, c, h, angles, step, i)
        if i == c.n_layer - 1:
            h, x = ops.take_rows(h, step.out_rows), ops.take_rows(x, step.out_rows)  # (R, D): the rows that are wanted
        x = ops.tag(x + h, "ffn_inp", i)
        h = ops.tag(ops.rms_norm(x, layer.ffn_norm, c.norm_eps), "ffn_norm", i)
        x = ops.tag(x + moe_ffn(ops, layer, h, c.n_expert_used, i), "l_out", i)
    return ops.tag(ops.rms_norm(x, w.output_norm, c.norm_eps), "result_norm")


def forward(ops, w, c, tokens, step):  # (T,) -> logits (R, V)
    x = hidden(ops, w, c, tokens, step)  # (R, D)
    return ops.tag(ops.linear(x, w.output), "result_output")
