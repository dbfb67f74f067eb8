"""All lanes of a vector into one, in one fixed order."""

from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.simd.vectors import I32, i32x8, is_vector, shuffle, undefined


def _reducer(element, combine):
    """Halves onto each other until one lane is left: of 8, ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))."""

    @intrinsic
    def reduce(typing, a):
        if not is_vector(a, element):
            return None

        def code(context, builder, sig, args):
            v = args[0]
            while v.type.count > 1:
                half = v.type.count // 2
                low = shuffle(builder, v, undefined(v.type), range(half))
                high = shuffle(builder, v, undefined(v.type), range(half, 2 * half))
                v = combine(builder, low, high)
            return builder.extract_element(v, I32(0))

        return signature(a.scalar, a), code

    return reduce


sum_f32 = _reducer("f32", lambda b, x, y: b.fadd(x, y))
sum_i32 = _reducer("i32", lambda b, x, y: b.add(x, y))
largest_i32 = _reducer("i32", lambda b, x, y: b.select(b.icmp_signed(">", x, y), x, y))
largest_f32 = _reducer("f32", lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


@intrinsic
def fold_pairs(typing, a, b):
    """Neighbours added: a0 + a1, a2 + a3, b0 + b1, b2 + b3, and in the last half the same of lanes 4 to 7."""

    def code(context, builder, sig, args):
        even, odd = (shuffle(builder, *args, [i + odd for i in (0, 2, 8, 10, 4, 6, 12, 14)]) for odd in (0, 1))
        return builder.add(even, odd)

    return signature(i32x8, i32x8, i32x8), code
