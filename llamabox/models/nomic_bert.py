"""nomic-bert encoder (nomic-embed-text): bert with RoPE for learned positions and a gated SiLU network.
Source: arXiv:2402.01613."""

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

    @classmethod
    def from_metadata(cls, meta):
        n_embd = meta.count("embedding_length")
        n_head, n_head_kv, head_dim = meta.heads(n_embd)
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
        )

    def kv_shapes(self):
        return []  # no cache: a sequence is one batch


def tensors(c):
    D, Q, K, F = c.n_embd, c.n_head * c.head_dim, c.n_head_kv * c.head_dim, c.n_ff
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
        yield f"blk.{i}.ffn_gate.weight", (F, D)
        yield f"blk.{i}.ffn_up.weight", (F, D)
        yield f"blk.{i}.ffn_down.weight", (D, F)
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
    y = ops.ffn_gated(x, w.ffn_gate, w.ffn_up)  # (T, F)
    return ops.tag(ops.linear(y, w.ffn_down), "ffn_out", i)


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
        x = x + ffn(ops, layer, ops.tag(x, "ffn_inp", i), i)
        x = ops.layer_norm(x, layer.layer_output_norm, layer.layer_output_norm_bias, c.norm_eps)
    return ops.tag(x, "result_embd")
