"""Which layers of a model attend through a sliding window. Source: llama.cpp's llama_hparams::set_swa_pattern."""

import numpy as np

from llamabox.models.metadata import ArchMetadata


def window_layers(meta: ArchMetadata, n_layer: int, period: int, full_first: bool = False) -> tuple[bool, ...]:
    """True for the layers with a window: all but the last (full_first: the first) of every `period` layers, unless the
    file says otherwise.

    The file's sliding_window_pattern is a period (0: all layers), or one flag a layer.
    """
    key = "attention.sliding_window_pattern"
    pattern = meta.raw(key, period)
    if isinstance(pattern, np.ndarray):
        if len(pattern) < n_layer:
            meta.fail(key, pattern.tolist(), f"{n_layer} flags, one a layer")
        return tuple(bool(flag) for flag in pattern[:n_layer])
    period = meta.count(key, period, low=0)
    full = 0 if full_first else period - 1
    return tuple(period == 0 or i % period != full for i in range(n_layer))
