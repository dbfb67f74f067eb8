"""Store llama.cpp's logits of tiny models with LoRA adapters and control vectors.

    LLAMA_CPP_LIB_PATH=DIR python conformance/adapters.py

Writes conformance/results/adapters.npz: case -> f32 (T, n_vocab) or, for bert, hidden states (T, n_embd);
case/in_f32 -> NMSE of llama.cpp with the adapter's values in F32; "provenance".
`python conformance/adapters.py --table` measures and writes the table of docs/conformance.md.
tests/models/test_adapters.py makes the same files, with our writer, and compares ours with what is stored.
"""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import variants
from docs_table import put
from variants import Variant, materialize

import llamabox
from llamabox.gguf import GGMLType, GGUFWriter, dequantize, open_gguf, quantize

STORED = Path(__file__).resolve().parent / "results" / "adapters.npz"
TOKENS = variants.TOKENS
DENSE = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
EXPERTS = ("attn_q", "attn_v", "ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")


@dataclass(frozen=True)
class Adapter:
    """A LoRA file: parts of every layer and whole tensors that it changes. name: the seed of its values."""

    name: str
    parts: tuple[str, ...] = DENSE
    tensors: tuple[str, ...] = ("token_embd", "output")
    rank: int = 4
    alpha: float | None = 8.0
    type: str = "F32"


@dataclass(frozen=True)
class Control:
    """A control vector file: directions of these layers, applied with a scale."""

    name: str
    layers: tuple[int, ...] = (1,)
    scale: float = 1.0


@dataclass(frozen=True)
class Case:
    """A model with adapters, each at its scale, and control vectors.

    bound  NMSE against llama.cpp, as in conformance/archs/README.md; None: 5 times that of llama.cpp with the adapter's
           values in F32 instead, since ggml rounds what it multiplies them by
    """

    model: Variant
    loras: tuple[tuple[Adapter, float], ...] = ()
    control: tuple[Control, ...] = ()
    layers: tuple[int, int] | None = None
    bound: float | None = 1e-8


A, B = Adapter("a"), Adapter("b", parts=("attn_q", "ffn_down"), tensors=(), rank=3, alpha=None)
NO_OUTPUT = Adapter("a", tensors=())
ATTENTION = Adapter("a", ("attn_q", "attn_v", "attn_output"), ())  # llama.cpp scales ffn's deltas too, wrongly it says
LLAMA4 = Variant("llama", n_layer=4)
CASES = {
    "llama": Case(Variant("llama"), ((A, 1.0),)),
    "llama-scale": Case(Variant("llama"), ((A, -0.6),)),
    "llama-rank-1": Case(Variant("llama"), ((Adapter("c", rank=1, alpha=2.0), 1.0),)),
    "llama-two": Case(Variant("llama"), ((A, 0.5), (B, 1.5))),
    "llama-bias": Case(Variant("llama-bias"), ((NO_OUTPUT, 1.0),)),
    "llama-f16-file": Case(Variant("llama"), ((Adapter("a", type="F16"), 1.0),), bound=None),
    "llama-q8-0-file": Case(
        Variant("llama"), ((Adapter("a", ("attn_q", "ffn_up"), (), 32, 64.0, "Q8_0"), 1.0),), bound=None
    ),
    "llama-q8-0": Case(Variant("llama-q8-0"), ((A, 1.0),), bound=1e-3),
    "llama-scales": Case(variants.VARIANTS["llama-scales"], ((ATTENTION, 1.0),)),
    "llama-moe": Case(Variant("llama-moe"), ((Adapter("a", EXPERTS), 1.0),)),
    "qwen3moe": Case(Variant("qwen3moe"), ((Adapter("a", EXPERTS), 0.7),)),
    "qwen2": Case(Variant("qwen2"), ((A, 1.0),)),
    "qwen3": Case(Variant("qwen3"), ((A, 1.0),)),
    "gemma2": Case(Variant("gemma2"), ((NO_OUTPUT, 1.0),), bound=1e-6),
    "gemma3": Case(Variant("gemma3"), ((NO_OUTPUT, 1.0),), bound=1e-6),
    "phi3": Case(Variant("phi3"), ((Adapter("a", ("attn_q", "attn_output", "ffn_up", "ffn_down")), 1.0),)),
    "phi3-fused-qkv": Case(
        variants.VARIANTS["phi3-fused-qkv"], ((Adapter("a", ("attn_qkv", "attn_output", "ffn_up", "ffn_down")), 1.0),)
    ),
    "granite": Case(Variant("granite"), ((NO_OUTPUT, 1.0),)),
    "granite-moe": Case(
        Variant("granite-moe"), ((Adapter("a", (*EXPERTS, "ffn_gate_shexp", "ffn_down_shexp"), ()), 1.0),)
    ),
    "mistral3": Case(Variant("mistral3"), ((NO_OUTPUT, 1.0),)),
    "command-r": Case(Variant("command-r"), ((NO_OUTPUT, 1.0),)),
    "bert": Case(
        Variant("bert"), ((Adapter("a", ("attn_q", "attn_output", "ffn_up"), ("token_embd",)), 1.0),), bound=1e-6
    ),
    "llama-control": Case(LLAMA4, control=(Control("d", (1, 2, 3), 0.5),)),
    "llama-control-range": Case(LLAMA4, control=(Control("d", (1, 2, 3), 2.0),), layers=(2, 2)),
    "llama-control-two": Case(LLAMA4, control=(Control("d", (1, 2, 3)), Control("e", (2,), -1.5)), layers=(0, 2)),
    "llama-control-lora": Case(LLAMA4, ((A, 1.0),), (Control("d", (1, 3)),)),
    "gemma2-control": Case(Variant("gemma2"), control=(Control("d"),), bound=1e-6),
    "phi3-control": Case(Variant("phi3"), control=(Control("d"),)),
    "command-r-control": Case(Variant("command-r"), control=(Control("d"),)),
    "granite-moe-control": Case(Variant("granite-moe"), control=(Control("d"),)),
    "qwen3moe-control": Case(Variant("qwen3moe"), control=(Control("d"),)),
}


