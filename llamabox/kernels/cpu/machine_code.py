"""Machine code of kernels, kept as object files, so that numba is needed only to make it.

numba turns a Python function into LLVM's language; LLVM makes an object file of that, which later starts load without
numba in about a millisecond. A file belongs to one version of the kernels' sources (cache.py), and appears when it is
complete.
"""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm

from llamabox.kernels.compiling import telling
from llamabox.kernels.cpu.cache import kernel_cache_dir
from llamabox.kernels.cpu.features import target_cpu

SYMBOL = "llamabox_kernel"  # what the function is called in its object file
# What machine code may call: C's memory and f32 functions, and what atomics.py waits with.
ALLOWED = {
    "memset",
    "memcpy",
    "memmove",
    "sched_yield",
    "usleep",
    "SwitchToThread",
    "Sleep",
    "sqrtf",
    "floorf",
    "rintf",
}

log = logging.getLogger(__name__)
_one_at_a_time = threading.RLock()
_engines: list[llvm.ExecutionEngine] = []  # own the code that runs


def load(name: str, signature: str, function: Callable[[], Callable]) -> int:
    """The address of a kernel's machine code, which is made first where the cache has none.

    name       tells kernels apart
    signature  as numba writes it: "void(int64, int64, int64)"
    function   makes the Python function that numba compiles
    """
    path = kernel_cache_dir() / f"{name.replace(' ', '-')}.o"
    with _one_at_a_time:
        if not path.exists():
            with telling(name):
                _write(path, _compile(name, signature, function()))
        return _place(path.read_bytes())


def _compile(name: str, signature: str, function: Callable) -> bytes:
    """An object file of the function, under SYMBOL."""
    import numba

    began = time.perf_counter()
    compiled = numba.cfunc(signature, error_model="numpy")(function)
    module = llvm.parse_assembly(compiled.inspect_llvm())
    for part in module.functions:
        if part.name == compiled.native_name:
            part.name = SYMBOL
        elif not part.is_declaration:
            part.linkage = llvm.Linkage.internal
    _drop_error_paths(module)
    outside = {part.name for part in module.functions if part.is_declaration and not part.name.startswith("llvm.")}
    if not outside <= ALLOWED:
        raise RuntimeError(f"kernel {name}: calls {', '.join(sorted(outside - ALLOWED))}, which needs numba to run")
    code = _machine().emit_object(module)
    log.debug("kernel %s: %.2f s", name, time.perf_counter() - began)
    return code


def _drop_error_paths(module: llvm.ModuleRef) -> None:
    """Remove numba's handling of exceptions, which call into Python: kernels raise none."""
    passes = llvm.create_new_module_pass_manager()
    passes.add_ipsccp_pass()
    passes.add_global_opt_pass()
    passes.add_simplify_cfg_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(_machine(), llvm.create_pipeline_tuning_options(speed_level=2)))


@cache
def _machine() -> llvm.TargetMachine:
    """The CPU that numba compiles for too.

    Addresses in the code are of 64 bits, as numba's are: parts of an object file may land more than 2 GB apart, where
    large files are mapped between them.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple = llvm.get_process_triple()
    how = {"reloc": "static" if triple.startswith("x86") else "default", "codemodel": "jitdefault", "jit": True}
    return llvm.Target.from_triple(triple).create_target_machine(*target_cpu(), opt=3, **how)


def _write(path: Path, code: bytes) -> None:
    """Put a file where others may look for it at the same time."""
    path.parent.mkdir(mode=0o700, exist_ok=True)  # a process may outlive its version's folder
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(code)
    os.replace(temporary, path)


def _place(code: bytes) -> int:
    """The address of the function in an object file, loaded into this process."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return engine.get_function_address(SYMBOL)
