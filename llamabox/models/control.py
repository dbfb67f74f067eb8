"""Control vectors: directions that are added to the hidden state after a layer. Source: arXiv:2310.01405; llama.cpp's
common_control_vector_load and llama_adapter_cvec."""

import logging
import re
from collections.abc import Iterable

import numpy as np

from llamabox.gguf import GGMLType, GGUFFile
from llamabox.gguf.errors import quoted
from llamabox.models.metadata import ModelError

log = logging.getLogger(__name__)


def load_control(
    files: Iterable[tuple[GGUFFile, float]], n_layer: int, n_embd: int, layers: tuple[int, int] | None = None
) -> dict[int, np.ndarray]:
    """The sum of the files' directions times their scales: layer -> f32 (D,), of layers 1 to n_layer - 1.

    layers   first and last layer to apply them to; 0 stands for 1 and n_layer; None: all
    Errors:  ModelError for a tensor that is no direction.LAYER of n_embd f32 values, or a range that is empty
    """
    first, last = layers if layers is not None else (0, 0)
    first, last = first if first > 0 else 1, last if last > 0 else n_layer
    if first > last:
        raise ModelError(f"control vector layers: found {first} to {last}, expected a first layer of at most the last")
    total: dict[int, np.ndarray] = {}
    for file, scale in files:
        for layer, direction in _directions(file, n_layer, n_embd):
            if first <= layer <= last:
                total[layer] = total.get(layer, np.float32(0)) + direction * np.float32(scale)
    return total


def _directions(file: GGUFFile, n_layer: int, n_embd: int) -> list[tuple[int, np.ndarray]]:
    found, beyond = [], []
    for name, tensor in file.tensors.items():
        match = re.fullmatch(r"direction\.([0-9]{1,9})", name)
        if match is None or int(match[1]) == 0:
            raise ModelError(f"{file.path}: tensor {quoted(name)}: expected names direction.1, direction.2, ...")
        if tensor.type != GGMLType.F32 or tensor.shape != (n_embd,):
            what = f"{tensor.type.name} of shape {tensor.shape}"
            raise ModelError(f"{file.path}: tensor {name}: found {what}, expected F32 of shape ({n_embd},)")
        if int(match[1]) < n_layer:
            found.append((int(match[1]), tensor.data))
        else:
            beyond.append(name)
    if not file.tensors:
        raise ModelError(f"{file.path}: found no tensors, expected direction.1, direction.2, ...")
    if beyond:
        log.warning("%s: %s and %d more: the model has no such layer", file.path, beyond[0], len(beyond) - 1)
    return found
