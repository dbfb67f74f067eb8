"""Store llama.cpp's logits of what the skeletons of conformance/archs leave out: optional tensors and keys, options.

    LLAMA_CPP_LIB_PATH=DIR python conformance/variants.py

Each variant is a skeleton with changes. Writes conformance/results/variants.npz: name -> f32 (T, n_vocab) or, for
encoders, hidden states (T, n_embd); "provenance". tests/models/test_variants.py compares ours with it.
"""

import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE / "archs"))
import materialize  # noqa: E402

STORED = HERE / "results" / "variants.npz"
TOKENS = [3, 77, 5, 120, 64, 9, 9, 31, 0, 127, 88, 2, 53, 17, 111, 40]


@dataclass(frozen=True)
class Variant:
    """A skeleton, with n_layer copies of its blocks; kv and tensors to set, or to drop with None; user options.

    A tensor name may hold {i}, for every layer. Values of tensors are shapes in ggml's order.
    """

    skeleton: str
    kv: dict = field(default_factory=dict)
    tensors: dict = field(default_factory=dict)
    n_layer: int | None = None
    options: dict = field(default_factory=dict)


def fused(bias: bool) -> dict:
    """attn_qkv in place of attn_q, attn_k and attn_v, of a skeleton with 4 heads, 2 KV heads of 32."""
    parts = {f"blk.{{i}}.attn_{part}.{kind}": None for part in "qkv" for kind in ("weight", "bias")}
    return parts | {"blk.{i}.attn_qkv.weight": [128, 256]} | ({"blk.{i}.attn_qkv.bias": [256]} if bias else {})


NO_QKV = {f"blk.{{i}}.attn_{part}.weight": None for part in "qkv"}
NO_QKV_BIAS = {f"blk.{{i}}.attn_{part}.bias": None for part in "qkv"}
QKV_BIAS_48 = {"blk.{i}.attn_q.bias": [192], "blk.{i}.attn_k.bias": [96], "blk.{i}.attn_v.bias": [96]}
FACTORS = {"rope_factors_long.weight": [16], "rope_factors_short.weight": [16]}
WIDE = {f"llama.{key}": 48 for key in ("attention.key_length", "attention.value_length", "rope.dimension_count")}
YARN = {"rope_scaling": "yarn", "rope_freq_scale": 0.25, "yarn_orig_ctx": 8}

