"""From names to compiled kernels: .cu files are joined with what they need and given to CuPy's run-time compiler.

CuPy keeps what it compiled on disk (~/.cupy/kernel_cache), so a kernel is compiled once a machine.
"""

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from llamabox.gguf import GGMLType
from llamabox.gguf.dequant.codebooks import SHAPES, codebook

ELEMENTS = {GGMLType.F32: "f32", GGMLType.F16: "f16", GGMLType.BF16: "bf16"}
FORMATS = tuple(type for type in GGMLType if type.block_size > 1)
BOOK_OF = {"IQ1_M": "IQ1_S"}  # types that share another's codebook
THREADS = 256


@cache
def text(name: str) -> str:
    """A file of this package."""
    return (resources.files("llamabox.kernels.cuda") / name).read_text("utf-8")


def block_source(type: GGMLType, *files: str) -> str:
    """Source for weights of a block type: its description, then the files."""
    files = ("formats.cuh", "formats_iq.cuh" if _book_name(type) in SHAPES else "formats_small.cuh", *files)
    return f"#define FORMAT {type.name}\n" + text("common.cuh") + _book(type) + "".join(text(file) for file in files)


def element_source(type: GGMLType, *files: str) -> str:
    """Source for weights of F32, F16 or BF16."""
    return f"#define ELEMENT {ELEMENTS[type]}\n" + "".join(text(f) for f in ("common.cuh", "elements.cuh", *files))


def plain_source(*files: str) -> str:
    """Source that knows no type of weights."""
    return "".join(text(file) for file in ("common.cuh", *files))


def attention_source(key: GGMLType, value: GGMLType, k_size: int, v_size: int) -> str:
    """Source of attention over keys and values of these types and head sizes."""
    defines = f"#define KEY {_reader(key)}\n#define VALUE {_reader(value)}\n#define E {k_size}\n#define EV {v_size}\n"
    return defines + plain_source("elements.cuh", "formats.cuh", "formats_small.cuh", "attention.cu")


def store_source(type: GGMLType) -> str:
    """Source that writes rows of the KV cache as this type."""
    how = f"Plain<{ELEMENTS[type]}>" if type in ELEMENTS else f"Pack{type.name}"
    return f"#define STORE {how}\n" + plain_source("elements.cuh", "formats.cuh", "formats_small.cuh", "store.cu")


def _reader(type: GGMLType) -> str:
    return f"Plain<{ELEMENTS[type]}>" if type in ELEMENTS else f"Blocks<{type.name}>"


def _book_name(type: GGMLType) -> str:
    return BOOK_OF.get(type.name, type.name)


def _book(type: GGMLType) -> str:
    """The codebook of an IQ type as an array; IQ1's levels -1, 0, 1 plus 1."""
    name = _book_name(type)
    if name not in SHAPES:
        return ""
    entries = codebook(name)
    if name == "IQ1_S":
        entries = (entries.view(np.int8) + np.int8(1)).view(entries.dtype)
    word, suffix = ("u64", "ull") if entries.itemsize == 8 else ("u32", "u")
    return f"__device__ const {word} BOOK[] = {{{','.join(f'{entry}{suffix}' for entry in entries.tolist())}}};\n"


class Kernels:
    """The kernels of one device, compiled when first asked for, and how they are launched.

    cupy  the module
    """

    def __init__(self, cupy: Any):
        self._cupy = cupy
        self._found: dict[tuple, Any] = {}

    def block(self, type: GGMLType, file: str, name: str) -> Any:
        """Kernel `name` of a file, for weights of a block type."""
        return self._get((file, type, name), lambda: block_source(type, file))

    def element(self, type: GGMLType, name: str) -> Any:
        """Kernel `name` of floats.cu, for weights of F32, F16 or BF16."""
        return self._get(("floats.cu", type, name), lambda: element_source(type, "floats.cu"))

    def plain(self, file: str, name: str) -> Any:
        """Kernel `name` of a file that knows no type of weights."""
        return self._get((file, None, name), lambda: plain_source(file))

    def attention(self, key: GGMLType, value: GGMLType, k_size: int, v_size: int, name: str) -> Any:
        """Kernel `name` of attention.cu, for a cache of these types and head sizes."""
        sizes = (key, value, k_size, v_size)
        return self._get(("attention.cu", *sizes, name), lambda: attention_source(*sizes))

    def store(self, type: GGMLType) -> Any:
        """The kernel that writes rows of a cache of this type; its roundings are those of the reference."""
        return self._get(("store.cu", type, "store_rows"), lambda: store_source(type), exact=True)

    def _get(self, key: tuple, source: Callable[[], str], exact: bool = False) -> Any:
        """exact: no product is joined with a sum"""
        kernel = self._found.get(key)
        if kernel is None:
            module = self._found.get(key[:-1])
            if module is None:
                module = self._found[key[:-1]] = self._cupy.RawModule(code=source(), options=self._options(exact))
            kernel = self._found[key] = module.get_function(key[-1])
        return kernel

    def _options(self, exact: bool) -> tuple[str, ...]:
        if self._cupy.cuda.runtime.is_hip:
            return ("-ffp-contract=off",) if exact else ()
        return ("--std=c++14", *(("--fmad=false",) if exact else ()))


def blocks_of(threads: int, per_block: int = THREADS) -> tuple[int]:
    """The grid that has at least so many threads."""
    return (max(1, -(-threads // per_block)),)
