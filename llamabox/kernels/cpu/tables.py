"""Constants in memory that kernels look up: 16 bytes by 4-bit codes, or whole entries."""

import hashlib

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.simd import (
    I8,
    I32,
    I64,
    call_llvm,
    constant,
    i8x16,
    i8x32,
    inline,
    load_i8x16,
    load_i32,
    load_i64,
    load_u16,
    shuffle,
    splat_to,
    undefined,
)


def table(values: np.ndarray):
    """An op that gives the address of these values, which become part of the kernel: once, whoever asks."""
    data = bytearray(np.ascontiguousarray(values).tobytes())
    name = f"llamabox_table_{hashlib.sha256(data).hexdigest()[:16]}"
    content = ir.Constant(ir.ArrayType(I8, len(data)), data)

    @intrinsic
    def address(typing):
        def code(context, builder, sig, args):
            variable = builder.module.globals.get(name)
            if variable is None:
                variable = ir.GlobalVariable(builder.module, content.type, name)
                variable.initializer, variable.global_constant, variable.align = content, True, 64
                variable.linkage = "linkonce_odr"  # every function that is linked into a kernel brings it: one stays
            return builder.ptrtoint(variable, I64)

        return signature(types.intp), code

    return address


@intrinsic
def _byte_shuffle(typing, entries, codes):
    """entries (i8x16) at each of 32 codes, which are below 16."""

    def code(context, builder, sig, args):
        entries, codes = args
        if FEATURES.avx2:
            twice = shuffle(builder, entries, entries, [*range(16)] * 2)
            return call_llvm(builder, "llvm.x86.avx2.pshuf.b", i8x32.llvm, [twice, codes])
        chosen = [builder.extract_element(entries, I32(i)) for i in range(16)]
        chosen = [splat_to(builder, value, i8x32.llvm) for value in chosen]
        for bit in (1, 2, 4, 8):  # one of two neighbours by each bit of the codes
            one = builder.icmp_unsigned("!=", builder.and_(codes, constant(i8x32.llvm, bit)), constant(i8x32.llvm, 0))
            chosen = [builder.select(one, b, a) for a, b in zip(chosen[::2], chosen[1::2], strict=True)]
        return chosen[0]

    return signature(i8x32, i8x16, i8x32), code


@inline
def look_up(address, codes):
    """The 16 bytes at an address, at each of 32 codes 0 .. 15."""
    return _byte_shuffle(load_i8x16(address), codes)


def _joiner(element, count):
    """An op that lays integers side by side: i8x32, the first one lowest."""
    scalar = types.int64 if element is I64 else types.int32

    def join(context, builder, sig, args):
        vector = undefined(ir.VectorType(element, count))
        for lane, value in enumerate(args):
            vector = builder.insert_element(vector, value, I32(lane))
        return builder.bitcast(vector, i8x32.llvm)

    return join, signature(i8x32, *[scalar] * count)


_join_4, _join_8 = _joiner(I64, 4), _joiner(I32, 8)


@intrinsic
def _join_i64x4(typing, a, b, c, d):
    return _join_4[1], _join_4[0]


@intrinsic
def _join_i32x8(typing, a, b, c, d, e, f, g, h):
    return _join_8[1], _join_8[0]


@inline
def four_entries(entries, codes):
    """Those of the 8-byte entries at an address that four u16 name: i8x32."""
    a, b, c, d = load_u16(codes), load_u16(codes + 2), load_u16(codes + 4), load_u16(codes + 6)
    return _join_i64x4(
        load_i64(entries + 8 * a), load_i64(entries + 8 * b), load_i64(entries + 8 * c), load_i64(entries + 8 * d)
    )


@inline
def eight_entries(entries, codes):
    """Those of the 4-byte entries at an address that eight u16 name: i8x32."""
    a, b, c, d = load_u16(codes), load_u16(codes + 2), load_u16(codes + 4), load_u16(codes + 6)
    e, f, g, h = load_u16(codes + 8), load_u16(codes + 10), load_u16(codes + 12), load_u16(codes + 14)
    return _join_i32x8(
        load_i32(entries + 4 * a),
        load_i32(entries + 4 * b),
        load_i32(entries + 4 * c),
        load_i32(entries + 4 * d),
        load_i32(entries + 4 * e),
        load_i32(entries + 4 * f),
        load_i32(entries + 4 * g),
        load_i32(entries + 4 * h),
    )


@intrinsic
def around(typing, centre, sizes, negative):
    """centre + size of each of 32 lanes, or centre - size where its bit of `negative` is set, lowest first."""

    def code(context, builder, sig, args):
        centre, sizes, negative = args
        middle = splat_to(builder, builder.trunc(centre, I8), i8x32.llvm)
        lanes = builder.bitcast(negative, ir.VectorType(ir.IntType(1), 32))
        return builder.select(lanes, builder.sub(middle, sizes), builder.add(middle, sizes))

    return signature(i8x32, types.int64, i8x32, types.uint32), code
