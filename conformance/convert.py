"""Tiny random transformers models, fixtures for `llamabox convert`: folder and logits, in conformance/convert.

    python conformance/convert.py [NAME ...]

Every parameter is drawn anew, so that a norm left at 1 or a bias left at 0 hides nothing. Needs torch and transformers
(the conformance extra). tests/gguf/convert converts the folders and compares logits.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

HERE = Path(__file__).parent / "convert"
N_TOKENS = 20
BASE = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 900.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 900.0, "factor": 4.0, "original_max_position_embeddings": 16}
MISTRAL3 = YARN | {"beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 900.0,
    "original_max_position_embeddings": 16,
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
    "long_factor": [1.0, 1.5, 2.0, 2.5, 3.0, 3.5],
}
EXPERTS = {"num_experts_per_tok": 2}
GRANITE = {
    "attention_multiplier": 0.2,
    "embedding_multiplier": 2.0,
    "residual_multiplier": 0.6,
    "logits_scaling": 3.0,
}

# name -> (transformers class, config changes)
MODELS = {
    "llama": ("LlamaForCausalLM", {"rope_parameters": {"rope_type": "default", "rope_theta": 900.0}}),
    "llama-llama3-rope": ("LlamaForCausalLM", {"rope_parameters": LLAMA3, "tie_word_embeddings": True}),
    "llama-bias": ("LlamaForCausalLM", {"attention_bias": True, "mlp_bias": True, "head_dim": 16}),
    "llama-linear-rope": (
        "LlamaForCausalLM",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 900.0, "factor": 4.0}},
    ),
    "mistral": ("MistralForCausalLM", {"sliding_window": None, "head_dim": 16}),
    "mixtral": ("MixtralForCausalLM", {"num_local_experts": 4, **EXPERTS}),
    "qwen2": ("Qwen2ForCausalLM", {}),
    "qwen2-yarn": ("Qwen2ForCausalLM", {"rope_parameters": YARN}),
    "qwen3": ("Qwen3ForCausalLM", {"head_dim": 16, "tie_word_embeddings": True}),
    "qwen3moe": (
        "Qwen3MoeForCausalLM",
        {"head_dim": 16, "num_experts": 4, "moe_intermediate_size": 40, "norm_topk_prob": True, **EXPERTS},
    ),
    "gemma2": ("Gemma2ForCausalLM", {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 8}),
    "gemma3": (
        "Gemma3ForCausalLM",
        {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 8, "num_hidden_layers": 7},
    ),
    "phi3": ("Phi3ForCausalLM", {"sliding_window": None}),
    "phi3-longrope": (
        "Phi3ForCausalLM",
        {"rope_parameters": LONGROPE, "original_max_position_embeddings": 16, "sliding_window": None},
    ),
    "granite": ("GraniteForCausalLM", GRANITE),
    "ministral3": (
        "Ministral3ForCausalLM",
        {"head_dim": 16, "sliding_window": None, "rope_parameters": MISTRAL3 | {"llama_4_scaling_beta": 0.1}},
    ),
    "command-r": ("CohereForCausalLM", {"use_qk_norm": True, "logit_scale": 0.25}),
    "bert": ("BertModel", {}),
}


def build(name: str) -> None:
    """Make one model, save its folder, run it, store what it gives for fixed tokens."""
    class_name, changes = MODELS[name]
    torch.manual_seed(0)
    model_class = getattr(transformers, class_name)
    config = model_class.config_class(**{**BASE, **changes})
    config._attn_implementation = "eager"
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.2 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
            parameter.add_(torch.randn_like(parameter) * spread)
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokens = np.random.default_rng(0).integers(3, BASE["vocab_size"], N_TOKENS)
    with torch.no_grad():
        out = model(torch.tensor(tokens)[None])
    values = out.last_hidden_state if name == "bert" else out.logits
    np.savez(folder / "expected.npz", tokens=tokens, values=values[0].float().numpy())


def main(names: list[str]) -> None:
    for name in names or MODELS:
        build(name)
    provenance = {
        "program": "transformers, eager attention, f32",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "command": "python conformance/convert.py",
        "models": {name: class_name for name, (class_name, _) in MODELS.items()},
    }
    (HERE / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
