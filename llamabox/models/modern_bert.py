"""ModernBERT encoder: norms without biases before each part, RoPE, a gated network, and a two-sided sliding window in
all but every third layer. Source: arXiv:2412.13663."""

from dataclasses import dataclass, replace

from llamabox.kernels import Rope
from llamabox.models.binding import OPTIONAL
from llamabox.models.rope import freq_base, rope_from_metadata
from llamabox.models.window import window_layers


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
    rope_window: Rope
    window: int
    has_window: tuple[bool, ...]
    activation: str
    causal: bool
    n_labels: int
    rank_pooling: str

    @classmethod
    def from_metadata(cls, meta):
        n_embd, n_layer = meta.count("embedding_length"), meta.n_layer()
        n_head, n_head_kv, head_dim = meta.heads(n_embd)
        rope = rope_from_metadata(meta, head_dim, neox=True)
        window = meta.count("attention.sliding_window", 0, low=0)
        return cls(
            n_vocab=meta.n_vocab,
            n_ctx_train=meta.count("context_length"),
            n_layer=n_layer,
            n_embd=n_embd,
            n_ff=meta.count("feed_forward_length"),
            n_head=n_head,
            n_head_kv=n_head_kv,
            head_dim=head_dim,
            norm_eps=meta.real("attention.layer_norm_epsilon", low=0.0),
            rope=rope,
            rope_window=replace(rope, base=freq_base(meta, "rope.freq_base_swa")),
            window=window,
            has_window=window_layers(meta, n_layer, 3, full_first=True) if window > 0 else (False,) * n_layer,
            activation=meta.choice("hidden_activation", "gelu", ("gelu", "silu")),
            causal=meta.flag("attention.causal", False),
            n_labels=meta.n_labels(),
            rank_pooling=meta.rank_pooling("mean"),
        )

    def kv_shapes(self):
        return []  # no cache: a sequence is one batch


def tensors(c):
    D, Q, K, F = c.n_embd, c.n_head * c.head_dim, c.n_head_kv * c.head_dim, c.n_ff
    yield "token_embd.weight", (c.n_vocab, D)
    yield "token_embd_norm.weight", (D,)
    yield "output_norm.weight", (D,)
    yield "cls.weight", (D, D), OPTIONAL
    yield "cls.norm.weight", (D,), OPTIONAL
    yield "cls.output.weight", (c.n_labels, D), OPTIONAL
    yield "cls.output.bias", (c.n_labels,), OPTIONAL
    for i in range(c.n_layer):
        yield f"blk.{i}.attn_norm.weight", (D,), OPTIONAL  # the first layer has none
        for name, rows, columns in (("q", Q, D), ("k", K, D), ("v", K, D), ("output", D, Q)):
            yield f"blk.{i}.attn_{name}.weight", (rows, columns)
        yield f"blk.{i}.ffn_norm.weight", (D,)
        yield f"blk.{i}.ffn_gate.weight", (F, D)
        yield f"blk.{i}.ffn_up.weight", (F, D)
        yield f"blk.{i}.ffn_down.weight", (D, F)


def attention(ops, w, c, x, angles, step, i):  # (T, D) -> (T, D)
    q, k, v = ops.linear_many(x, [w.attn_q, w.attn_k, w.attn_v])
    q = ops.tag(ops.rope(q.reshape(-1, c.n_head, c.head_dim), angles, c.rope.neox), "Qcur", i)  # (T, H, E)
    k = ops.tag(ops.rope(k.reshape(-1, c.n_head_kv, c.head_dim), angles, c.rope.neox), "Kcur", i)  # (T, K, E)
    v = ops.tag(v.reshape(-1, c.n_head_kv, c.head_dim), "Vcur", i)  # (T, K, E)
    window = c.window // 2 + 1 if c.has_window[i] else None  # half of it to either side
    y = ops.attend(q, k, v, step, i, scale=c.head_dim**-0.5, window=window, two_sided=True)  # (T, H, E)
    return ops.tag(ops.linear(y.reshape(-1, c.n_head * c.head_dim), w.attn_output), "kqv_out", i)


def ffn(ops, w, c, x):  # (T, D) -> (T, D)
    return ops.linear(ops.ffn_gated(x, w.ffn_gate, w.ffn_up, c.activation), w.ffn_down)


def rank(ops, w, c, x):  # (R, D) -> (R, labels): scores, not probabilities
    if w.cls is not None:
        x = ops.gelu(ops.linear(x, w.cls))
        x = x if w.cls_norm is None else ops.layer_norm(x, w.cls_norm, None, c.norm_eps)
    return x if w.cls_output is None else ops.linear(x, w.cls_output, w.cls_output_bias)


def hidden(ops, w, c, tokens, step):  # (T,) -> (R, D)
    full, windowed = ops.rope_angles(step.pos, c.rope), ops.rope_angles(step.pos, c.rope_window)
    x = ops.tag(ops.embed(w.token_embd, tokens), "inp_embd")  # (T, D)
    x = ops.tag(ops.layer_norm(x, w.token_embd_norm, None, c.norm_eps), "inp_norm", 0)
    for i, layer in enumerate(w.layers):
        h = x
        if layer.attn_norm is not None:
            h = ops.tag(ops.layer_norm(x, layer.attn_norm, None, c.norm_eps), "attn_norm", i)
        h = attention(ops, layer, c, h, windowed if c.has_window[i] else full, step, i)
        if i == c.n_layer - 1:
            h, x = ops.take_rows(h, step.out_rows), ops.take_rows(x, step.out_rows)  # (R, D): the rows that are wanted
        x = ops.tag(x + h, "ffn_inp", i)
        x = x + ffn(ops, layer, c, ops.tag(ops.layer_norm(x, layer.ffn_norm, None, c.norm_eps), "ffn_norm", i))
    return ops.tag(ops.layer_norm(x, w.output_norm, None, c.norm_eps), "final_norm_out")
