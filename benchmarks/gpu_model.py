"""A model file of an 8B model's shape (Llama 3.1) with random weights, made in seconds: a few random rows, repeated."""

from functools import cache
from pathlib import Path

import numpy as np

from llamabox.gguf import GGMLType, GGUFWriter, quantize

N_LAYER, D, F, H, K, VOCAB = 32, 4096, 14336, 32, 8, 128256
ROWS = 64  # that differ


def tensors() -> list[tuple[str, tuple[int, ...]]]:
    """Name and NumPy shape of every tensor."""
    found: list[tuple[str, tuple[int, ...]]] = [("token_embd.weight", (VOCAB, D)), ("output.weight", (VOCAB, D))]
    found.append(("output_norm.weight", (D,)))
    for i in range(N_LAYER):
        kv = D // H * K
        matrices = {"attn_q": (D, D), "attn_k": (kv, D), "attn_v": (kv, D), "attn_output": (D, D)}
        matrices |= {"ffn_gate": (F, D), "ffn_up": (F, D), "ffn_down": (D, F)}
        found += [(f"blk.{i}.{name}.weight", shape) for name, shape in matrices.items()]
        found += [(f"blk.{i}.{name}.weight", (D,)) for name in ("attn_norm", "ffn_norm")]
    return found


def type_of(name: str, mixture: str) -> GGMLType:
    """A tensor's type, as llama-quantize chooses it for F16 and Q4_K_M."""
    if "norm" in name:
        return GGMLType.F32
    if mixture == "F16":
        return GGMLType.F16
    layer = int(name.split(".")[1]) if name.startswith("blk.") else 0
    more = layer < N_LAYER // 8 or layer >= 7 * N_LAYER // 8 or (layer - N_LAYER // 8) % 3 == 2
    six = name == "output.weight" or (more and ("attn_v" in name or "ffn_down" in name))
    return GGMLType.Q6_K if six else GGMLType.Q4_K


def make(path: Path, mixture: str, n_layer: int = N_LAYER) -> int:
    """Write the file -> bytes of the weights that a token reads: all but the embedding. mixture: F16 or Q4_K_M"""
    writer, read = GGUFWriter(path, "llama"), 0
    counts = {"block_count": n_layer, "context_length": 8192, "embedding_length": D, "feed_forward_length": F}
    counts |= {"attention.head_count": H, "attention.head_count_kv": K, "vocab_size": VOCAB}
    for key, value in counts.items():
        writer.add(f"llama.{key}", value)
    writer.add("llama.attention.layer_norm_rms_epsilon", 1e-5).add("llama.rope.freq_base", 500000.0)
    for name, shape in tensors():
        if name.startswith("blk.") and int(name.split(".")[1]) >= n_layer:
            continue
        type = type_of(name, mixture)
        writer.add_tensor(name, lambda s=shape, t=type: _data(s, t), type, shape)
        read += 0 if name == "token_embd.weight" else type.row_bytes(int(np.prod(shape)))
    writer.write()
    return read


def _data(shape: tuple[int, ...], type: GGMLType) -> np.ndarray:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    return np.tile(_rows(shape[1], type), (-(-shape[0] // ROWS), 1))[: shape[0]]


@cache
def _rows(width: int, type: GGMLType) -> np.ndarray:
    """ROWS stored rows of random values."""
    values = np.random.default_rng(width).standard_normal((ROWS, width)).astype(np.float32) * np.float32(width**-0.5)
    return values.astype(np.float16) if type == GGMLType.F16 else quantize(values, type)
