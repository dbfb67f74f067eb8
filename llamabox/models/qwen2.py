"""Qwen2 and Qwen2.5 decoder: llama with a bias on q, k and v, and RoPE by halves. Source: arXiv:2407.10671."""

from dataclasses import dataclass

from llamabox.kernels import KVShape, Rope
from llamabox.models.binding import OPTIONAL
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
    causal: bool

    @classmethod
    def from_metadata(cls, meta):
        n_embd = meta.count("embedding_length")
        n_head, n_head_kv, head_dim = meta.heads(n_embd)
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
            rope=rope_from_metadata(meta, head_dim, neox=True),
            causal=meta.flag("attention.causal", True),
        )

    def kv_shapes(self):
        return [KVShape(self.n_head_kv, self.head_dim, self.head_dim)] * self.n_layer


def tensors(c):
    D, Q, K, F = c.n_embd, c.n_head * c.head_dim, c.n_head_kv * c.head_dim, c.n_ff
    yield "token_embd.weight", (c.n_vocab, D)
    yield "output_norm.weight", (D,)
    yield "output.weight", (c.n_vocab, D), "token_embd.weight"  # tied when absent
    yield "output.bias", (c.n_vocab,), OPTIONAL
    for i in range(c.n_layer):
        yield f"blk.{i}.attn_norm.weight", (D,)
        for name, rows in (("q", Q), ("k", K), ("v", K)):
            yield f"blk.{i}.attn_{name}.weight", (rows, D)
            yield f"blk.{i}.attn_{name}.bias", (rows,), OPTIONAL
        yield f"blk.{i}.attn_output.weight", (D, Q)
        yield f"blk.{i}.ffn_norm.weight", (D,)
        yield f"blk.{i}.ffn_gate.weight", (F, D)
        yield f"blk.{i}.ffn_up.weight", (F, D)
        yield f"blk.{i}.ffn_down.weight", (D, F)


def attention(ops, w, c, x, angles, step, i):  # (T, D) -> (T, D)
    q, k, v = ops.linear_many(x, [w.attn_q, w.attn_k, w.attn_v], [w.attn_q_bias, w.attn_k_bias, w.attn_v_bias])
    q = ops.rope(q.reshape(-1, c.n_head, c.head_dim), angles, c.rope.neox)  # (T, H, E)
    k = ops.rope(k.reshape(-1, c.n_head_kv, c.head_dim), angles, c.rope.neox)  # (T, K, E)
    v = v.reshape(-1, c.n_head_kv, c.head_dim)  # (T, K, E)
    q, k, v = ops.tag(q, "Qcur", i), ops.tag(k, "Kcur", i), ops.tag(v, "Vcur", i)
    y = ops.attend(q, k, v, step, i, scale=c.head_dim**-0.5)  # (T, H, E)
    y = ops.tag(y.reshape(-1, c.n_head * c.head_dim), "kqv_out", i)
    return ops.linear(y, w.attn_output)


def ffn(ops, w, x, i):  # (T, D) -> (T, D)
    y = ops.ffn_gated(x, w.ffn_gate, w.ffn_up)  # (T, F)
    return ops.tag(ops.linear(y, w.ffn_down), "ffn_out", i)


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
        x = ops.tag(x + ffn(ops, layer, h, i), "l_out", i)
    return ops.tag(ops.rms_norm(x, w.output_norm, c.norm_eps), "result_norm")


def forward(ops, w, c, tokens, step):  # (T,) -> logits (R, V)
    x = hidden(ops, w, c, tokens, step)  # (R, D)
    return ops.tag(ops.linear(x, w.output, w.output_bias), "result_output")
