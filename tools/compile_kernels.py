"""Compile the cpu backend's kernels for aarch64, on any machine; nothing of it runs.

    python tools/compile_kernels.py [--dotprod] [--match PATTERN]

One line a kernel: its name, the bytes of its object file, how many 8-bit dot products its assembly has. --dotprod: for
CPUs that have them (Arm v8.2 and later). --match: only kernels whose name holds this regular expression.
"""

import argparse
import re
from collections.abc import Iterator
from typing import Any

import llvmlite.binding as llvm
from numba.core import sigutils
from numba.core.ccallback import CFunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUContext

from llamabox.kernels.cpu import features

TRIPLE = "aarch64-unknown-linux-gnu"


def choose(dotprod: bool) -> llvm.TargetMachine:
    """Make all kernels that are imported from now on those of an aarch64 CPU; the machine that LLVM then needs."""
    features.FEATURES = features.features_of("aarch64", ({"dotprod"} if dotprod else set()).__contains__, "native")
    JITCodeLibrary._finalize_specific = lambda self: None  # numba must not make machine code of it for this CPU
    CPUContext.get_executable = lambda self, library, description, environment: [].copy  # some function
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(TRIPLE)
    return target.create_target_machine(features="+neon,+dotprod" if dotprod else "+neon", opt=3)


def kernels() -> Iterator[Any]:
    """Every kernel."""
    from llamabox.kernels.cpu import products
    from llamabox.kernels.cpu.arithmetic import OPERATIONS
    from llamabox.kernels.cpu.cache_types import CACHE
    from llamabox.kernels.cpu.elementwise import ACTIVATIONS
    from llamabox.kernels.cpu.kernel import kernel
    from llamabox.kernels.cpu.runner import RUN
    from llamabox.kernels.cpu.threads import HELP
    from llamabox.kernels.cpu.tiles import SOURCES
    from llamabox.kernels.cpu.unit import UNITS

    for name in (*UNITS, *products.FLOATS):
        kinds = (products.one_row, products.two_rows, products.four_rows, products.many_rows)
        yield from dict.fromkeys(kind(name) for kind in kinds)
    yield from (kernel("elementwise", name) for name in ("rms_norm", "layer_norm", "rope"))
    for name in ACTIVATIONS:
        yield from (kernel(file, "activate", name) for file in ("elementwise", "fused"))
    yield from (kernel("arithmetic", "combine", name) for name in OPERATIONS)
    for name in CACHE:
        yield from (kernel("cache_types", function, name) for function in ("store_rows", "read_rows"))
    for name in SOURCES:
        yield from (kernel("tiles", function, name) for function in ("dot_block", "mix_block"))
    for file, function in (
        ("activation", "quantise"),
        ("arithmetic", "take_rows"),
        ("attention", "attend"),
        ("fused", "rms_norm"),
    ):
        yield kernel(file, function)
    yield from (RUN, HELP)


def module_of(kernel, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """A kernel in LLVM's language, as numba leaves it, said to be for that machine."""
    arguments, result = sigutils.normalize_signature(kernel.signature)
    function = CFunc(kernel.python(), (arguments, result), locals={}, options={"error_model": "numpy"})
    library = function._compile_uncached().library
    with global_compiler_lock:
        library.finalize()
    module = llvm.parse_assembly(library.get_llvm_str())
    module.triple, module.data_layout = TRIPLE, str(machine.target_data)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dotprod", action="store_true")
    parser.add_argument("--match", default="")
    options = parser.parse_args()
    machine = choose(options.dotprod)
    for kernel in (kernel for kernel in kernels() if re.search(options.match, kernel.name)):
        module = module_of(kernel, machine)
        size, lines = len(machine.emit_object(module)), machine.emit_assembly(module).splitlines()
        print(f"{kernel.name}: {size} bytes, {sum(line.strip().startswith('sdot') for line in lines)} sdot", flush=True)


if __name__ == "__main__":
    main()
