"""nomic-bert-moe encoder (nomic-embed-text-v2): nomic-bert with a plain GELU network, in some layers one of several
experts for each token. Source: arXiv:2502.07972."""

from dataclasses import dataclass

from llamabox.kernels import Rope
from llamabox.models.binding import OPTIONAL
from llamabox.models.rope import rope_from_metadata


@dataclass(frozen=True)
class Config:
    n_vocab: int
    n_ctx_train: int
    n_token_types: int
    n_layer: int
    n_embd: int
    n_ff: int
    n_head: int
    n_head_kv: int
    head_dim: int
    norm_eps: float
    rope: Rope
    causal: bool
    n_expert: int
    n_expert_used: int
    moe_period: int

    @classmethod
    def from_metadata(cls, meta):
        n_embd = meta.count("embedding_length")
        n_head, n_head_kv, head_dim = meta.heads(n_embd)
        n_expert, n_expert_used = meta.experts()
        return cls(
            n_vocab=meta.n_vocab,
            n_ctx_train=meta.count("context_length"),
            n_token_types=meta.count("tokenizer.ggml.token_type_count"),
            n_layer=meta.n_layer(),
            n_embd=n_embd,
            n_ff=meta.count("feed_forward_length"),
            n_head=n_head,
            n_head_kv=n_head_kv,
            head_dim=head_dim,
            norm_eps=meta.real("attention.layer_norm_epsilon", low=0.0),
            rope=rope_from_metadata(meta, head_dim, neox=True),
            causal=meta.flag("attention.causal", False),
            n_expert=n_expert,
            n_expert_used=n_expert_used,
            moe_period=meta.count("moe_every_n_layers", low=0),  # 0: no layer has experts
        )

    def kv_shapes(self):
        return []  # no cache: a sequence is one batch

    def has_experts(self, i):
        return self.moe_period > 0 and i % self.moe_period == 1


def tensors(c):
    D, Q, K, F, X = c.n_embd, c.n_head * c.head_dim, c.n_head_kv * c.head_dim, c.n_ff, c.n_expert
    yield "token_embd.weight", (c.n_vocab, D)
    yield "token_types.weight", (c.n_token_types, D), OPTIONAL
    yield "token_embd_norm.weight", (D,)
    yield "token_embd_norm.bias", (D,)
    for i in range(c.n_layer):
        for name, rows, columns in (("q", Q, D), ("k", K, D), ("v", K, D), ("output", D, Q)):
            yield f"blk.{i}.attn_{name}.weight", (rows, columns)
            yield f"blk.{i}.attn_{name}.bias", (rows,), OPTIONAL
        yield f"blk.{i}.attn_output_norm.weight", (D,)
        yield f"blk.{i}.attn_output_norm.bias", (D,)
        if c.has_experts(i):
            yield f"blk.{i}.ffn_gate_inp.weight", (X, D)
            yield f"blk.{i}.ffn_up_exps.weight", (X, F, D)
            yield f"blk.{i}.ffn_down_exps.weight", (X, D, F)
        else:
            for name, rows, columns in (("up", F, D), ("down", D, F)):
                yield f"blk.{i}.ffn_{name}.weight", (rows, columns)
                yield f"blk.{i}.ffn_{name}.bias", (rows,), OPTIONAL
        yield f"blk.{i}.layer_output_norm.weight", (D,)
        yield f"blk.{i}.layer_output_norm.bias", (D,)


def attention(ops, w, c, x, angles, step, i):  # (T, D) -> (T, D)
    q, k, v = ops.linear_many(x, [w.attn_q, w.attn_k, w.attn_v], [w.attn_q_bias, w.attn_k_bias, w.attn_v_bias])
    q = ops.tag(ops.rope(q.reshape(-1, c.n_head, c.head_dim), angles, c.rope.neox), "Qcur", i)  # (T, H, E)
    k = ops.tag(ops.rope(k.reshape(-1, c.n_head_kv, c.head_dim), angles, c.rope.neox), "Kcur", i)  # (T, K, E)
    v = ops.tag(v.reshape(-1, c.n_head_kv, c.head_dim), "Vcur", i)  # (T, K, E)
    y = ops.attend(q, k, v, step, i, scale=c.head_dim**-0.5)  # (T, H, E)
    y = y.reshape(-1, c.n_head * c.head_dim)
    return ops.tag(ops.linear(y, w.attn_output, w.attn_output_bias), "kqv_out", i)


def ffn(ops, w, x, i):  # (T, D) -> (T, D)
    y = ops.gelu_erf(ops.linear(x, w.ffn_up, w.ffn_up_bias))  # (T, F); llama.cpp takes the tanh form
    return ops.tag(ops.linear(y, w.ffn_down, w.ffn_down_bias), "ffn_out", i)


def moe(ops, w, c, x, i):  # (T, D) -> (T, D): the chosen experts, weighted by their probabilities as they are
    logits = ops.tag(ops.linear(x, w.ffn_gate_inp), "ffn_moe_logits", i)  # (T, X)
    probs = ops.tag(ops.softmax(logits), "ffn_moe_probs", i)
    ids = ops.tag(ops.top_k(probs, c.n_expert_used), "ffn_moe_topk", i)  # (T, U)
    up = ops.linear_experts(x.reshape(-1, 1, c.n_embd), w.ffn_up_exps, ids)  # (T, U, F)
    down = ops.linear_experts(ops.gelu_erf(up), w.ffn_down_exps, ids)  # (T, U, D)
    y = ops.sum(down * ops.take_along(probs, ids).reshape(-1, c.n_expert_used, 1), 1)  # (T, 1, D)
    return ops.tag(y.reshape(-1, c.n_embd), "ffn_moe_out", i)


def hidden(ops, w, c, tokens, step):  # (T,) -> (R, D)
    angles = ops.rope_angles(step.pos, c.rope)
    x = ops.embed(w.token_embd, tokens)  # (T, D)
    if w.token_types is not None:
        x = x + ops.embed(w.token_types, [0])  # (1, D)
    x = ops.tag(x, "inp_embd")
    x = ops.tag(ops.layer_norm(x, w.token_embd_norm, w.token_embd_norm_bias, c.norm_eps), "inp_norm", 0)
    for i, layer in enumerate(w.layers):
        h = attention(ops, layer, c, x, angles, step, i)
        if i == c.n_layer - 1:
            h, x = ops.take_rows(h, step.out_rows), ops.take_rows(x, step.out_rows)  # (R, D): the rows that are wanted
        x = ops.layer_norm(x + h, layer.attn_output_norm, layer.attn_output_norm_bias, c.norm_eps)
        x = ops.tag(x, "ffn_inp", i)
        x = x + (moe(ops, layer, c, x, i) if c.has_experts(i) else ffn(ops, layer, x, i))
        x = ops.layer_norm(x, layer.layer_output_norm, layer.layer_output_norm_bias, c.norm_eps)
    return ops.tag(x, "result_embd")
