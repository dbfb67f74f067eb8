"""general.architecture -> the module under llamabox/models that holds it."""

ARCHITECTURES = {
    "bert": "bert",
    "command-r": "command_r",
    "gemma-embedding": "gemma_embedding",
    "gemma2": "gemma2",
    "gemma3": "gemma3",
    "granite": "granite",
    "granitemoe": "granite",
    "jina-bert-v2": "jina_bert_v2",
    "llama": "llama",
    "llama-embed": "llama",
    "mistral3": "mistral3",
    "modern-bert": "modern_bert",
    "nomic-bert": "nomic_bert",
    "nomic-bert-moe": "nomic_bert_moe",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3moe",
}
