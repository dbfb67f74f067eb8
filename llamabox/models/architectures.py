"""general.architecture -> the module under llamabox/models that holds it."""

ARCHITECTURES = {
    "llama": "llama",
}
