"""f16 and bf16 in memory, read and written as f32: in hardware, or in the integer form that every CPU can run."""

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.simd import F32, I16, I32, I64, constant, f32x8, i32x8, pointer


def half_to_float(builder, bits, vector):
    """f16 bits (a vector of i16, or one) as f32, exactly, NaN and infinity included."""
    wide = ir.VectorType(I32, bits.type.count) if vector else I32
    single = ir.VectorType(F32, bits.type.count) if vector else F32
    if FEATURES.f16c:
        half = ir.VectorType(ir.HalfType(), bits.type.count) if vector else ir.HalfType()
        return builder.fpext(builder.bitcast(bits, half), single)
    number = (lambda t, v: constant(t, v)) if vector else (lambda t, v: t(v))
    w = builder.zext(bits, wide)
    magnitude = builder.shl(builder.and_(w, number(wide, 0x7FFF)), number(wide, 13))
    scaled = builder.fmul(builder.bitcast(magnitude, single), number(single, 2.0**112))  # re-biases the exponent
    special = builder.icmp_unsigned(">=", magnitude, number(wide, 0x7C00 << 13))  # infinity or NaN
    raw = builder.select(special, builder.or_(magnitude, number(wide, 0x7F800000)), builder.bitcast(scaled, wide))
    sign = builder.shl(builder.and_(w, number(wide, 0x8000)), number(wide, 16))
    return builder.bitcast(builder.or_(raw, sign), single)


def _half_loader(result, bits):
    @intrinsic
    def load(typing, address):
        def code(context, builder, sig, args):
            value = builder.load(pointer(builder, args[0], bits))
            value.align = 1
            return half_to_float(builder, value, isinstance(bits, ir.VectorType))

        return signature(result, types.intp), code

    return load


load_f16 = _half_loader(types.float32, I16)  # an f16 in memory, as f32


@intrinsic
def load_two_f16(typing, address):
    """Two f16 in memory, as a tuple of f32."""

    def code(context, builder, sig, args):
        value = builder.load(pointer(builder, args[0], ir.VectorType(I16, 2)))
        value.align = 1
        both = half_to_float(builder, value, True)
        return context.make_tuple(builder, sig.return_type, [builder.extract_element(both, I32(i)) for i in (0, 1)])

    return signature(types.UniTuple(types.float32, 2), types.intp), code


load_f16x8 = _half_loader(f32x8, ir.VectorType(I16, 8))


def _float_to_half(builder, values):
    """f32 rounded to f16 bits, to nearest even; NaN stays NaN."""
    bits = ir.VectorType(I16, 8)
    if FEATURES.f16c:
        return builder.bitcast(builder.fptrunc(values, ir.VectorType(ir.HalfType(), 8)), bits)
    vector = i32x8.llvm
    number = lambda v: constant(vector, v)  # noqa: E731
    w = builder.bitcast(values, vector)
    magnitude = builder.and_(w, number(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(magnitude, number(13)), number(1))
    normal = builder.lshr(builder.add(magnitude, builder.add(odd, number(0xFFF - (112 << 23)))), number(13))
    # below 2^-14: adding 0.5 puts the f16's last bit at the f32's last bit, so the adder rounds
    small = builder.fadd(builder.bitcast(magnitude, f32x8.llvm), constant(f32x8.llvm, 0.5))
    small = builder.sub(builder.bitcast(small, vector), number(0x3F000000))
    half = builder.select(builder.icmp_unsigned("<", magnitude, number(113 << 23)), small, normal)
    half = builder.select(builder.icmp_unsigned(">=", magnitude, number(143 << 23)), number(0x7C00), half)
    half = builder.select(builder.icmp_unsigned(">", magnitude, number(255 << 23)), number(0x7E00), half)
    sign = builder.and_(builder.lshr(w, number(16)), number(0x8000))
    return builder.trunc(builder.or_(half, sign), bits)


def _float_to_bf16(builder, values):
    """f32 rounded to bf16 bits, to nearest even, as kv.encode does."""
    vector = i32x8.llvm
    w = builder.bitcast(values, vector)
    odd = builder.and_(builder.lshr(w, constant(vector, 16)), constant(vector, 1))
    rounded = builder.add(w, builder.add(odd, constant(vector, 0x7FFF)))
    return builder.trunc(builder.lshr(rounded, constant(vector, 16)), ir.VectorType(I16, 8))


def _rounding_store(convert):
    @intrinsic
    def write(typing, address, value):
        def code(context, builder, sig, args):
            bits = convert(builder, args[1])
            builder.store(bits, pointer(builder, args[0], bits.type)).align = 1
            return context.get_dummy_value()

        return signature(types.void, types.intp, f32x8), code

    return write


store_f16x8, store_bf16x8 = _rounding_store(_float_to_half), _rounding_store(_float_to_bf16)


@intrinsic
def load_bf16x8(typing, address):
    """Eight bf16 in memory, as f32: they are the upper halves."""

    def code(context, builder, sig, args):
        value = builder.load(pointer(builder, args[0], ir.VectorType(I16, 8)))
        value.align = 1
        wide = builder.shl(builder.zext(value, i32x8.llvm), constant(i32x8.llvm, 16))
        return builder.bitcast(wide, f32x8.llvm)

    return signature(f32x8, types.intp), code


def _each_half(blocks):
    """An op that loads eight f16 as f32: lane i from address + blocks[i] * stride."""

    @intrinsic
    def load(typing, address, stride):
        def code(context, builder, sig, args):
            base, stride = args
            bits = ir.Constant(ir.VectorType(I16, 8), ir.Undefined)
            for lane, block in enumerate(blocks):
                value = builder.load(pointer(builder, builder.add(base, builder.mul(I64(block), stride)), I16))
                value.align = 1
                bits = builder.insert_element(bits, value, I32(lane))
            return half_to_float(builder, bits, True)

        return signature(f32x8, types.intp, types.int64), code

    return load


load_f16_each = _each_half(range(8))  # at address, address + stride, ...
load_f16_pairs = _each_half([0, 0, 1, 1, 2, 2, 3, 3])
load_f16_quads = _each_half([0, 0, 0, 0, 1, 1, 1, 1])


@intrinsic
def f16_of_bits(typing, bits):
    """An f16's bits as f32."""

    def code(context, builder, sig, args):
        return half_to_float(builder, args[0], False)

    return signature(types.float32, types.uint16), code


@intrinsic
def store_f16(typing, address, value):
    """One f32 rounded to f16."""

    def code(context, builder, sig, args):
        lanes = builder.insert_element(constant(f32x8.llvm, 0.0), args[1], I32(0))
        bits = builder.extract_element(_float_to_half(builder, lanes), I32(0))
        builder.store(bits, pointer(builder, args[0], I16)).align = 1
        return context.get_dummy_value()

    return signature(types.void, types.intp, types.float32), code
