"""Which lane holds what: one value in all of them, lanes picked from vectors, vectors joined and cut in halves."""

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.simd.vectors import (
    I32,
    Vec,
    f32x8,
    f32x16,
    i8x32,
    i16x16,
    i32x8,
    i32x16,
    shuffle,
    splat_to,
    undefined,
)


def _splatter(vector):
    @intrinsic
    def splat(typing, value):
        def code(context, builder, sig, args):
            return splat_to(builder, args[0], vector.llvm)

        return signature(vector, vector.scalar), code

    return splat


splat_i8x32, splat_i16x16 = _splatter(i8x32), _splatter(i16x16)
splat_i32x8, splat_i32x16 = _splatter(i32x8), _splatter(i32x16)
splat_f32x8, splat_f32x16 = _splatter(f32x8), _splatter(f32x16)


def shuffler(arity, result, pattern):
    """An op that picks lanes of one or two vectors laid end to end."""
    if arity == 1:

        @intrinsic
        def pick(typing, a):
            def code(context, builder, sig, args):
                return shuffle(builder, args[0], undefined(args[0].type), pattern)

            return signature(result, a), code

    else:

        @intrinsic
        def pick(typing, a, b):
            def code(context, builder, sig, args):
                return shuffle(builder, args[0], args[1], pattern)

            return signature(result, a, b), code

    return pick


alternate_i16x16 = shuffler(2, i16x16, [i + 16 * (i % 2) for i in range(16)])  # a0 b1 a2 b3 ...
even_f32x8 = shuffler(2, f32x8, range(0, 16, 2))
odd_f32x8 = shuffler(2, f32x8, range(1, 16, 2))
interleave_low = shuffler(2, f32x8, [i // 2 + 8 * (i % 2) for i in range(8)])  # a0 b0 a1 b1 ...
interleave_high = shuffler(2, f32x8, [4 + i // 2 + 8 * (i % 2) for i in range(8)])  # a4 b4 a5 b5 ...


@intrinsic
def join(typing, a, b):
    """a then b in a vector twice as long."""
    if not isinstance(a, Vec) or a != b:
        return None

    def code(context, builder, sig, args):
        return shuffle(builder, args[0], args[1], range(2 * a.lanes))

    return signature(Vec(a.element, 2 * a.lanes), a, b), code


def _half(which):
    @intrinsic
    def half(typing, a):
        if not isinstance(a, Vec):
            return None
        n = a.lanes // 2

        def code(context, builder, sig, args):
            return shuffle(builder, args[0], undefined(args[0].type), range(which * n, which * n + n))

        return signature(Vec(a.element, n), a), code

    return half


low_half, high_half = _half(0), _half(1)  # the first and the last half of a vector's lanes


def _halves(which):
    @intrinsic
    def halves(typing, a, b):
        if not isinstance(a, Vec) or a != b:
            return None
        n = a.lanes // 2

        def code(context, builder, sig, args):
            first = which * n
            return shuffle(builder, *args, [*range(first, first + n), *range(first + 2 * n, first + 3 * n)])

        return signature(a, a, b), code

    return halves


low_halves, high_halves = _halves(0), _halves(1)  # the first, or the last, halves of a and of b


@intrinsic
def keep_first(typing, a, n):
    """The first n lanes, and zeros."""
    if not isinstance(a, Vec):
        return None

    def code(context, builder, sig, args):
        lanes = ir.VectorType(I32, a.lanes)
        number = splat_to(builder, builder.trunc(args[1], I32), lanes)
        kept = builder.icmp_signed("<", ir.Constant(lanes, list(range(a.lanes))), number)
        return builder.select(kept, args[0], ir.Constant(a.llvm, None))

    return signature(a, a, types.int64), code


@intrinsic
def transpose8(typing, a, b, c, d, e, f, g, h):
    """Eight i8x32, each 8 groups of 4 bytes -> eight: the i-th holds the i-th group of a, of b, ... of h."""

    def code(context, builder, sig, args):
        wide = ir.VectorType(I32, 8)
        rows = [builder.bitcast(v, wide) for v in args]
        for patterns, distance in (
            (([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]), 1),
            (([0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]), 2),
            (([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]), 4),
        ):
            mixed = list(rows)
            for i in range(8):
                if not i & distance:
                    mixed[i] = shuffle(builder, rows[i], rows[i + distance], patterns[0])
                    mixed[i + distance] = shuffle(builder, rows[i], rows[i + distance], patterns[1])
            rows = mixed
        order = [0, 2, 1, 3, 4, 6, 5, 7]
        narrow = [builder.bitcast(rows[i], i8x32.llvm) for i in order]
        return context.make_tuple(builder, sig.return_type, narrow)

    return signature(types.UniTuple(i8x32, 8), *[i8x32] * 8), code
