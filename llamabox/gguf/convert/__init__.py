"""Hugging Face model folders -> GGUF files."""

from llamabox.gguf.convert.checkpoint import ConvertError
from llamabox.gguf.convert.folder import convert_folder

__all__ = ["ConvertError", "convert_folder"]
