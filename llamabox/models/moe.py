"""Mixture of experts: a router picks U of X networks for each token. Source: arXiv:2101.03961, 2401.04088."""

from typing import Any


def moe_ffn(ops: Any, w: Any, x: Any, n_used: int, *, kind: str = "silu", normalise: bool = True, scale: float = 1.0):
    """Softmax router, gated experts, weighted sum.

    Shapes:  x (T, D); w.ffn_gate_inp (X, D), w.ffn_gate_exps and w.ffn_up_exps (X, F, D), w.ffn_down_exps (X, D, F)
             -> (T, D)
    normalise: the weights of the chosen experts sum to 1;  scale multiplies them
    """
    probs = ops.softmax(ops.linear(x, w.ffn_gate_inp))  # (T, X)
    ids = ops.top_k(probs, n_used)  # (T, U)
    weights = ops.take_along(probs, ids)  # (T, U)
    if normalise:
        weights = weights / ops.clamp_min(ops.sum(weights, -1), 6.103515625e-5)  # the smallest normal f16
    if scale != 1.0:
        weights = weights * scale
    rows = x.reshape(-1, 1, x.shape[-1])  # (T, 1, D)
    gate = ops.activation(kind, ops.linear_experts(rows, w.ffn_gate_exps, ids))  # (T, U, F)
    up = ops.linear_experts(rows, w.ffn_up_exps, ids)  # (T, U, F)
    down = ops.linear_experts(gate * up, w.ffn_down_exps, ids)  # (T, U, D)
    return ops.sum(down * weights.reshape(-1, n_used, 1), 1).reshape(-1, x.shape[-1])
