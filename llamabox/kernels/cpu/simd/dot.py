"""Sums of products of 8-bit integers, exact, in the instructions that FEATURES has.

    dot(acc, a, b)          acc (i32) + 4 neighbouring products a lane; a unsigned, at most 127 (255 with FEATURES.vnni)
    dot_signed(acc, a, b)   the same, a signed
    b is signed and never -128

Vectors of 32 or of 64 bytes (acc: i32x8, i32x16). What they become:
    avx512, avxvnni   vpdpbusd; signed ones as with avx2
    avx2              pmaddubsw, whose pairs fit 16 bits up to 127 * 127 * 2, then pmaddwd
    dotprod           sdot: an unsigned byte of at most 127 is its own signed value
    others            products in 16 bits, widened
mul_pairs and sum_pairs are the two halves of it for types whose sums fit 16 bits for longer.
"""

from llvmlite import ir
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.simd.vectors import (
    I16,
    I32,
    Vec,
    call_llvm,
    constant,
    i8x32,
    i16x16,
    i32x8,
    is_vector,
    shuffle,
    undefined,
)


def _pairwise(builder, a, b):
    """Multiply, add neighbours. a, b already wide enough for the sums."""
    return _add_neighbours(builder, builder.mul(a, b))


def _add_neighbours(builder, v):
    even = shuffle(builder, v, undefined(v.type), range(0, v.type.count, 2))
    odd = shuffle(builder, v, undefined(v.type), range(1, v.type.count, 2))
    return builder.add(even, odd)


def _unsigned_pairs(builder, a, b):
    if FEATURES.avx2:
        return call_llvm(builder, "llvm.x86.avx2.pmadd.ub.sw", i16x16.llvm, [a, b])
    wide = ir.VectorType(I16, 32)
    return _pairwise(builder, builder.zext(a, wide), builder.sext(b, wide))


def _signed_pairs(builder, a, b):
    if FEATURES.avx2:
        magnitude = call_llvm(builder, "llvm.abs.v32i8", i8x32.llvm, [a, ir.IntType(1)(0)])
        signed = call_llvm(builder, "llvm.x86.avx2.psign.b", i8x32.llvm, [b, a])
        return call_llvm(builder, "llvm.x86.avx2.pmadd.ub.sw", i16x16.llvm, [magnitude, signed])
    wide = ir.VectorType(I16, 32)
    return _pairwise(builder, builder.sext(a, wide), builder.sext(b, wide))


def _sum_pairs(builder, a, b):
    if FEATURES.avx2:
        return call_llvm(builder, "llvm.x86.avx2.pmadd.wd", i32x8.llvm, [a, b])
    wide = ir.VectorType(I32, 16)
    return _pairwise(builder, builder.sext(a, wide), builder.sext(b, wide))


@intrinsic
def mul_pairs(typing, a, b):
    """unsigned a (i8x32) times signed b (i8x32), neighbours added: i16x16. The sums must fit 16 bits."""

    def code(context, builder, sig, args):
        return _unsigned_pairs(builder, *args)

    return signature(i16x16, i8x32, i8x32), code


@intrinsic
def sum_pairs(typing, a, b):
    """signed a times signed b (both i16x16), neighbours added: i32x8."""

    def code(context, builder, sig, args):
        return _sum_pairs(builder, *args)

    return signature(i32x8, i16x16, i16x16), code


# ---- four products a lane --------------------------------------------------------------------------------------------


def _vpdpbusd(builder, acc, a, b):
    """LLVM's older signature, which newer ones read too."""
    bits = 32 * acc.type.count
    args = [acc, builder.bitcast(a, acc.type), builder.bitcast(b, acc.type)]
    return call_llvm(builder, f"llvm.x86.avx512.vpdpbusd.{bits}", acc.type, args)


def _sdot(builder, acc, a, b):
    args = [acc, a, b]
    return call_llvm(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", acc.type, args)


def _in_parts(builder, lanes, op, acc, a, b):
    """op on `lanes` lanes of acc at a time."""
    total = acc.type.count
    if total == lanes:
        return op(builder, acc, a, b)
    parts = []
    for first in range(0, total, lanes):
        part = [shuffle(builder, acc, acc, range(first, first + lanes))]
        part += [shuffle(builder, v, v, range(4 * first, 4 * (first + lanes))) for v in (a, b)]
        parts.append(op(builder, *part))
    while len(parts) > 1:
        count = 2 * parts[0].type.count
        parts = [shuffle(builder, *parts[i : i + 2], range(count)) for i in range(0, len(parts), 2)]
    return parts[0]


def _dot_by_pairs(pairs):
    def op(builder, acc, a, b):
        return builder.add(acc, _sum_pairs(builder, pairs(builder, a, b), constant(i16x16.llvm, 1)))

    return op


def _dot_form(signed):
    """(lanes of acc, code) of a dot: of vectors no longer than the CPU's own."""
    if FEATURES.dotprod:
        return 4, _sdot
    if FEATURES.vnni and not signed:
        return (16 if FEATURES.avx512 else 8), _vpdpbusd
    return 8, _dot_by_pairs(_signed_pairs if signed else _unsigned_pairs)


def _dotter(signed):
    @intrinsic
    def dot(typing, acc, a, b):
        if not is_vector(acc, "i32") or not a == b == Vec("i8", 4 * acc.lanes):
            return None
        lanes, op = _dot_form(signed)

        def code(context, builder, sig, args):
            return _in_parts(builder, min(lanes, acc.lanes), op, *args)

        return signature(acc, acc, a, b), code

    return dot


dot, dot_signed = _dotter(False), _dotter(True)
