"""Find where a forward pass goes wrong, through the taps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llamabox.kernels import Step
from llamabox.models.adapters import AdapterSet
from llamabox.models.loading import LoadedModel


def first_not_finite(model: LoadedModel, tokens: Any, step: Step, adapters: Sequence[AdapterSet] = ()) -> str | None:
    """The name of the first tagged value with a NaN or an infinity, as "ffn_out-3"; None when all are finite.

    Runs the step once more; the KV cells it stores are those it stored before. The model's own listener is put back.
    """
    found: list[str] = []

    def look(name: str, x: Any) -> None:
        values = model.ops.to_numpy(x)
        if not found and not np.isfinite(values).all():
            found.append(name)

    run = model.hidden if model.is_encoder else model.forward
    before, model.ops.listener = model.ops.listener, look
    try:
        with np.errstate(all="ignore"):
            run(tokens, step, adapters)
    finally:
        model.ops.listener = before
    return found[0] if found else None
