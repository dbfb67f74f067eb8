"""`+ - * / & | ^ << >>` of vectors, lane by lane, also with a scalar on the right."""

import operator

from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

from llamabox.kernels.cpu.simd.vectors import ELEMENTS, Vec, splat_to

_INTEGER = {
    operator.add: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.and_: "and_",
    operator.or_: "or_",
    operator.xor: "xor",
    operator.lshift: "shl",
    operator.rshift: "lshr",
}
_FLOAT = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}


class _VecOperator(AbstractTemplate):
    """vector op vector, or vector op scalar."""

    def generic(self, args, kws):
        if len(args) != 2 or not isinstance(args[0], Vec):
            return None
        a, b = args
        if b == a:
            return signature(a, a, a)
        if isinstance(b, types.Number):
            return signature(a, a, types.float32 if a.element == "f32" else types.int64)
        return None


def _lower(op):
    def code(context, builder, sig, args):
        vector, (a, b) = sig.args[0], args
        if sig.args[1] != vector:
            if vector.element != "f32":
                b = builder.trunc(b, ELEMENTS[vector.element]) if vector.element != "i64" else b
            b = splat_to(builder, b, vector.llvm)
        return getattr(builder, (_FLOAT if vector.element == "f32" else _INTEGER)[op])(a, b)

    return code


for _op in {**_INTEGER, **_FLOAT}:
    infer_global(_op)(type(f"_Vec_{_op.__name__}", (_VecOperator,), {"key": _op}))
    lower_builtin(_op, Vec, Vec)(_lower(_op))
    lower_builtin(_op, Vec, types.Number)(_lower(_op))
