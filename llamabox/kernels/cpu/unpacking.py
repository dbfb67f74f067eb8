"""Lanes spread and widened: what the descriptions of block types need beyond simd."""

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.simd import (
    I8,
    I16,
    I32,
    I64,
    constant,
    converter,
    i8x16,
    i8x32,
    i8x64,
    i16x16,
    i16x32,
    i32x8,
    pointer,
    shuffle,
    shuffler,
    splat_to,
    undefined,
)

signed_i16x16 = converter(i8x16, i16x16, lambda b, v, t: b.sext(v, t))
bytes_of_i32x8 = converter(i32x8, i8x32, lambda b, v, t: b.bitcast(v, t))
i16x16_of_i32x8 = converter(i32x8, i16x16, lambda b, v, t: b.bitcast(v, t))

interleave_i8x8 = shuffler(2, i8x16, [i // 2 + 8 * (i % 2) for i in range(16)])  # a0 b0 a1 b1 ...
join_octets = shuffler(2, i8x32, [i % 8 + i // 16 * 8 + 16 * (i // 8 % 2) for i in range(32)])  # a0-7 b0-7 a8-15 b8-15
interleave_i8x16 = shuffler(2, i8x32, [i // 2 + 16 * (i % 2) for i in range(32)])
words = shuffler(2, i8x64, [i // 2 + 32 * (i % 2) for i in range(64)])  # 32 u16 of their low and their high bytes
low_bytes = converter(i16x32, i8x32, lambda b, v, t: b.trunc(v, t))
even_i32x8 = shuffler(2, i32x8, range(0, 16, 2))
odd_i32x8 = shuffler(2, i32x8, range(1, 16, 2))


def _spreader(result, source, shifts):
    """An op that copies an integer into each lane, shifted right by as much as its lane says; bits above stay."""
    vector = result.llvm

    @intrinsic
    def spread(typing, value):
        def code(context, builder, sig, args):
            lanes = splat_to(builder, builder.zext(args[0], I32) if args[0].type.width < 32 else args[0], vector)
            return builder.lshr(lanes, ir.Constant(vector, list(shifts)))

        return signature(result, source), code

    return spread


nibbles_of_u32 = _spreader(i32x8, types.uint32, range(0, 32, 4))
pairs_of_u16 = _spreader(i32x8, types.uint16, range(0, 16, 2))


@intrinsic
def triples_of_i64(typing, value):
    """The low 12 bits of each of four u16 as four lanes of 3 bits; bits above stay: i16x16."""

    def code(context, builder, sig, args):
        words = builder.bitcast(args[0], ir.VectorType(I16, 4))
        lanes = shuffle(builder, words, undefined(words.type), [i // 4 for i in range(16)])
        return builder.lshr(lanes, ir.Constant(i16x16.llvm, [3 * (i % 4) for i in range(16)]))

    return signature(i16x16, types.int64), code


@intrinsic
def words_of(typing, a, b):
    """The eight u16 of two int64, lowest first: i32x8."""

    def code(context, builder, sig, args):
        words = ir.VectorType(I16, 4)
        both = shuffle(builder, *(builder.bitcast(value, words) for value in args), range(8))
        return builder.zext(both, i32x8.llvm)

    return signature(i32x8, types.int64, types.int64), code


@intrinsic
def four_times(typing, value):
    """The 4 bytes of an integer, four times over: i8x16."""

    def code(context, builder, sig, args):
        return builder.bitcast(splat_to(builder, args[0], ir.VectorType(I32, 4)), i8x16.llvm)

    return signature(i8x16, types.int32), code


@intrinsic
def eight_times(typing, value):
    """Each of the 4 bytes of an integer in 8 lanes: i8x32."""

    def code(context, builder, sig, args):
        four = builder.bitcast(args[0], ir.VectorType(I8, 4))
        return shuffle(builder, four, undefined(four.type), [i // 8 for i in range(32)])

    return signature(i8x32, types.uint32), code


@intrinsic
def thirds(typing, a):
    """Which third of 0 .. 255 each unsigned byte is in, 0, 1 or 2: 3 a / 256 rounded down."""

    def code(context, builder, sig, args):
        above = (builder.icmp_unsigned(">=", args[0], constant(i8x32.llvm, bound)) for bound in (86, 171))
        one, two = (builder.zext(bits, i8x32.llvm) for bits in above)
        return builder.add(one, two)

    return signature(i8x32, i8x32), code


@intrinsic
def load_u8_each(typing, address, stride):
    """Eight bytes at address, address + stride, ... as i32x8."""

    def code(context, builder, sig, args):
        base, stride = args
        vector = undefined(i32x8.llvm)
        for lane in range(8):
            value = builder.load(pointer(builder, builder.add(base, builder.mul(I64(lane), stride)), I8))
            vector = builder.insert_element(vector, builder.zext(value, I32), I32(lane))
        return vector

    return signature(i32x8, types.intp, types.int64), code
