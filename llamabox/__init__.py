"""llamabox: GGUF models in readable Python, served over the OpenAI API."""

__version__ = "0.1.0"
__all__ = ["__version__", "load", "load_tokenizer"]


def __getattr__(name):  # loads NumPy and the rest only when used, so that `llamabox --help` is quick
    if name in ("load", "load_tokenizer"):
        from llamabox import api

        return getattr(api, name)
    raise AttributeError(f"module 'llamabox' has no attribute {name!r}")
