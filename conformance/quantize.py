"""Quantises seeded values with ggml, and made-up models with llama-quantize; stores errors and chosen tensor types.

    LLAMA_CPP_DIR=.../bin LLAMA_CPP_SOURCE=... python conformance/quantize.py

Writes conformance/results/quantize.json:
    rms       type -> case -> ggml's RMS error, ours, and their ratio
    mixtures  model -> its facts, its tensors, and mixture -> the types that llama-quantize gave them
tests/gguf/test_gguf_quantize.py and test_gguf_mixture.py check against the file.
"""

import json
import os
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from ggml import Ggml
from gguf_cases import rms_error, weight_cases

from llamabox.gguf import GGUFWriter, ValueType, dequantize, open_gguf, quantize
from llamabox.gguf.mixture import ModelFacts, choose_types
from llamabox.gguf.quant import PACK
from llamabox.gguf.requantize import plan_types

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "quantize.json"
SKELETONS = HERE / "archs" / "skeletons"

# model -> (skeleton whose metadata it has, layers[, what tensors of layers are taken]): every rule has a model to meet
MODELS = {
    "llama": ("llama", 16),
    "llama without output": ("llama-tied", 16),
    "llama with 80 layers": ("llama", 80, ("attn_v", "ffn_down")),
    "llama with 8 experts": ("llama-moe", 16),
    "falcon": ("falcon", 16),
    "qwen2": ("qwen2", 16),
    "phi3": ("phi3", 16),
    "bert": ("bert", 16),
    "deepseek2": ("deepseek2-lite", 27),
}
CHECKED = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q4_0", "TQ1_0", "MXFP4_MOE")


def build_model(path: Path, skeleton_name: str, layers: int, kinds: tuple[str, ...] = ("",)) -> None:
    """Write a model of zeros with a skeleton's metadata, `layers` copies of its last layer's tensors, and rows of 256.

    Every seventh layer's attn_output has rows of 96, to see the fallback types.
    """
    skeleton = json.loads((SKELETONS / f"{skeleton_name}.json").read_text())
    writer = GGUFWriter(path, arch=None)
    for key, kind, *value in skeleton["kv"]:
        if key.endswith(".block_count"):
            value = [layers]
        if kind == "ARRAY":
            writer.add(key, value[1], ValueType[value[0]])
        else:
            writer.add(key, value[0], ValueType[kind])
    names = {name: len(ne) for name, ne, _ in skeleton["tensors"]}
    last = max(int(name.split(".")[1]) for name in names if name.startswith("blk."))
    for name, n_axes in names.items():
        if name.startswith(f"blk.{last}.") and any(kind in name for kind in kinds):
            for i in range(layers):
                narrow = i % 7 == 3 and "attn_output" in name
                writer.add_tensor(name.replace(f"blk.{last}.", f"blk.{i}."), _zeros(n_axes, 96 if narrow else 256))
        elif not name.startswith("blk."):
            writer.add_tensor(name, _zeros(n_axes, 256))
    writer.write()


def _zeros(n_axes, columns):
    return np.zeros((2,) * (n_axes - 1) + (columns,), np.float32)


def peer_types(ggml: Ggml, source: Path, mixture: str) -> list[str]:
    """The type of each tensor, in the file's order, after llama-quantize."""
    out = source.with_suffix(".out")
    command = [ggml.directory / "llama-quantize", source, out, mixture]
    env = {**os.environ, "LD_LIBRARY_PATH": str(ggml.directory)}
    subprocess.run(command, env=env, check=True, capture_output=True)
    return [tensor.type.name for tensor in open_gguf(out).tensors.values()]


def mixture_results(ggml: Ggml) -> dict:
    """model -> its facts, its tensors in llama-quantize's order, and the types that each mixture gives them."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for model, shape in MODELS.items():
            path = Path(folder) / "model.gguf"
            build_model(path, *shape)
            file = open_gguf(path)
            order = choose_types([(t.name, t.type, t.shape) for t in file.tensors.values()], NO_FACTS, "F32")
            ours = {mixture: [type.name for type in plan_types(file, mixture).values()] for mixture in CHECKED}
            theirs = {mixture: peer_types(ggml, path, mixture) for mixture in CHECKED}
            results[model] = {
                "facts": asdict(ModelFacts.from_metadata(file.metadata)),
                "tensors": [[name, file.tensors[name].shape] for name in order],
                "types": theirs,
            }
            wrong = [mixture for mixture in CHECKED if ours[mixture] != theirs[mixture]]
            print(
                f"{model:24} {len(order)} tensors, {len(CHECKED) - len(wrong)} of {len(CHECKED)} mixtures equal", *wrong
            )
    return results


NO_FACTS = ModelFacts(arch="", n_layer=0, n_expert=0, is_70b=False)


def rms_results(ggml: Ggml) -> dict:
    """type -> case -> RMS errors of ggml and of ours, and ours divided by ggml's."""
    results: dict = {}
    for type in PACK:
        for case, values in weight_cases().items():
            theirs = rms_error(values, dequantize(ggml.quantize(values, type), type))
            ours = rms_error(values, dequantize(quantize(values, type), type))
            results.setdefault(type.name, {})[case] = {"ggml": theirs, "ours": ours, "ratio": ours / theirs}
        ratios = [case["ratio"] for case in results[type.name].values()]
        print(f"{type.name:6} RMS error / ggml's: {min(ratios):.4f} to {max(ratios):.4f}")
    return results


def main():
    ggml = Ggml()
    provenance = {
        "program": f"libggml-base and llama-quantize ({ggml.version}), NumPy {np.__version__}",
        "command": "LLAMA_CPP_DIR=<bin> python conformance/quantize.py",
    }
    results = {"provenance": provenance, "rms": rms_results(ggml), "mixtures": mixture_results(ggml)}
    RESULTS.write_text(json.dumps(results, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
