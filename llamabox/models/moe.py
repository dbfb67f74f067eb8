"""Mixture of experts: a router picks U of X networks for each token. Source: arXiv:2101.03961, 2401.04088."""

from typing import Any

SMALLEST_F16 = 6.103515625e-5  # the smallest normal f16, which llama.cpp divides by at least


def moe_ffn(ops: Any, w: Any, x: Any, n_used: int, i: int) -> Any:
    """Softmax router, gated SiLU experts, their sum weighted by the chosen probabilities (made to sum to 1).

    Shapes:  x (T, D); w.ffn_gate_inp (X, D), w.ffn_gate_exps and w.ffn_up_exps (X, F, D), w.ffn_down_exps (X, D, F)
             -> (T, D);  i: the layer, for tags
    """
    logits = ops.tag(ops.linear(x, w.ffn_gate_inp), "ffn_moe_logits", i)  # (T, X)
    probs = ops.tag(ops.softmax(logits), "ffn_moe_probs", i)
    ids = ops.tag(ops.top_k(probs, n_used), "ffn_moe_topk", i)  # (T, U)
    weights = ops.take_along(probs, ids)  # (T, U)
    weights = weights / ops.clamp_min(ops.sum(weights, -1), SMALLEST_F16)
    rows = x.reshape(-1, 1, x.shape[-1])  # (T, 1, D)
    gate = ops.linear_experts(rows, w.ffn_gate_exps, ids)  # (T, U, F)
    up = ops.linear_experts(rows, w.ffn_up_exps, ids)  # (T, U, F)
    down = ops.linear_experts(ops.silu(gate) * up, w.ffn_down_exps, ids)  # (T, U, D)
    y = ops.sum(down * weights.reshape(-1, n_used, 1), 1)  # (T, 1, D)
    return ops.tag(y.reshape(-1, x.shape[-1]), "ffn_moe_out", i)
