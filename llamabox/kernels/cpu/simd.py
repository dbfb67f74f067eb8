"""Vector values for numba functions: each is one LLVM vector, so kernels read as Python and run as SIMD.

    acc = fma(to_f32(isum), scales * load_f32x8(x), acc)

Types are named as i8x32 is: kind, bits, lanes. Integers carry no sign; the ops that care say so. `+ - * & | << >>` work
lane by lane, also with a scalar on the right; `>>` shifts in zeros. Addresses are plain integers and need no alignment.
LLVM lowers all of it on any CPU; only mul_pairs, sum_pairs, fma and the f16 conversions (halves.py) have CPU-specific
forms. What threads share is in atomics.py.
"""

import operator

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.datamodel import models, register_default
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin

from llamabox.kernels.cpu.features import FEATURES

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
ELEMENTS = {"i8": I8, "i16": I16, "i32": I32, "i64": I64, "f32": F32}

# Functions that kernels are made of: inlined, never called from Python.
inline = njit(forceinline=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


class Vec(types.Type):
    """`lanes` values of one element type in one LLVM vector."""

    def __init__(self, element: str, lanes: int):
        self.element, self.lanes = element, lanes
        super().__init__(name=f"{element}x{lanes}")

    @property
    def llvm(self) -> ir.VectorType:
        return ir.VectorType(ELEMENTS[self.element], self.lanes)


@register_default(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.llvm)


i8x8, i8x16, i8x32 = Vec("i8", 8), Vec("i8", 16), Vec("i8", 32)
i16x8, i16x16 = Vec("i16", 8), Vec("i16", 16)
i32x8, f32x8 = Vec("i32", 8), Vec("f32", 8)


def _const(vector: ir.VectorType, value) -> ir.Constant:
    return ir.Constant(vector, [value] * vector.count)


def _call(builder, name, result, args):
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, [a.type for a in args]), name)
    return builder.call(function, args)


def _shuffle(builder, a, b, pattern):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(pattern)), list(pattern)))


def _splat(builder, value, vector):
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, value, I32(0))
    return _shuffle(builder, one, undefined, [0] * vector.count)


# ---- operators ------------------------------------------------------------------------------------------------------

