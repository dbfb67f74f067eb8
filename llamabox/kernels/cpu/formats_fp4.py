"""4-bit floats: e2m1 codes with scales that are powers of two (MXFP4) or small floats (NVFP4); functions: formats.py.

Integers are the doubled e2m1 values plus 12; scales are halved to match.
"""

from numba import types

from llamabox.gguf.dequant.fp4 import E2M1_DOUBLED
from llamabox.kernels.cpu.formats_legacy import nibbles
from llamabox.kernels.cpu.simd import f32_of, inline, load_i8x16, load_u32, max_i32
from llamabox.kernels.cpu.tables import look_up, table
from llamabox.kernels.cpu.unpacking import i16x16_of_i32x8, join_octets, load_u8_each, words_of

levels = table(E2M1_DOUBLED + 12)


# MXFP4: 32 values in 17 bytes.  0: scale, e8m0;  1-16: codes, e2m1, low halves first;  value = scale * e2m1(code)
@inline
def mxfp4_integers(p, j):
    return look_up(levels(), nibbles(p + 17 * j + 1))


@inline
def mxfp4_scales(p):
    e = load_u8_each(p, 17)
    subnormal = ((e & 1) + 1) * 0x200000  # for e = 0 and e = 1; above, the exponent's bits are the larger
    return f32_of(max_i32((e - 1) << 23, subnormal))


# NVFP4: 64 values in 36 bytes.  0-3: scales of 16 values each, ue4m3;  4-35: codes, e2m1, 8 bytes for 16 values, low
# halves first;  value = scale * e2m1(code)
# A scale is m * 2^(e - 10), m at most 15. The two of a group become integers m * 2^11 and m * 2^(11 - difference of the
# exponents), times one power of two. From a difference of 12 on, bits of the smaller are lost: 1/8192 of the larger.
@inline
def nvfp4_integers(p, j):
    q = load_i8x16(p + 36 * (j >> 1) + 4 + 16 * (j & 1))
    return look_up(levels(), join_octets(q & 15, q >> 4))


@inline
def _nvfp4_pairs(p):
    """The two scale bytes of each group, the first one lowest: i32x8."""
    a, b = types.int64(load_u32(p)), types.int64(load_u32(p + 36))
    c, d = types.int64(load_u32(p + 72)), types.int64(load_u32(p + 108))
    return words_of(a | (b << 32), c | (d << 32))


@inline
def _exponent(byte):
    """e of ue4m3 bytes; subnormals have that of the smallest normal."""
    e = (byte >> 3) & 15
    return e + 1 - ((e + 15) >> 4)


@inline
def _mantissa(byte):
    """m of ue4m3 bytes; 0 for 0x7F, which is no number."""
    normal = (((byte >> 3) & 15) + 15) >> 4  # 1, or 0 for subnormals
    distance = byte - 0x7F
    return ((byte & 7) | (normal << 3)) & (((distance * distance - 1) >> 31) - 1)


@inline
def nvfp4_scales(p):
    pairs = _nvfp4_pairs(p)
    larger = max_i32(_exponent(pairs & 255), _exponent(pairs >> 8))
    return f32_of((larger + (127 - 10 - 11 - 1)) << 23)


@inline
def nvfp4_subscales(p):
    pairs = _nvfp4_pairs(p)
    first, second = pairs & 255, pairs >> 8
    e, f = _exponent(first), _exponent(second)
    larger = max_i32(e, f)
    a, b = (_mantissa(first) << 11) >> (larger - e), (_mantissa(second) << 11) >> (larger - f)
    return i16x16_of_i32x8(a | (b << 16))
