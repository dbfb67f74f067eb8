"""Every CUDA source of the backend cupy, compiled by NVIDIA's own compiler for several architectures. Needs no GPU.

    pip install nvidia-cuda-nvrtc-cu12
    python conformance/cuda_sources.py [--arch sm_60 --arch sm_90] [--out conformance/results/cuda_sources.json]

Options are those that CuPy and kernels/cuda/sources.py give. Of each source: how many kernels, the most registers that
one of them uses, bytes of spilled registers; and its digest, by which a test sees whether the results are of today's.
Ends with 1 where one does not compile or spills.
"""

import argparse
import ctypes
import hashlib
import importlib.util
import json
import re
import sys
from pathlib import Path

from llamabox.gguf import GGMLType
from llamabox.kernels import CACHE_TYPES
from llamabox.kernels.cuda import sources

ARCHS = ("sm_60", "sm_90")  # without dp4a, and with it
HEADS = ((64, 64), (80, 80), (128, 128), (192, 128), (256, 256))  # sizes of keys and values
COLUMNS = ("kernels", "most registers", "bytes spilled")
OPTIONS = ("--std=c++14", "-ftz=true", "--ptxas-options=-v")


def every_source() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name -> (source, further options)."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for type in sources.FORMATS:
        for file in ("products.cu", "unpack.cu"):
            found[f"{file} {type.name}"] = sources.block_source(type, file), ()
    for type in sources.ELEMENTS:
        found[f"floats.cu {type.name}"] = sources.element_source(type, "floats.cu"), ()
    for file in ("elementwise.cu", "experts.cu", "largest.cu"):
        found[file] = sources.plain_source(file), ()
    for type in CACHE_TYPES.values():
        found[f"store.cu {type.name}"] = sources.store_source(type), ("--fmad=false",)
        for sizes in HEADS if type == GGMLType.F16 else HEADS[2:3]:
            found[f"attention.cu {type.name} {sizes}"] = sources.attention_source(type, type, *sizes), ()
    return found


def digests() -> dict[str, str]:
    """Name -> digest of a source with its options."""
    every = every_source().items()
    return {name: hashlib.sha256(repr(program).encode()).hexdigest()[:12] for name, program in every}


class Compiler:
    """NVRTC, of the package nvidia-cuda-nvrtc-cu12."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("nvidia.cuda_nvrtc")
        if spec is None or not spec.submodule_search_locations:
            sys.exit("the package nvidia-cuda-nvrtc-cu12 is not installed")
        (path,) = Path(list(spec.submodule_search_locations)[0]).glob("lib/libnvrtc.so.*[0-9]")
        self._dll = ctypes.CDLL(str(path))
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._dll.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"

    def compile(self, source: str, options: tuple[str, ...]) -> tuple[bool, str]:
        """(whether it compiled, the log)"""
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        self._dll.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        done = self._dll.nvrtcCompileProgram(program, len(options), given) == 0
        self._dll.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        self._dll.nvrtcGetProgramLog(program, log)
        self._dll.nvrtcDestroyProgram(ctypes.byref(program))
        return done, log.value.decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", action="append", help=f"default: {', '.join(ARCHS)}")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "cuda_sources.json")
    args = parser.parse_args()
    compiler, results, failed = Compiler(), {}, False
    for arch in args.arch or ARCHS:
        for name, (source, more) in every_source().items():
            done, log = compiler.compile(source, (f"--gpu-architecture={arch}", *OPTIONS, *more))
            spilled = sum(map(int, re.findall(r"(\d+) bytes spill (?:stores|loads)", log)))
            registers = list(map(int, re.findall(r"Used (\d+) registers", log)))
            results.setdefault(arch, {})[name] = [len(registers), max(registers, default=0), spilled]
            if not done or spilled:
                failed = True
                print(f"{arch} {name}: {log[:2000] if not done else f'{spilled} bytes of registers spilled'}")
        print(f"{arch}: {len(results[arch])} sources", flush=True)
    facts = {"nvrtc": compiler.version, "digests": digests(), "columns": COLUMNS, "results": results}
    args.out.write_text(json.dumps(facts, separators=(",", ":")) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
