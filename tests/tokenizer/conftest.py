"""The vocabularies of conformance/vocabs, opened once a session."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from llamabox.gguf import open_gguf
from llamabox.tokenizer import load_tokenizer

VOCABS = Path(__file__).parents[2] / "conformance" / "vocabs"


@cache
def metadata(name):
    return open_gguf(VOCABS / f"{name}.gguf").metadata


@cache
def tokenizer(name):
    return load_tokenizer(metadata(name))


@pytest.fixture
def vocabulary():
    """`vocabulary(name)` is the tokenizer of conformance/vocabs/<name>.gguf."""
    return tokenizer


def tiny(model="llama", tokens=("<unk>", "<s>", "</s>"), types=None, scores=None, **keys):
    """Metadata of a small vocabulary; keys are those of tokenizer.ggml.*."""
    lists = {"model": model, "tokens": list(tokens)}
    if types is not None:
        lists["token_type"] = np.array(types, np.int32)
    if scores is not None:
        lists["scores"] = np.array(scores, np.float32)
    return {f"tokenizer.ggml.{key}": value for key, value in (lists | keys).items()}
