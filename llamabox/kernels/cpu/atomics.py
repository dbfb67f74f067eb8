"""What threads share: atomic integers, calls through addresses, waiting."""

import sys

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.simd import I64, call_llvm, pointer


@intrinsic
def fetch_add(typing, address, amount):
    """Atomically add to the int64 at an address; returns what it was."""

    def code(context, builder, sig, args):
        return builder.atomic_rmw("add", pointer(builder, args[0], I64), args[1], "seq_cst")

    return signature(types.int64, types.intp, types.int64), code


@intrinsic
def atomic_load(typing, address):
    """The int64 at an address, with everything that was stored before it."""

    def code(context, builder, sig, args):
        return builder.load_atomic(pointer(builder, args[0], I64), "seq_cst", 8)

    return signature(types.int64, types.intp), code


@intrinsic
def atomic_store(typing, address, value):
    """Set the int64 at an address, after everything stored so far."""

    def code(context, builder, sig, args):
        builder.store_atomic(args[1], pointer(builder, args[0], I64), "seq_cst", 8)
        return context.get_dummy_value()

    return signature(types.void, types.intp, types.int64), code


@intrinsic
def pause(typing):
    """Tell the CPU that this is a waiting loop."""

    def code(context, builder, sig, args):
        if FEATURES.x86:
            call_llvm(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
        return context.get_dummy_value()

    return signature(types.void), code


if sys.platform == "win32":
    yield_core = types.ExternalFunction("SwitchToThread", types.int32())
    nap = types.ExternalFunction("Sleep", types.void(types.uint32))  # milliseconds
    NAP = 1
else:
    yield_core = types.ExternalFunction("sched_yield", types.int32())
    nap = types.ExternalFunction("usleep", types.int32(types.uint32))  # microseconds
    NAP = 50


@intrinsic
def call(typing, function, args, task, thread):
    """Call the C function void(int64, int64, int64) at an address."""

    def code(context, builder, sig, values):
        kind = ir.FunctionType(ir.VoidType(), [I64] * 3)
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
        return context.get_dummy_value()

    return signature(types.void, types.intp, types.int64, types.int64, types.int64), code
