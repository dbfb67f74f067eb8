"""All lanes of a vector into one, in one fixed order."""

from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.simd.vectors import I32, f32x8, is_vector, shuffle, undefined


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
def sums_of_halves(typing, a):
    """The sums of the first and of the last four lanes, each as (0 + 2) + (1 + 3): sum_f32's order from there on."""

    def code(context, builder, sig, args):
        v = args[0]
        for distance in (2, 1):
            v = builder.fadd(v, shuffle(builder, v, v, [i ^ distance for i in range(8)]))
        sums = [builder.extract_element(v, I32(0)), builder.extract_element(v, I32(4))]
        return context.make_tuple(builder, sig.return_type, sums)

    return signature(types.UniTuple(types.float32, 2), f32x8), code
