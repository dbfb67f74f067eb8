"""jina-bert-v2 encoder (jina-embeddings-v2, jina-reranker-v1): bert with ALiBi for learned positions and a gated GELU
network; the code model adds a norm on q and k and a second one after attention. Source: arXiv:2310.19923."""

from dataclasses import dataclass

from llamabox.models.binding import OPTIONAL

LARGEST_BIAS = 8.0  # of ALiBi; files do not carry it


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
            causal=meta.flag("attention.causal", False),
        )

    def kv_shapes(self):
        return []  # no cache: a sequence is one batch


def tensors(c):
    D, Q, K, F = c.n_embd, c.n_head * c.head_dim, c.n_head_kv * c.head_dim, c.n_ff
    yield "token_embd.weight", (c.n_vocab, D)
    yield "token_types.weight", (c.n_token_types, D)
    yield "token_embd_norm.weight", (D,)
    yield "token_embd_norm.bias", (D,)
    yield "cls.weight", (1, D), OPTIONAL
    yield "cls.bias", (1,), OPTIONAL
    for i in range(c.n_layer):
        for name, rows, columns in (("q", Q, D), ("k", K, D), ("v", K, D), ("output", D, Q)):
            yield f"blk.{i}.attn_{name}.weight", (rows, columns)
            yield f"blk.{i}.attn_{name}.bias", (rows,), OPTIONAL
        for name, size in (("attn_q_norm", Q), ("attn_k_norm", K), ("attn_norm_2", D)):
            yield f"blk.{i}.{name}.weight", (size,), OPTIONAL
            yield f"blk.{i}.{name}.bias", (size,), OPTIONAL
        yield f"blk.{i}.attn_output_norm.weight", (D,)
        yield f"blk.{i}.attn_output_norm.bias", (D,)
        yield f"blk.{i}.ffn_gate.weight", (F, D), OPTIONAL
        yield f"blk.{i}.ffn_up.weight", (F, D)
        yield f"blk.{i}.ffn_up.bias", (F,), OPTIONAL
        yield f"blk.{i}.ffn_down.weight", (D, F)
        yield f"blk.{i}.ffn_down.bias", (D,), OPTIONAL
        yield f"blk.{i}.layer_output_norm.weight", (D,)
        yield f"blk.{i}.layer_output_norm.bias", (D,)


def attention(ops, w, c, x, step, i):  # (T, D) -> (T, D)
    q, k, v = ops.linear_many(x, [w.attn_q, w.attn_k, w.attn_v], [w.attn_q_bias, w.attn_k_bias, w.attn_v_bias])
    if w.attn_q_norm is not None:
        q = ops.layer_norm(q, w.attn_q_norm, w.attn_q_norm_bias, c.norm_eps)  # (T, H * E)
    if w.attn_k_norm is not None:
        k = ops.layer_norm(k, w.attn_k_norm, w.attn_k_norm_bias, c.norm_eps)  # (T, K * E)
    q = ops.tag(q.reshape(-1, c.n_head, c.head_dim), "Qcur", i)  # (T, H, E)
    k = ops.tag(k.reshape(-1, c.n_head_kv, c.head_dim), "Kcur", i)  # (T, K, E)
    v = ops.tag(v.reshape(-1, c.n_head_kv, c.head_dim), "Vcur", i)  # (T, K, E)
    y = ops.attend(q, k, v, step, i, scale=c.head_dim**-0.5, alibi=LARGEST_BIAS)  # (T, H, E)
    y = y.reshape(-1, c.n_head * c.head_dim)
    return ops.tag(ops.linear(y, w.attn_output, w.attn_output_bias), "kqv_out", i)


def ffn(ops, w, x, i):  # (T, D) -> (T, D)
    if w.ffn_gate is None:
        y = ops.gelu(ops.linear(x, w.ffn_up, w.ffn_up_bias))  # (T, F)
    elif w.ffn_up_bias is None:
        y = ops.ffn_gated(x, w.ffn_gate, w.ffn_up, "gelu")
    else:
        gate, up = ops.linear_many(x, [w.ffn_gate, w.ffn_up], [None, w.ffn_up_bias])
        y = ops.gelu(gate) * up
    return ops.tag(ops.linear(y, w.ffn_down, w.ffn_down_bias), "ffn_out", i)


def rank(ops, w, c, x):  # (R, D) -> (R, 1): a score within (-1, 1)
    return ops.tanh(ops.linear(x, w.cls, w.cls_bias))


def hidden(ops, w, c, tokens, step):  # (T,) -> (R, D)
    x = ops.embed(w.token_embd, tokens) + ops.embed(w.token_types, [0])  # (T, D)
    x = ops.tag(x, "inp_embd")
    x = ops.tag(ops.layer_norm(x, w.token_embd_norm, w.token_embd_norm_bias, c.norm_eps), "inp_norm", 0)
    for i, layer in enumerate(w.layers):
        h = attention(ops, layer, c, x, step, i)
        if i == c.n_layer - 1:
            h, x = ops.take_rows(h, step.out_rows), ops.take_rows(x, step.out_rows)  # (R, D): the rows that are wanted
        h = ops.layer_norm(x + h, layer.attn_output_norm, layer.attn_output_norm_bias, c.norm_eps)
        if layer.attn_norm_2 is not None:
            h = ops.layer_norm(x + h, layer.attn_norm_2, layer.attn_norm_2_bias, c.norm_eps)
        x = h + ffn(ops, layer, ops.tag(h, "ffn_inp", i), i)
        x = ops.layer_norm(x, layer.layer_output_norm, layer.layer_output_norm_bias, c.norm_eps)
    return ops.tag(x, "result_embd")
