"""Text to token ids and back, from a GGUF's metadata alone; ids equal llama.cpp's."""

from llamabox.tokenizer.base import Tokenizer
from llamabox.tokenizer.detokenize import detokenize
from llamabox.tokenizer.errors import TokenizerError
from llamabox.tokenizer.loading import load_tokenizer
from llamabox.tokenizer.stream import TextStream

__all__ = ["TextStream", "Tokenizer", "TokenizerError", "detokenize", "load_tokenizer"]
