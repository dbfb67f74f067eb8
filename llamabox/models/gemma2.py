"""Gemma 2 decoder: norms before and after each part, GeGLU, soft-capped scores and logits, a sliding window in every
other layer, embeddings scaled by sqrt(D). Source: arXiv:2408.00118."""

from dataclasses import dataclass, replace

from llamabox.kernels import KVShape, Rope
from llamabox.models.binding import OPTIONAL
from llamabox.models.rope import file_freq_scale, freq_base, rope_from_metadata
from llamabox.models.window import window_layers

N_LAYER_27B = 46  # files do not carry query_pre_attn_scalar: only this size divides by n_embd / n_head


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
    attn_softcap: float
    final_softcap: float
    causal: bool

    @classmethod
    def from_metadata(cls, meta):
        n_embd, n_layer = meta.count("embedding_length"), meta.n_layer()
        n_head, n_head_kv, head_dim = meta.heads(n_embd)
        rope = rope_from_metadata(meta, head_dim, neox=True)
        base_window = freq_base(meta, "rope.freq_base_swa", freq_base(meta))
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
            rope_window=replace(rope, base=base_window, freq_scale=file_freq_scale(meta)),
            window=meta.count("attention.sliding_window", 4096),
            has_window=window_layers(meta, n_layer, period=2),
            attn_scale=(n_embd // n_head if n_layer == N_LAYER_27B else head_dim) ** -0.5,
            attn_softcap=meta.real("attn_logit_softcapping", 50.0, above=0.0),
            final_softcap=meta.real("final_logit_softcapping", 30.0, above=0.0),
            causal=meta.flag("attention.causal", True),
        )

    def kv_shapes(self):
        return [KVShape(self.n_head_kv, self.head_dim, self.head_dim)] * self.n_layer


def tensors(c):
    D, Q, K, F = c.n_embd, c.n_head * c.head_dim, c.n_head_kv * c.head_dim, c.n_ff
    yield "token_embd.weight", (c.n_vocab, D)  # also the output
    yield "output_norm.weight", (D,)
    for i in range(c.n_layer):
        yield f"blk.{i}.attn_norm.weight", (D,)
        for name, rows in (("q", Q), ("k", K), ("v", K)):
            yield f"blk.{i}.attn_{name}.weight", (rows, D)
            yield f"blk.{i}.attn_{name}.bias", (rows,), OPTIONAL
        yield f"blk.{i}.attn_output.weight", (D, Q)
        yield f"blk.{i}.post_attention_norm.weight", (D,)
        yield f"blk.{i}.ffn_norm.weight", (D,)
        yield f"blk.{i}.ffn_gate.weight", (F, D)
        yield f"blk.{i}.ffn_up.weight", (F, D)
        yield f"blk.{i}.ffn_down.weight", (D, F)
        yield f"blk.{i}.post_ffw_norm.weight", (D,)


def attention(ops, w, c, x, angles, step, i):  # (T, D) -> (T, D)
    q, k, v = ops.linear_many(x, [w.attn_q, w.attn_k, w.attn_v], [w.attn_q_bias, w.attn_k_bias, w.attn_v_bias])
    q = ops.rope(q.reshape(-1, c.n_head, c.head_dim), angles, c.rope.neox)  # (T, H, E)
    k = ops.rope(k.reshape(-1, c.n_head_kv, c.head_dim), angles, c.rope.neox)  # (T, K, E)
    v = v.reshape(-1, c.n_head_kv, c.head_dim)  # (T, K, E)
    q, k, v = ops.tag(q, "Qcur", i), ops.tag(k, "Kcur", i), ops.tag(v, "Vcur", i)
    window = c.window if c.has_window[i] else None
    y = ops.attend(q, k, v, step, i, scale=c.attn_scale, window=window, softcap=c.attn_softcap)  # (T, H, E)
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
        h = ops.rms_norm(ffn(ops, layer, h, i), layer.post_ffw_norm, c.norm_eps)
        x = ops.tag(x + h, "l_out", i)
    return ops.tag(ops.rms_norm(x, w.output_norm, c.norm_eps), "result_norm")


def forward(ops, w, c, tokens, step):  # (T,) -> logits (R, V)
    x = hidden(ops, w, c, tokens, step)  # (R, D)
    return ops.tag(ops.softcap(ops.linear(x, w.token_embd), c.final_softcap), "result_output")
