"""general.architecture -> the module under llamabox/models that holds it."""

ARCHITECTURES = {
    "bert": "bert",
    "command-r": "command_r",
    "gemma2": "gemma2",
    "gemma3": "gemma3",
    "granite": "granite",
    "granitemoe": "granite",
    "llama": "llama",
    "mistral3": "mistral3",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3moe",
}