def write_lora(adapter: Adapter, model: Path, path: Path, in_f32: bool = False) -> None:
    """Write an adapter's file for a model's file.  in_f32: its values, whatever its type, as F32"""
    base = open_gguf(model)
    writer = GGUFWriter(path, base.metadata["general.architecture"])
    writer.add("general.type", "adapter").add("adapter.type", "lora")
    if adapter.alpha is not None:
        writer.add("adapter.lora.alpha", float(adapter.alpha))
    for name, tensor in base.tensors.items():
        part = name.removesuffix(".weight").split(".")[-1]
        if name.endswith(".weight") and part in (adapter.parts if name.startswith("blk.") else adapter.tensors):
            for end, shape in zip(("lora_a", "lora_b"), _shapes(name, tensor.shape, adapter.rank), strict=True):
                values = _values(f"{adapter.name}.{name}.{end}", shape)
                writer.add_tensor(f"{name}.{end}", *_stored(values, GGMLType[adapter.type], in_f32))
    writer.write()


def _shapes(name: str, shape: tuple[int, ...], rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    *experts, n_out, n_in = shape
    if name == "token_embd.weight":
        return (n_out, rank), (n_in, rank)
    return (*experts, rank, n_in), (*experts, n_out, rank)


def _values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return materialize.weights(name, shape[::-1], scale=1.0)


def _stored(values: np.ndarray, type: GGMLType, in_f32: bool) -> tuple:
    if type == GGMLType.F32:
        return values, type
    data = values.astype(np.float16) if type == GGMLType.F16 else quantize(values, type)
    if not in_f32:
        return data, type
    return data.astype(np.float32) if type == GGMLType.F16 else dequantize(data, type), GGMLType.F32


def write_control(control: Control, n_embd: int, path: Path) -> None:
    """Write a control vector's file."""
    writer = GGUFWriter(path, "controlvector").add("controlvector.model_hint", "tiny")
    for layer in control.layers:
        writer.add_tensor(f"direction.{layer}", _values(f"{control.name}.{layer}", (n_embd,)))
    writer.write()


def make(
    case: Case, folder: Path, in_f32: bool = False
) -> tuple[Path, list[tuple[Path, float]], list[tuple[Path, float]]]:
    """Write the files of a case: the model, its adapters with their scales, its control vectors with theirs."""
    model = folder / "model.gguf"
    variants.write(case.model, model)
    loras, controls = [], []
    for i, (adapter, scale) in enumerate(case.loras):
        loras.append((folder / f"lora-{i}.gguf", scale))
        write_lora(adapter, model, loras[-1][0], in_f32)
    for i, control in enumerate(case.control):
        controls.append((folder / f"control-{i}.gguf", control.scale))
        write_control(control, 128, controls[-1][0])
    return model, loras, controls


def directions(case: Case, n_layer: int) -> tuple[np.ndarray, int, int] | None:
    """What llama.cpp's programs make of the control vector files: their sum, first layer, last layer."""
    if not case.control:
        return None
    data = np.zeros((n_layer - 1, 128), np.float32)
    for control in case.control:
        for layer in control.layers:
            data[layer - 1] += _values(f"{control.name}.{layer}", (128,)) * np.float32(control.scale)
    first, last = case.layers if case.layers is not None else (0, 0)
    return data, first if first > 0 else 1, last if last > 0 else n_layer


def bound(name: str, stored: dict) -> float:
    """NMSE that a case may have."""
    given = CASES[name].bound
    return given if given is not None else 5 * float(stored[f"{name}/in_f32"])


def ours(name: str, folder: Path, backend: str) -> np.ndarray:
    """Our logits, or hidden states, of a case."""
    case = CASES[name]
    path, loras, controls = make(case, folder)
    how = {"lora": loras, "control_vectors": controls, "control_vector_layers": case.layers}
    types = {"cache_type_k": "f32", "cache_type_v": "f32"}
    model = llamabox.load(path, backend=backend, n_ctx=256, threads=1, **types, **how)
    return model.embed(TOKENS, "none") if model.model.is_encoder else model.logits(TOKENS)


def table() -> None:
    from logits import nmse

    with np.load(STORED) as file:
        stored = dict(file)
    lines = ["| case | adapters, scales | control vectors | bound | numpy | cpu |", f"|{' --- |' * 6}"]
    for name, case in CASES.items():
        errors = []
        for backend in ("numpy", "cpu"):
            with tempfile.TemporaryDirectory() as folder:
                errors.append(nmse(stored[name], ours(name, Path(folder), backend)))
        loras = ", ".join(f"rank {a.rank} {a.type} x {scale:g}" for a, scale in case.loras)
        control = ", ".join(f"x {c.scale:g}" for c in case.control)
        cells = [name, loras, control, f"{bound(name, stored):.0e}", *(f"{error:.1e}" for error in errors)]
        lines.append(f"| {' | '.join(cells)} |")
    head = (
        "## LoRA adapters and control vectors\n\n"
        "NMSE against llama.cpp with the same files. Adapters change every matrix of the layers (experts and routers "
        "too), and, where a case does not leave them out, embeddings and output.\n"
        "Made by `python conformance/adapters.py --table`.\n\n"
    )
    put("adapters", head + "\n".join(lines))


def store() -> None:
    import llama_cpp_models

    provenance = {
        "program": llama_cpp_models.VERSION,
        "settings": llama_cpp_models.SETTINGS,
        "command": "python conformance/adapters.py",
        "tokens": TOKENS,
    }
    results: dict = {"provenance": np.array(json.dumps(provenance))}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            model, loras, _ = make(case, Path(folder))
            encoder = case.model.skeleton == "bert"
            blocks = {t.split(".")[1] for t in open_gguf(model).tensors if t.startswith("blk.")}
            control = directions(case, len(blocks))
            results[name] = llama_cpp_models.run(model, TOKENS, {}, encoder, None, loras, control)
            if case.bound is None:
                model, loras, _ = make(case, Path(folder), in_f32=True)
                other = llama_cpp_models.run(model, TOKENS, {}, encoder, None, loras, control)
                results[f"{name}/in_f32"] = np.array(((results[name] - other) ** 2).sum() / (results[name] ** 2).sum())
            print(name, results[name].shape, float(np.abs(results[name]).max()), results.get(f"{name}/in_f32", ""))
    np.savez_compressed(STORED, **results)


if __name__ == "__main__":
    table() if "--table" in sys.argv else store()
