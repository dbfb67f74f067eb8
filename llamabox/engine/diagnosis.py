"""Where a forward pass went wrong: run the last token again and look at every named value."""

import numpy as np

from llamabox.kernels import KVCache, Rows, make_step


def describe_failure(model, tokens: list[int], start: int, table, kv: KVCache) -> str:
    """A message that names the first value with NaN or infinity, such as "attn_out-3".

    Computes tokens[start:] of the sequence once more, which stores the same keys and values again.
    """
    bad: list[str] = []

    def listen(name: str, x) -> None:
        if not bad and not np.isfinite(model.ops.to_numpy(x)).all():
            bad.append(name)

    listener, model.ops.listener = model.ops.listener, listen
    try:
        step = make_step([Rows(start, len(tokens) - start, table)], kv)
        model.forward(np.array(tokens[start:], np.int32), step)
    finally:
        model.ops.listener = listener
    where = f"first in {bad[0]} (value-layer)" if bad else "in the logits alone"
    return f"the logits at position {len(tokens) - 1} are NaN or infinite, {where}: the file or a kernel is damaged"
