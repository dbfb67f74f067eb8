"""The vectors of the many-row kernels: as long as the CPU's, a lane for each of ROWS weight rows."""

from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.simd import (
    converter,
    i8x32,
    i8x64,
    i32x8,
    i32x16,
    inline,
    load_f32,
    load_f32x8,
    load_f32x16,
    load_i8x32,
    load_i8x64,
    load_i32,
    load_i32x8,
    load_i32x16,
    splat_f32x8,
    splat_f32x16,
    splat_i32x8,
    splat_i32x16,
)

if FEATURES.avx512:
    load_bytes, load_ints, load_floats = load_i8x64, load_i32x16, load_f32x16
    splat_int, splat_float = splat_i32x16, splat_f32x16
    _bytes_of = converter(i32x16, i8x64, lambda b, v, t: b.bitcast(v, t))
else:
    load_bytes, load_ints, load_floats = load_i8x32, load_i32x8, load_f32x8
    splat_int, splat_float = splat_i32x8, splat_f32x8
    _bytes_of = converter(i32x8, i8x32, lambda b, v, t: b.bitcast(v, t))


@inline
def repeat_bytes(p):
    """The 4 bytes at p, again and again."""
    return _bytes_of(splat_int(load_i32(p)))


@inline
def repeat_int(p):
    """The int32 at p in every lane."""
    return splat_int(load_i32(p))


@inline
def repeat_float(p):
    """The f32 at p in every lane."""
    return splat_float(load_f32(p))
