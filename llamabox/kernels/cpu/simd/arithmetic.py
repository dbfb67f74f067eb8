"""Lane by lane: fused multiply-add, the larger and the smaller."""

from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.simd.vectors import call_llvm, constant, is_vector, splat_to


@intrinsic
def fma(typing, a, b, c):
    """a * b + c of f32 vectors; one rounding where the CPU has it."""
    if not is_vector(a, "f32") or not a == b == c:
        return None

    def code(context, builder, sig, args):
        if FEATURES.fma:
            return call_llvm(builder, f"llvm.fma.v{a.lanes}f32", a.llvm, list(args))
        return builder.fadd(builder.fmul(args[0], args[1]), args[2])

    return signature(a, a, a, a), code


def _chooser(element, larger):
    @intrinsic
    def choose(typing, a, b):
        if not is_vector(a, element) or a != b:
            return None

        def code(context, builder, sig, args):
            compare = builder.fcmp_ordered if element == "f32" else builder.icmp_signed
            return builder.select(compare(">" if larger else "<", args[0], args[1]), args[0], args[1])

        return signature(a, a, a), code

    return choose


max_f32, min_f32 = _chooser("f32", True), _chooser("f32", False)  # the second argument where either is NaN
max_i32 = _chooser("i32", True)


@intrinsic
def zero_below(typing, a, low, b):
    """b, but 0 in the lanes where a < low (not where a is NaN)."""
    if not is_vector(a, "f32") or a != b:
        return None

    def code(context, builder, sig, args):
        below = builder.fcmp_ordered("<", args[0], splat_to(builder, args[1], a.llvm))
        return builder.select(below, constant(a.llvm, 0.0), args[2])

    return signature(a, a, types.float32, a), code
