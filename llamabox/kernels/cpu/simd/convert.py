"""From one element type to another, by value or by bits."""

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.simd.vectors import (
    F32,
    I64,
    Vec,
    call_llvm,
    i8x8,
    i8x32,
    i32x8,
    is_vector,
)


def converter(source, result, convert):
    """An op from one type to another; convert(builder, value, LLVM type) makes its code."""

    @intrinsic
    def op(typing, a):
        def code(context, builder, sig, args):
            return convert(builder, args[0], result.llvm)

        return signature(result, source), code

    return op


def _lanewise(source, result, convert):
    """An op of vectors of any length, from elements of one type to another."""

    @intrinsic
    def op(typing, a):
        if not is_vector(a, source):
            return None
        target = Vec(result, a.lanes)

        def code(context, builder, sig, args):
            return convert(builder, args[0], target.llvm)

        return signature(target, a), code

    return op


def _round(builder, value, vector):
    nearest = call_llvm(builder, f"llvm.rint.v{vector.count}f32", value.type, [value])
    return builder.fptosi(nearest, vector)


unsigned_i32x8 = converter(i8x8, i32x8, lambda b, v, t: b.zext(v, t))
narrow_i8x8 = converter(i32x8, i8x8, lambda b, v, t: b.trunc(v, t))

# of any length
signed_i32 = _lanewise("i8", "i32", lambda b, v, t: b.sext(v, t))
narrow_i8 = _lanewise("i32", "i8", lambda b, v, t: b.trunc(v, t))
to_f32 = _lanewise("i32", "f32", lambda b, v, t: b.sitofp(v, t))
to_i32 = _lanewise("f32", "i32", _round)  # to the nearest, halves to even
bits_of = _lanewise("f32", "i32", lambda b, v, t: b.bitcast(v, t))
f32_of = _lanewise("i32", "f32", lambda b, v, t: b.bitcast(v, t))


@intrinsic
def f32_of_bits(typing, a):
    """An int32's bits as a float32."""

    def code(context, builder, sig, args):
        return builder.bitcast(args[0], F32)

    return signature(types.float32, types.int32), code


@intrinsic
def bytes_of_i64(typing, a):
    """An integer's 8 bytes, lowest first."""

    def code(context, builder, sig, args):
        return builder.bitcast(args[0], i8x8.llvm)

    return signature(i8x8, types.uint64), code


@intrinsic
def i64_of_bytes(typing, a):
    """8 bytes as an integer, lowest first."""

    def code(context, builder, sig, args):
        return builder.bitcast(args[0], I64)

    return signature(types.uint64, i8x8), code


def _masker(vector, bits):
    @intrinsic
    def mask(typing, a):
        def code(context, builder, sig, args):
            return builder.sext(builder.bitcast(args[0], ir.VectorType(ir.IntType(1), vector.lanes)), vector.llvm)

        return signature(vector, bits), code

    return mask


# The bits of an integer, one a lane, lowest first: all bits of a lane, or none.
mask_i8x32 = _masker(i8x32, types.uint32)
