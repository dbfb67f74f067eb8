"""Reads seeded blocks of every type with ggml and stores what came out; compares our values bit for bit.

    LLAMA_CPP_DIR=.../bin LLAMA_CPP_SOURCE=... python conformance/dequantize.py

Writes conformance/results/dequantize.json: per type its block sizes and the CRC-32 of ggml's values on random_blocks.
The gguf package, where it reads the type, is compared too. tests/gguf/test_gguf_dequantize.py checks against the file.
"""

import json
import zlib
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
from ggml import Ggml
from gguf_cases import canonical_bytes, random_blocks

from llamabox.gguf import GGMLType, dequantize

RESULTS = Path(__file__).parent / "results" / "dequantize.json"


def gguf_values(blocks, type):
    """The gguf package's values, or None when it cannot read the type."""
    try:
        return gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[type.name])
    except (KeyError, NotImplementedError):
        return None


def equality(ours, theirs):
    if theirs is None:
        return "not available"
    return "equal" if canonical_bytes(ours) == canonical_bytes(theirs) else "DIFFERENT"


def main():
    ggml = Ggml()
    types = {}
    with np.errstate(all="ignore"):
        for type in (t for t in GGMLType if t.dtype is None):
            blocks = random_blocks(type)
            ours, theirs = dequantize(blocks, type), ggml.dequantize(blocks, type)
            block_size, type_size = ggml.sizes(type)
            types[type.name] = {
                "block_size": block_size,
                "type_size": type_size,
                "crc32": None if theirs is None else zlib.crc32(canonical_bytes(theirs)),
                "ggml": equality(ours, theirs),
                "gguf": equality(ours, gguf_values(blocks, type)),
            }
            print(f"{type.name:8} ggml: {types[type.name]['ggml']:14} gguf: {types[type.name]['gguf']}")
    provenance = {
        "program": f"libggml-base ({ggml.version}), gguf {version('gguf')}, NumPy {np.__version__}",
        "command": "LLAMA_CPP_DIR=<bin> python conformance/dequantize.py",
    }
    RESULTS.write_text(json.dumps({"provenance": provenance, "types": types}, indent=1) + "\n")


if __name__ == "__main__":
    main()
