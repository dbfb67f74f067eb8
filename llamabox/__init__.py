"""llamabox: GGUF models in readable Python, served over the OpenAI API."""

__version__ = "0.1.0"
