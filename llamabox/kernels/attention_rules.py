"""What `ops.attend` means on every backend: which cells a row sees, what ALiBi adds, what fits together."""

from typing import Any

import numpy as np


def alibi_slopes(n_head: int, largest: float) -> np.ndarray:
    """ALiBi's slope of each head, f32 (H,): a geometric series of the power of two below n_head, then one between.

    Source:  arXiv:2108.12409; ggml SOFT_MAX_EXT with max_bias
    """
    n = 1 << (n_head.bit_length() - 1)
    heads = np.arange(n_head)
    return np.exp2(
        np.where(heads < n, -largest / n * (heads + 1), -largest / 2 / n * (2 * (heads - n) + 1)), dtype="f4"
    )


def alibi_bias(pos: np.ndarray, length: int, n_head: int, largest: float) -> np.ndarray:
    """f32 (H, t, S): what ALiBi adds to the scores."""
    distance = np.abs(pos[:, None] - np.arange(length)).astype(np.float32)  # (t, S)
    return -alibi_slopes(n_head, largest)[:, None, None] * distance


def visible(pos: np.ndarray, length: int, causal: bool, window: int | None, two_sided: bool) -> np.ndarray:
    """bool (t, S): which cells each row sees."""
    distance = pos[:, None] - np.arange(length)[None, :]
    mask = distance >= 0 if causal else np.ones(distance.shape, bool)
    if window is not None:
        mask &= (np.abs(distance) if two_sided else distance) < window
    return mask


def check_attend(q: Any, k: Any, v: Any, rows: int) -> None:
    """ValueError where q (T, H, E), k (T, K, E) and v (T, K, Ev) do not fit each other, or a step of so many rows."""
    fits = q.ndim == k.ndim == v.ndim == 3 and len(q) == len(k) == len(v) == rows
    if not fits or q.shape[2] != k.shape[2] or k.shape[1] != v.shape[1] or q.shape[1] % k.shape[1] != 0:
        raise ValueError(f"attend: q {q.shape}, k {k.shape}, v {v.shape} do not fit each other and {rows} rows")