VARIANTS = {
    "llama-fused-qkv": Variant("llama", tensors=fused(bias=True)),
    "llama-no-kv-key": Variant(
        "llama",
        {"llama.attention.head_count_kv": None},
        {"blk.{i}.attn_k.weight": [128, 128], "blk.{i}.attn_v.weight": [128, 128]},
    ),
    "llama-wide-heads": Variant(
        "llama",
        WIDE,
        {f"blk.{{i}}.attn_{part}.weight": ne for part, ne in (("q", [128, 192]), ("output", [192, 128]))}
        | {f"blk.{{i}}.attn_{part}.weight": [128, 96] for part in "kv"},
    ),
    "llama-longrope": Variant(
        "llama", {"llama.rope.scaling.type": "longrope", "llama.rope.scaling.original_context_length": 16}, FACTORS
    ),
    "llama-shortrope": Variant("llama", {"llama.rope.scaling.type": "longrope"}, FACTORS),
    "llama-old-scale": Variant("llama", {"llama.rope.scale_linear": 2.0}),
    "llama-attn-factor": Variant("llama-yarn", {"llama.rope.scaling.attn_factor": 0.8}),
    "llama-base-default": Variant("llama", {"llama.rope.freq_base": None, "llama.rope.dimension_count": None}),
    "llama-scales": Variant(
        "llama", tensors={f"blk.{{i}}.{name}.scale": [1] for name in ("attn_q", "attn_v", "attn_output", "ffn_down")}
    ),
    "llama-moe-scales": Variant(
        "llama-moe", tensors={f"blk.{{i}}.ffn_{name}_exps.scale": [8] for name in ("gate", "up", "down")}
    ),
    "llama-user-base": Variant("llama", options={"rope_freq_base": 700.0, "rope_freq_scale": 0.5}),
    "llama-user-yarn": Variant("llama", options=YARN | {"yarn_beta_fast": 8.0, "yarn_beta_slow": 2.0}),
    "llama-user-yarn-mix": Variant("llama", options=YARN | {"yarn_ext_factor": 0.5, "yarn_attn_factor": 2.0}),
    "llama-user-unscaled": Variant("llama-rope-linear", options={"rope_scaling": "none"}),
    "qwen2-bare": Variant("qwen2", tensors=NO_QKV_BIAS | {"output.bias": None}),
    "qwen2-fused-qkv": Variant("qwen2", tensors=fused(bias=True)),
    "qwen3-bias": Variant("qwen3", tensors=QKV_BIAS_48),
    "qwen3moe-ff": Variant("qwen3moe", {"qwen3moe.expert_feed_forward_length": None}, QKV_BIAS_48),
    "gemma2-27b": Variant("gemma2", n_layer=46),
    "gemma2-defaults": Variant(
        "gemma2",
        {
            "gemma2.rope.freq_base_swa": None,
            "gemma2.attn_logit_softcapping": None,
            "gemma2.final_logit_softcapping": None,
        },
        QKV_BIAS_48,
    ),
    "gemma2-no-window-key": Variant("gemma2", {"gemma2.attention.sliding_window": None}),
    "gemma2-linear": Variant("gemma2", {"gemma2.rope.scaling.type": "linear", "gemma2.rope.scaling.factor": 4.0}),
    "gemma3-27b": Variant("gemma3", n_layer=62),
    "gemma3-no-window": Variant(
        "gemma3", {"gemma3.attention.sliding_window": None, "gemma3.attention.sliding_window_pattern": None}
    ),
    "gemma3-six": Variant("gemma3", {"gemma3.attention.sliding_window_pattern": None}, n_layer=7),
    "gemma3-flags": Variant("gemma3", {"gemma3.attention.sliding_window_pattern": [True, False, False, True]}),
    "gemma3-defaults": Variant(
        "gemma3",
        {"gemma3.rope.freq_base_swa": None, "gemma3.final_logit_softcapping": None},
        {"output.weight": [128, 128]},
    ),
    "gemma3-linear": Variant("gemma3", {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0}),
    "gemma3-user-base": Variant("gemma3", options={"rope_freq_base": 900.0, "rope_freq_scale": 0.5}),
    "phi3-fused-qkv": Variant("phi3", {"phi3.attention.sliding_window": 8}, fused(bias=False)),
    "phi3-partial": Variant(
        "phi3",
        {"phi3.rope.dimension_count": 16},
        {"rope_factors_long.weight": [8], "rope_factors_short.weight": [8], "output.weight": None},
    ),
    "granite-no-rope": Variant("granite", {"granite.rope.scaling.finetuned": False}),
    "granite-bare": Variant(
        "granite",
        {"granite.embedding_scale": None, "granite.attention.scale": None, "granite.residual_scale": None},
        {"blk.{i}.attn_output.bias": [128], "blk.{i}.ffn_up.bias": [192], "output.weight": [128, 128]},
    ),
    "granite-moe-alone": Variant(
        "granite-moe",
        {"granite.expert_shared_feed_forward_length": None},
        {f"blk.{{i}}.ffn_{part}_shexp.weight": None for part in ("gate", "up", "down")},
    ),
    "mistral3-no-temperature": Variant("mistral3", {"mistral3.attention.temperature_scale": None}),
    "mistral3-yarn": Variant(
        "mistral3",
        {
            "mistral3.rope.scaling.yarn_beta_fast": 4.0,
            "mistral3.rope.scaling.yarn_beta_slow": 0.5,
            "mistral3.rope.scaling.yarn_log_multiplier": 0.5,
        },
    ),
    "mistral3-user-unscaled": Variant("mistral3", options={"rope_scaling": "none"}),
    "command-r-plus": Variant(
        "command-r", n_layer=64, tensors={"blk.{i}.attn_q_norm.weight": [32, 4], "blk.{i}.attn_k_norm.weight": [32, 2]}
    ),
    "command-r-bare": Variant("command-r", {"command-r.logit_scale": None}),
    "command-r-partial": Variant("command-r", {"command-r.rope.dimension_count": 8}),
    "bert-bare": Variant(
        "bert",
        tensors=NO_QKV_BIAS
        | {"blk.{i}.attn_output.bias": None, "blk.{i}.ffn_up.bias": None, "blk.{i}.ffn_down.bias": None}
        | {"token_types.weight": None},
    ),
    "nomic-bert-bare": Variant("nomic-bert", tensors={"token_types.weight": None}),
    "nomic-bert-bias": Variant(
        "nomic-bert", tensors={"blk.{i}.attn_qkv.weight": [128, 384], "blk.{i}.attn_output.bias": [128]} | NO_QKV
    ),
    "nomic-bert-moe-dense": Variant(
        "nomic-bert-moe",
        {
            "nomic-bert-moe.moe_every_n_layers": 0,
            "nomic-bert-moe.expert_count": 0,
            "nomic-bert-moe.expert_used_count": 0,
        },
        {"blk.1.ffn_up_exps.weight": None, "blk.1.ffn_down_exps.weight": None, "blk.1.ffn_gate_inp.weight": None}
        | {"blk.1.ffn_up.weight": [128, 192], "blk.1.ffn_down.weight": [192, 128]},
    ),
    "jina-bert-v2-fused-gate": Variant(
        "jina-bert-v2", tensors={"blk.{i}.ffn_gate.weight": None, "blk.{i}.ffn_up.weight": [128, 384]}
    ),
    "jina-bert-v2-no-gate": Variant(
        "jina-bert-v2", tensors={"blk.{i}.ffn_gate.weight": None, "blk.{i}.ffn_up.bias": [192]}
    ),
    "jina-bert-v2-up-bias": Variant("jina-bert-v2", tensors={"blk.{i}.ffn_up.bias": [192]}),
    "jina-bert-v2-8-heads": Variant(
        "jina-bert-v2", {"jina-bert-v2.attention.head_count": 8, "jina-bert-v2.attention.head_count_kv": 8}
    ),
    "modern-bert-silu": Variant("modern-bert", {"modern-bert.hidden_activation": "silu"}),
    "modern-bert-first": Variant("modern-bert", tensors={"blk.0.attn_norm.weight": None}, n_layer=4),
    "modern-bert-no-window": Variant("modern-bert", {"modern-bert.attention.sliding_window": None}),
    "modern-bert-window-2": Variant("modern-bert", {"modern-bert.attention.sliding_window": 3}),
}


