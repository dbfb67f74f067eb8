"""Gemma 3 decoder (text): gemma2 without soft-capped scores, with an RMS norm on each q and k head, and five windowed
layers to one full layer. Source: arXiv:2503.19786."""

from dataclasses import dataclass, replace

from llamabox.kernels import KVShape, Rope
from llamabox.models.binding import OPTIONAL
from llamabox.models.rope import freq_base, rope_from_metadata
from llamabox.models.window import window_layers

N_LAYER_27B = 62  # files do not carry query_pre_attn_scalar: only this size divides by n_embd / n_head


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
    attn_scale: float
    final_softcap: float
    causal: bool

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
            norm_eps=meta.real("attention.layer_norm_rms_epsilon", low=0.0),
            rope=rope,
            rope_window=replace(rope, base=freq_base(meta, "rope.freq_base_swa"), freq_scale=1.0),
            window=window,
            has_window=window_layers(meta, n_layer, period=6) if window > 0 else (False,) * n_layer,
            attn_scale=(n_embd // n_head if n_layer == N_LAYER_27B else head_dim) ** -0.5,
            final_softcap=meta.real("final_logit_softcapping", 0.0, low=0.0),  # 0: none
            causal=meta.flag("attention.causal", True),
        )

    def kv_shapes(self):
        return [KVShape(self.n_head_kv, self.head_dim, self.head_dim)] * self.n_layer


def tensors(c):
    D, E, Q, K, F = c.n_embd, c.head_dim, c.n_head * c.head_dim, c.n_head_kv * c.head_dim, c.n_ff
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
        yield f"blk.{i}.post_attention_norm.weight", (D,)
        yield f"blk.{i}.ffn_norm.weight", (D,)
        yield f"blk.{i}.ffn_gate.weight", (F, D)
        yield f"blk.{i}.ffn_up.weight", (F, D)
        yield f"blk.{i}.ffn_down.weight", (D, F)
        yield f"blk.{i}.post_ffw_norm.weight", (D,)


def attention(ops, w, c, x, angles, step, i):  # (T, D) -> (T, D)
    q, k, v = ops.linear_many(x, [w.attn_q, w.attn_k, w.attn_v], [w.attn_q_bias, w.attn_k_bias, w.attn_v_bias])
    q = ops.rms_norm(q.reshape(-1, c.n_head, c.head_dim), w.attn_q_norm, c.norm_eps)  # (T, H, E)
    k = ops.rms_norm(k.reshape(-1, c.n_head_kv, c.head_dim), w.attn_k_norm, c.norm_eps)  # (T, K, E)
    q, k = ops.tag(q, "Qcur_normed", i), ops.tag(k, "Kcur_normed", i)
    q = ops.tag(ops.rope(q, angles, c.rope.neox), "Qcur", i)
    k = ops.tag(ops.rope(k, angles, c.rope.neox), "Kcur", i)
    v = ops.tag(v.reshape(-1, c.n_head_kv, c.head_dim), "Vcur", i)  # (T, K, E)
    window = c.window if c.has_window[i] else None
    y = ops.attend(q, k, v, step, i, scale=c.attn_scale, window=window)  # (T, H, E)
    y = ops.tag(y.reshape(-1, c.n_head * c.head_dim), "kqv_out", i)
    return ops.linear(y, w.attn_output)


def ffn(ops, w, x, i):  # (T, D) -> (T, D)
    y = ops.ffn_gated(x, w.ffn_gate, w.ffn_up, "gelu")  # (T, F)
    return ops.tag(ops.linear(y, w.ffn_down), "ffn_out", i)


def key_ropes(w, c):
    """What turns the keys of each layer, for LoadedModel.key_ropes."""
    return [(c.rope_window if windowed else c.rope, None) for windowed in c.has_window]


def hidden(ops, w, c, tokens, step):  # (T,) -> (R, D)
    full, windowed = ops.rope_angles(step.pos, c.rope), ops.rope_angles(step.pos, c.rope_window)
    x = ops.tag(ops.embed(w.token_embd, tokens), "embd")  # (T, D)
    x = ops.tag(x * c.n_embd**0.5, "inp_scaled")
    for i, layer in enumerate(w.layers):
        h = ops.tag(ops.rms_norm(x, layer.attn_norm, c.norm_eps), "attn_norm", i)
        h = attention(ops, layer, c, h, windowed if c.has_window[i] else full, step, i)
        if i == c.n_layer - 1:
            h, x = ops.take_rows(h, step.out_rows), ops.take_rows(x, step.out_rows)  # (R, D): the rows that are wanted
        h = ops.tag(ops.rms_norm(h, layer.post_attention_norm, c.norm_eps), "attn_post_norm", i)
        x = ops.tag(x + h, "sa_out", i)
        h = ops.tag(ops.rms_norm(x, layer.ffn_norm, c.norm_eps), "ffn_norm", i)
        h = ops.tag(ops.rms_norm(ffn(ops, layer, h, i), layer.post_ffw_norm, c.norm_eps), "ffn_post_norm", i)
        x = ops.tag(x + h, "l_out", i)
    return ops.tag(ops.rms_norm(x, w.output_norm, c.norm_eps), "result_norm")


def forward(ops, w, c, tokens, step):  # (T,) -> logits (R, V)
    x = hidden(ops, w, c, tokens, step)  # (R, D)
    logits = ops.linear(x, w.output)
    if c.final_softcap > 0.0:
        logits = ops.softcap(logits, c.final_softcap)
    return ops.tag(logits, "result_output")