_INTEGER = {
    operator.add: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.and_: "and_",
    operator.or_: "or_",
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
            b = _splat(builder, b, vector.llvm)
        return getattr(builder, (_FLOAT if vector.element == "f32" else _INTEGER)[op])(a, b)

    return code


for _op in {**_INTEGER, **_FLOAT}:
    infer_global(_op)(type(f"_Vec_{_op.__name__}", (_VecOperator,), {"key": _op}))
    lower_builtin(_op, Vec, Vec)(_lower(_op))
    lower_builtin(_op, Vec, types.Number)(_lower(_op))


# ---- memory ---------------------------------------------------------------------------------------------------------


def _pointer(builder, address, element):
    return builder.inttoptr(address, element.as_pointer())


def _loader(result, element):
    @intrinsic
    def load(typing, address):
        def code(context, builder, sig, args):
            value = builder.load(_pointer(builder, args[0], element))
            value.align = 1
            return value

        return signature(result, types.intp), code

    return load


load_i8x16, load_i8x32 = _loader(i8x16, i8x16.llvm), _loader(i8x32, i8x32.llvm)
load_i16x16, load_f32x8 = _loader(i16x16, i16x16.llvm), _loader(f32x8, f32x8.llvm)
load_u16, load_u32 = _loader(types.uint16, I16), _loader(types.uint32, I32)
load_i32, load_i64, load_f32 = _loader(types.int32, I32), _loader(types.int64, I64), _loader(types.float32, F32)


@intrinsic
def store(typing, address, value):
    """Write a vector or scalar at an address."""

    def code(context, builder, sig, args):
        write = builder.store(args[1], _pointer(builder, args[0], args[1].type))
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
        name = "llvm.prefetch.p0"
        pointer = _pointer(builder, args[0], I8)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32]), name
        )
        builder.call(function, [pointer, I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return signature(types.void, types.intp), code


# ---- lanes ----------------------------------------------------------------------------------------------------------


def _splatter(vector, scalar):
    @intrinsic
    def splat(typing, value):
        def code(context, builder, sig, args):
            return _splat(builder, args[0], vector.llvm)

        return signature(vector, scalar), code

    return splat


splat_f32x8 = _splatter(f32x8, types.float32)
splat_i16x16 = _splatter(i16x16, types.int16)


def _shuffler(arity, result, pattern):
    """An op that picks lanes of one or two vectors laid end to end."""
    if arity == 1:

        @intrinsic
        def pick(typing, a):
            def code(context, builder, sig, args):
                return _shuffle(builder, args[0], ir.Constant(args[0].type, ir.Undefined), pattern)

            return signature(result, a), code

    else:

        @intrinsic
        def pick(typing, a, b):
            def code(context, builder, sig, args):
                return _shuffle(builder, args[0], args[1], pattern)

            return signature(result, a, b), code

    return pick


join_i8x16 = _shuffler(2, i8x32, range(32))  # a then b
even_i8x8 = _shuffler(1, i8x8, range(0, 16, 2))  # of i8x16
odd_i8x8 = _shuffler(1, i8x8, range(1, 16, 2))
twice_i16x8 = _shuffler(1, i16x16, [i // 2 for i in range(16)])  # 0 0 1 1 2 2 ...
alternate_i16x16 = _shuffler(2, i16x16, [i + 16 * (i % 2) for i in range(16)])  # a0 b1 a2 b3 ...
even_f32x8 = _shuffler(2, f32x8, range(0, 16, 2))
odd_f32x8 = _shuffler(2, f32x8, range(1, 16, 2))
interleave_low = _shuffler(2, f32x8, [i // 2 + 8 * (i % 2) for i in range(8)])  # a0 b0 a1 b1 ...
low_halves = _shuffler(2, f32x8, [0, 1, 2, 3, 8, 9, 10, 11])
high_halves = _shuffler(2, f32x8, [4, 5, 6, 7, 12, 13, 14, 15])
interleave_high = _shuffler(2, f32x8, [4 + i // 2 + 8 * (i % 2) for i in range(8)])  # a4 b4 a5 b5 ...


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
                    mixed[i] = _shuffle(builder, rows[i], rows[i + distance], patterns[0])
                    mixed[i + distance] = _shuffle(builder, rows[i], rows[i + distance], patterns[1])
            rows = mixed
        order = [0, 2, 1, 3, 4, 6, 5, 7]
        narrow = [builder.bitcast(rows[i], i8x32.llvm) for i in order]
        return context.make_tuple(builder, sig.return_type, narrow)

    return signature(types.UniTuple(i8x32, 8), *[i8x32] * 8), code


# ---- widths and kinds -----------------------------------------------------------------------------------------------


def _converter(source, result, convert):
    @intrinsic
    def op(typing, a):
        def code(context, builder, sig, args):
            return convert(builder, args[0], result.llvm)

        return signature(result, source), code

    return op


unsigned_i32x8 = _converter(i8x8, i32x8, lambda b, v, t: b.zext(v, t))
signed_i16x8 = _converter(i8x8, i16x8, lambda b, v, t: b.sext(v, t))
narrow_i8x8 = _converter(i32x8, i8x8, lambda b, v, t: b.trunc(v, t))
to_f32 = _converter(i32x8, f32x8, lambda b, v, t: b.sitofp(v, t))
bits_of = _converter(f32x8, i32x8, lambda b, v, t: b.bitcast(v, t))
f32_of = _converter(i32x8, f32x8, lambda b, v, t: b.bitcast(v, t))
to_i32 = _converter(f32x8, i32x8, lambda b, v, t: b.fptosi(_call(b, "llvm.rint.v8f32", f32x8.llvm, [v]), t))


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


@intrinsic
def mask_i8x32(typing, a):
    """The 32 bits of an integer, one a lane, lowest first: all bits of a lane, or none."""

    def code(context, builder, sig, args):
        return builder.sext(builder.bitcast(args[0], ir.VectorType(ir.IntType(1), 32)), i8x32.llvm)

    return signature(i8x32, types.uint32), code


# ---- arithmetic -----------------------------------------------------------------------------------------------------


@intrinsic
def fma(typing, a, b, c):
    """a * b + c; one rounding where the CPU has it."""

    def code(context, builder, sig, args):
        if FEATURES.fma:
            return _call(builder, "llvm.fma.v8f32", f32x8.llvm, list(args))
        return builder.fadd(builder.fmul(args[0], args[1]), args[2])

    return signature(f32x8, f32x8, f32x8, f32x8), code


def _pairwise(builder, a, b):
    """Extend both, multiply, add neighbours: the portable form of both pair ops. a, b already wide."""
    product = builder.mul(a, b)
    lanes = product.type.count
    undefined = ir.Constant(product.type, ir.Undefined)
    even = _shuffle(builder, product, undefined, range(0, lanes, 2))
    odd = _shuffle(builder, product, undefined, range(1, lanes, 2))
    return builder.add(even, odd)


@intrinsic
def mul_pairs(typing, a, b):
    """unsigned a (i8x32) times signed b (i8x32), neighbours added: i16x16. The sums must fit 16 bits."""

    def code(context, builder, sig, args):
        if FEATURES.avx2:
            return _call(builder, "llvm.x86.avx2.pmadd.ub.sw", i16x16.llvm, list(args))
        wide = ir.VectorType(I16, 32)
        return _pairwise(builder, builder.zext(args[0], wide), builder.sext(args[1], wide))

    return signature(i16x16, i8x32, i8x32), code


@intrinsic
def signed_mul_pairs(typing, a, b):
    """signed a times signed b, neighbours added: i16x16. b must not hold -128."""

    def code(context, builder, sig, args):
        if FEATURES.avx2:
            magnitude = _call(builder, "llvm.abs.v32i8", i8x32.llvm, [args[0], ir.IntType(1)(0)])
            signed = _call(builder, "llvm.x86.avx2.psign.b", i8x32.llvm, [args[1], args[0]])
            return _call(builder, "llvm.x86.avx2.pmadd.ub.sw", i16x16.llvm, [magnitude, signed])
        wide = ir.VectorType(I16, 32)
        return _pairwise(builder, builder.sext(args[0], wide), builder.sext(args[1], wide))

    return signature(i16x16, i8x32, i8x32), code


@intrinsic
def sum_pairs(typing, a, b):
    """signed a times signed b (both i16x16), neighbours added: i32x8."""

    def code(context, builder, sig, args):
        if FEATURES.avx2:
            return _call(builder, "llvm.x86.avx2.pmadd.wd", i32x8.llvm, list(args))
        wide = ir.VectorType(I32, 16)
        return _pairwise(builder, builder.sext(args[0], wide), builder.sext(args[1], wide))

    return signature(i32x8, i16x16, i16x16), code


@intrinsic
def max_f32x8(typing, a, b):
    """The larger of each lane; b where either is NaN."""

    def code(context, builder, sig, args):
        return builder.select(builder.fcmp_ordered(">", args[0], args[1]), args[0], args[1])

    return signature(f32x8, f32x8, f32x8), code


@intrinsic
def min_f32x8(typing, a, b):
    """The smaller of each lane; b where either is NaN."""

    def code(context, builder, sig, args):
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[0], args[1])

    return signature(f32x8, f32x8, f32x8), code


@intrinsic
def zero_below(typing, a, low, b):
    """b, but 0 in the lanes where a < low (not where a is NaN)."""

    def code(context, builder, sig, args):
        below = builder.fcmp_ordered("<", args[0], _splat(builder, args[1], f32x8.llvm))
        return builder.select(below, _const(f32x8.llvm, 0.0), args[2])

    return signature(f32x8, f32x8, types.float32, f32x8), code


@intrinsic
def max_i32x8(typing, a, b):
    """The larger of each lane, signed."""

    def code(context, builder, sig, args):
        return builder.select(builder.icmp_signed(">", args[0], args[1]), args[0], args[1])

    return signature(i32x8, i32x8, i32x8), code


def _reducer(vector, scalar, combine):
    """All lanes into one, as ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)): one fixed order."""

    @intrinsic
    def reduce(typing, a):
        def code(context, builder, sig, args):
            v = args[0]
            while v.type.count > 1:
                half = v.type.count // 2
                undefined = ir.Constant(v.type, ir.Undefined)
                low = _shuffle(builder, v, undefined, range(half))
                high = _shuffle(builder, v, undefined, range(half, 2 * half))
                v = combine(builder, low, high)
            return builder.extract_element(v, I32(0))

        return signature(scalar, vector), code

    return reduce


sum_f32 = _reducer(f32x8, types.float32, lambda b, x, y: b.fadd(x, y))


@intrinsic
def sums_of_halves(typing, a):
    """The sums of the first and of the last four lanes, each as (0 + 2) + (1 + 3): sum_f32's order from there on."""

    def code(context, builder, sig, args):
        v = args[0]
        for distance in (2, 1):
            v = builder.fadd(v, _shuffle(builder, v, v, [i ^ distance for i in range(8)]))
        sums = [builder.extract_element(v, I32(0)), builder.extract_element(v, I32(4))]
        return context.make_tuple(builder, sig.return_type, sums)

    return signature(types.UniTuple(types.float32, 2), f32x8), code


sum_i32 = _reducer(i32x8, types.int32, lambda b, x, y: b.add(x, y))
largest_i32 = _reducer(i32x8, types.int32, lambda b, x, y: b.select(b.icmp_signed(">", x, y), x, y))
largest_f32 = _reducer(f32x8, types.float32, lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


@intrinsic
def f32_of_bits(typing, a):
    """An int32's bits as a float32."""

    def code(context, builder, sig, args):
        return builder.bitcast(args[0], F32)

    return signature(types.float32, types.int32), code