def write(variant: Variant, path: Path) -> None:
    """Write the variant's GGUF."""
    skeleton = materialize.load_skeleton(HERE / "archs" / "skeletons" / f"{variant.skeleton}.json")
    arch = skeleton["arch"]
    stored = {key: kind for key, kind, *_ in skeleton["kv"]}
    kv = dict(variant.kv)
    if variant.n_layer is not None:
        kv[f"{arch}.block_count"] = variant.n_layer
    blocks = {name.split(".")[1] for name, _, _ in skeleton["tensors"] if name.startswith("blk.")}
    n_layer = len(blocks) if variant.n_layer is None else variant.n_layer
    skeleton["kv"] = [entry for entry in skeleton["kv"] if entry[0] not in kv]
    skeleton["kv"] += [_pair(key, value, stored.get(key)) for key, value in kv.items() if value is not None]
    if variant.n_layer is not None:
        skeleton["tensors"] = _layers(skeleton["tensors"], variant.n_layer)
    changes = _per_layer(variant.tensors, n_layer)
    kinds = {name: kind for name, _, kind in skeleton["tensors"]}
    skeleton["tensors"] = [entry for entry in skeleton["tensors"] if entry[0] not in changes]
    skeleton["tensors"] += [[name, ne, kinds.get(name, "F32")] for name, ne in changes.items() if ne is not None]
    materialize.materialize(skeleton, path)


def _per_layer(tensors: dict, n_layer: int) -> dict:
    named: dict = {}
    for name, ne in tensors.items():
        named |= {name.replace("{i}", str(i)): ne for i in range(n_layer)} if "{i}" in name else {name: ne}
    return named


def _layers(tensors: list, n_layer: int) -> list:
    """Block 0's tensors for every layer, and what belongs to no block."""
    rest = [entry for entry in tensors if not entry[0].startswith("blk.")]
    first = [entry for entry in tensors if entry[0].startswith("blk.0.")]
    return rest + [[name.replace("blk.0.", f"blk.{i}."), ne, kind] for i in range(n_layer) for name, ne, kind in first]


def _pair(key: str, value, stored: str | None) -> list:
    if isinstance(value, list):
        return [key, "ARRAY", "BOOL" if isinstance(value[0], bool) else "UINT32", value]
    if isinstance(value, int) and not isinstance(value, bool):
        return [
            key,
            stored if value >= 0 and stored in ("UINT32", "UINT64") else "UINT32" if value >= 0 else "INT32",
            value,
        ]
    return [key, {bool: "BOOL", str: "STRING", float: "FLOAT32"}[type(value)], value]


def main() -> None:
    import llama_cpp_models

    provenance = {
        "program": llama_cpp_models.VERSION,
        "settings": llama_cpp_models.SETTINGS,
        "command": "python conformance/variants.py",
        "tokens": TOKENS,
    }
    results: dict = {"provenance": np.array(json.dumps(provenance))}
    with tempfile.TemporaryDirectory() as folder:
        for name, variant in VARIANTS.items():
            path = Path(folder) / f"{name}.gguf"
            write(variant, path)
            results[name] = llama_cpp_models.run(path, TOKENS, variant.options, encoder="bert" in variant.skeleton)
            path.unlink()
            print(name, results[name].shape, float(np.abs(results[name]).max()))
    np.savez_compressed(STORED, **results)


if __name__ == "__main__":
    main()
