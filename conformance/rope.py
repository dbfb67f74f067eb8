"""Store llama.cpp's logits under its --rope-... and --yarn-... options, at positions beyond the training context.

    LLAMA_CPP_LIB_PATH=DIR python conformance/rope.py

Writes conformance/results/rope.npz: model -> f32 (combinations, len(ROWS), n_vocab), in the order of `combinations`;
"provenance". tests/models/test_rope_options.py compares ours with it. `python conformance/rope.py --table` measures and
writes the table of docs/conformance.md.
"""

import json
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import variants
from docs_table import put
from variants import Variant

import llamabox

STORED = Path(__file__).resolve().parent / "results" / "rope.npz"
N_CTX_TRAIN, N_CTX = 32, 256
TOKENS = [(7 * i * i + 3 * i + 5) % 128 for i in range(64)]
ROWS = (40, 63)  # positions whose logits are stored

SCALINGS = ({}, {"rope_scaling": "none"}, {"rope_scaling": "linear"}, {"rope_scaling": "yarn"})
FREQUENCIES = (
    {},
    {"rope_freq_base": 700.0},
    {"rope_freq_scale": 0.25},
    {"rope_freq_base": 700.0, "rope_freq_scale": 0.5},
)
YARNS = (
    {},
    {"yarn_ext_factor": 0.0},
    {"yarn_ext_factor": 0.5},
    {"yarn_attn_factor": 2.0},
    {"yarn_beta_fast": 8.0, "yarn_beta_slow": 0.5},
    {"yarn_orig_ctx": 12},
    {
        "yarn_ext_factor": 0.7,
        "yarn_attn_factor": 0.5,
        "yarn_beta_fast": 16.0,
        "yarn_beta_slow": 2.0,
        "yarn_orig_ctx": 24,
    },
)


def short(skeleton: str) -> Variant:
    """A skeleton whose training context is short, so that the tokens go beyond it."""
    arch = skeleton.split("-")[0]
    return Variant(skeleton, {f"{arch}.context_length": N_CTX_TRAIN})


MODELS = {
    name: short(name)
    for name in ("llama", "qwen2", "phi3-longrope", "gemma3", "gemma2", "mistral3", "llama-yarn", "llama-rope-linear")
}
WHOLE = ("llama", "qwen2", "phi3-longrope", "gemma3")  # the others: with few of the YaRN options
BOUND, BOUND_GELU = 1e-8, 1e-6  # NMSE, as in conformance/archs/README.md
GELU = ("gemma2", "gemma3")


def combinations(model: str) -> list[dict]:
    """The options to try, by the names of llamabox.models.ModelOptions."""
    yarns = YARNS if model in WHOLE else (YARNS[0], YARNS[-1])
    return [scaling | frequency | yarn for scaling, frequency, yarn in product(SCALINGS, FREQUENCIES, yarns)]


def ours(path: Path, options: dict, backend: str = "numpy") -> np.ndarray:
    """Our logits of ROWS."""
    types = {"cache_type_k": "f32", "cache_type_v": "f32"}
    model = llamabox.load(path, backend=backend, n_ctx=N_CTX, threads=1, **types, **options)
    return model.logits(TOKENS)[list(ROWS)]


def store() -> None:
    import llama_cpp_models

    provenance = {
        "program": llama_cpp_models.VERSION,
        "settings": llama_cpp_models.SETTINGS,
        "command": "python conformance/rope.py",
        "tokens": TOKENS,
        "rows": ROWS,
    }
    results: dict = {"provenance": np.array(json.dumps(provenance))}
    with tempfile.TemporaryDirectory() as folder:
        for name, variant in MODELS.items():
            path = Path(folder) / f"{name}.gguf"
            variants.write(variant, path)
            runs = [llama_cpp_models.run(path, TOKENS, options)[list(ROWS)] for options in combinations(name)]
            results[name] = np.stack(runs)
            different = len({run.tobytes() for run in runs})
            print(name, results[name].shape, f"{different} of {len(runs)} differ from each other", flush=True)
    np.savez_compressed(STORED, **results)


def table() -> None:
    from logits import nmse

    with np.load(STORED) as file:
        stored = dict(file)
    lines = ["| model | combinations | bound | largest NMSE |", "| --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        for name, variant in MODELS.items():
            path = Path(folder) / f"{name}.gguf"
            variants.write(variant, path)
            errors = [nmse(stored[name][i], ours(path, options)) for i, options in enumerate(combinations(name))]
            bound = BOUND_GELU if name in GELU else BOUND
            lines.append(f"| {name} | {len(errors)} | {bound:.0e} | {max(errors):.1e} |")
    head = (
        "## RoPE and YaRN options\n\n"
        f"Against llama.cpp's logits at positions {ROWS[0]} and {ROWS[1]} of models trained on {N_CTX_TRAIN} (their "
        "context_length key), under combinations of --rope-scaling, --rope-freq-base, --rope-freq-scale, "
        "--yarn-ext-factor, --yarn-attn-factor, --yarn-beta-fast, --yarn-beta-slow and --yarn-orig-ctx. Backend "
        "numpy.\n"
        "Made by `python conformance/rope.py --table`.\n\n"
    )
    put("rope", head + "\n".join(lines))


if __name__ == "__main__":
    table() if "--table" in sys.argv else store()
