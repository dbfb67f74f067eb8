"""From a GGUF's metadata to its tokenizer."""

from collections.abc import Callable

from llamabox.tokenizer.base import Tokenizer
from llamabox.tokenizer.bpe import BpeTokenizer
from llamabox.tokenizer.bpe_kin import Gemma4Tokenizer, HybridDnaTokenizer, WhitespaceTokenizer
from llamabox.tokenizer.errors import TokenizerError
from llamabox.tokenizer.plamo2 import Plamo2Tokenizer
from llamabox.tokenizer.rwkv import RwkvTokenizer
from llamabox.tokenizer.spm import SpmTokenizer
from llamabox.tokenizer.ugm import UgmTokenizer
from llamabox.tokenizer.wpm import WpmTokenizer

MODELS: dict[str, Callable[[dict], Tokenizer]] = {
    "llama": SpmTokenizer,
    "gpt2": BpeTokenizer,
    "gemma4": Gemma4Tokenizer,
    "hybriddna": HybridDnaTokenizer,
    "whitespace": WhitespaceTokenizer,
    "bert": WpmTokenizer,
    "t5": UgmTokenizer,
    "rwkv": RwkvTokenizer,
    "plamo2": Plamo2Tokenizer,
}


def load_tokenizer(metadata: dict) -> Tokenizer:
    """The tokenizer that `metadata` (of a GGUF file) describes.

    Errors: TokenizerError for a file without a tokenizer, for one of an unknown model or pre-tokenizer, and for lists
    that do not fit.
    """
    model = metadata.get("tokenizer.ggml.model")
    if model is None or (isinstance(model, str) and model in ("no_vocab", "none")):
        raise TokenizerError(f"no tokenizer in this file (tokenizer.ggml.model is {model!r})")
    if not isinstance(model, str) or model not in MODELS:
        raise TokenizerError(f"tokenizer.ggml.model: unknown tokenizer {model!r}; known: {', '.join(MODELS)}")
    return MODELS[model](metadata)
