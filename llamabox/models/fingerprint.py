"""A model's fingerprint: equal for two loads that would compute the same keys and values from the same tokens."""

import hashlib

import numpy as np

from llamabox.models.loading import LoadedModel

SAMPLE = 64  # bytes of each tensor's beginning, middle and end


def fingerprint(model: LoadedModel) -> str:
    """64 hex digits, of the config (RoPE options with it), each tensor's name, type, shape and samples of its bytes,
    and the control vectors."""
    digest = hashlib.sha256(f"{model.arch} {model.config!r}".encode())
    for name, tensor in sorted(model.file.tensors.items()):
        digest.update(f"{name} {tensor.type.name} {tensor.shape}".encode())
        data = tensor.data.reshape(-1).view(np.uint8)
        middle = len(data) // 2
        for part in (data[:SAMPLE], data[middle : middle + SAMPLE], data[-SAMPLE:]):
            digest.update(part.tobytes())
    for layer, direction in sorted(model.control.items()):
        digest.update(f"control {layer}".encode() + model.ops.to_numpy(direction).tobytes())
    return digest.hexdigest()
