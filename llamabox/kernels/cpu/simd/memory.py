"""Loads and stores at addresses, which need no alignment."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.simd.vectors import (
    F32,
    I8,
    I16,
    I32,
    I64,
    Vec,
    call_llvm,
    f32x8,
    f32x16,
    i8x16,
    i8x32,
    i8x64,
    i16x16,
    i16x32,
    i32x8,
    i32x16,
    pointer,
)


def _loader(result, element=None):
    element = result.llvm if isinstance(result, Vec) else element

    @intrinsic
    def load(typing, address):
        def code(context, builder, sig, args):
            value = builder.load(pointer(builder, args[0], element))
            value.align = 1
            return value

        return signature(result, types.intp), code

    return load


load_i8x16, load_i8x32, load_i8x64 = _loader(i8x16), _loader(i8x32), _loader(i8x64)
load_i16x16, load_i16x32 = _loader(i16x16), _loader(i16x32)
load_i32x8, load_i32x16 = _loader(i32x8), _loader(i32x16)
load_f32x8, load_f32x16 = _loader(f32x8), _loader(f32x16)
load_u8, load_u16, load_u32 = _loader(types.uint8, I8), _loader(types.uint16, I16), _loader(types.uint32, I32)
load_i32, load_i64, load_f32 = _loader(types.int32, I32), _loader(types.int64, I64), _loader(types.float32, F32)


@intrinsic
def store(typing, address, value):
    """Write a vector or scalar at an address."""

    def code(context, builder, sig, args):
        write = builder.store(args[1], pointer(builder, args[0], args[1].type))
        write.align = 1
        return context.get_dummy_value()

    return signature(types.void, types.intp, value), code


def _stack(size):
    @intrinsic
    def memory(typing):
        def code(context, builder, sig, args):
            bytes_ = cgutils.alloca_once(builder, ir.ArrayType(I8, size))
            return builder.ptrtoint(bytes_, I64)

        return signature(types.intp), code

    return memory


stack_512 = _stack(512)  # the address of 512 bytes of the calling kernel's stack; what they hold is undefined


@intrinsic
def prefetch(typing, address):
    """Ask for the cache line at an address; harmless anywhere."""

    def code(context, builder, sig, args):
        place = pointer(builder, args[0], I8)
        call_llvm(builder, "llvm.prefetch.p0", ir.VoidType(), [place, I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return signature(types.void, types.intp), code
