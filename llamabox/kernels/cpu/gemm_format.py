"""A block type as the many-row kernels take it: what a tile and a panel hold for it, and how a group is multiplied.

What lies where in them: gemm_layout.py.
"""

from collections.abc import Callable
from functools import cache

from llamabox.kernels.cpu.described import Described
from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.formats import FORMATS, Format
from llamabox.kernels.cpu.gemm_lanes import load_floats, load_ints, repeat_bytes, repeat_float, repeat_int
from llamabox.kernels.cpu.gemm_layout import CENTRES, SUMS, VECTOR
from llamabox.kernels.cpu.simd import (
    dot,
    dot_signed,
    fma,
    inline,
    mul_pairs,
    splat_i16x16,
    store,
    sum_pairs,
    to_f32,
)
from llamabox.kernels.cpu.unit import FLIPPED, add_128, as_it_is, as_they_are, first_of, second_of

# ---- sums of products of half a group with 16 values at x: 4 vectors -------------------------------------------------


@inline
def _half_whole(acc, a, b, c, d, x):
    acc = dot(dot(acc, a, repeat_bytes(x)), b, repeat_bytes(x + 32))
    return dot(dot(acc, c, repeat_bytes(x + 64)), d, repeat_bytes(x + 96))


@inline
def _half_signed(acc, a, b, c, d, x):
    acc = dot_signed(dot_signed(acc, a, repeat_bytes(x)), b, repeat_bytes(x + 32))
    return dot_signed(dot_signed(acc, c, repeat_bytes(x + 64)), d, repeat_bytes(x + 96))


@inline
def _half_5_bits(acc, a, b, c, d, x):
    pairs = mul_pairs(a, repeat_bytes(x)) + mul_pairs(b, repeat_bytes(x + 32))
    pairs = pairs + mul_pairs(c, repeat_bytes(x + 64)) + mul_pairs(d, repeat_bytes(x + 96))
    return acc + sum_pairs(pairs, splat_i16x16(1))


@inline
def _half_6_bits(acc, a, b, c, d, x):
    one = mul_pairs(a, repeat_bytes(x)) + mul_pairs(b, repeat_bytes(x + 32))
    two = mul_pairs(c, repeat_bytes(x + 64)) + mul_pairs(d, repeat_bytes(x + 96))
    return acc + sum_pairs(one, splat_i16x16(1)) + sum_pairs(two, splat_i16x16(1))


def _half_of(bits: int):
    if FLIPPED:
        return _half_whole
    if bits == 8:
        return _half_signed
    short = {} if FEATURES.dotprod else {5: _half_5_bits, 6: _half_6_bits}
    return short.get(bits, _half_whole)


# ---- what types differ in --------------------------------------------------------------------------------------------


@inline
def _plain_sums(kind, w, group, x):
    sums = kind.half(repeat_int(x + CENTRES), w[0], w[1], w[2], w[3], x)
    return kind.half(sums, w[4], w[5], w[6], w[7], x + 128)


@inline
def _scaled_halves(kind, w, group, x):
    first = kind.half(repeat_int(x + CENTRES), w[0], w[1], w[2], w[3], x)
    second = kind.half(repeat_int(x + CENTRES + 32), w[4], w[5], w[6], w[7], x + 128)
    return first * load_ints(group + kind.subscales_at) + second * load_ints(group + kind.subscales_at + VECTOR)


@inline
def _no_minimum(kind, acc, group, x):
    return acc


@inline
def _minimum(kind, acc, group, x):
    return fma(repeat_float(x + SUMS), load_floats(group + kind.minimums_at), acc)


@inline
def _subminimum(kind, acc, group, x):
    first = repeat_int(x + SUMS) * load_ints(group + kind.subminimums_at)
    sums = first + repeat_int(x + SUMS + 32) * load_ints(group + kind.subminimums_at + VECTOR)
    return fma(to_f32(sums) * repeat_float(x + 256), load_floats(group + kind.minimums_at), acc)


# ---- what goes into a panel beside integers and scales: `sums` are i16 for 16 values ---------------------------------


@inline
def _put_centres(sums, offset, unit):
    store(unit + CENTRES, sum_pairs(sums, splat_i16x16(-offset)))


@inline
def _put_both_centres(sums, offset, unit):
    store(unit + CENTRES, first_of(sums) * -offset)
    store(unit + CENTRES + 32, second_of(sums) * -offset)


@inline
def _put_no_sums(sums, scales, unit):
    pass


@inline
def _put_scaled_sums(sums, scales, unit):
    store(unit + SUMS, to_f32(sum_pairs(sums, splat_i16x16(1))) * scales)


@inline
def _put_both_sums(sums, scales, unit):
    store(unit + SUMS, first_of(sums))
    store(unit + SUMS + 32, second_of(sums))


# ---- and into the rows of a tile beside integers and scales ----------------------------------------------------------


@inline
def _put_nothing(fmt, p, row):
    pass


@inline
def _put_minimums(fmt, p, row):
    store(row + 8 * fmt.kind.minimums_at, fmt.minimums(p))


@inline
def _put_subscales(fmt, p, row):
    sub = fmt.subscales(p)
    store(row + 8 * fmt.kind.subscales_at, first_of(sub))
    store(row + 8 * fmt.kind.subscales_at + 8 * VECTOR, second_of(sub))


@inline
def _put_subminimums(fmt, p, row):
    sub = fmt.subminimums(p)
    store(row + 8 * fmt.kind.subminimums_at, first_of(sub))
    store(row + 8 * fmt.kind.subminimums_at + 8 * VECTOR, second_of(sub))


@cache
def kind_of(half: Callable, has_minimums: bool, has_subscales: bool, has_subminimums: bool) -> "Kind":
    """The Kind of types that have these things."""
    return Kind(half, has_minimums, has_subscales, has_subminimums)


class Kind(Described):
    """How tiles and panels of types that have the same things look and are multiplied: compiled once for all of them.

    stride   bytes of a group of a tile, which has so many vectors
    ..._at   where in a group of a tile
    """

    def __init__(self, half: Callable, has_minimums: bool, has_subscales: bool, has_subminimums: bool):
        self._made_of = half, has_minimums, has_subscales, has_subminimums
        self.name = f"{half.__name__} {has_minimums} {has_subscales} {has_subminimums}"
        self.half, self.sums, self.add_minimum = half, _plain_sums, _no_minimum
        self.put_centres, self.put_sums, vectors = _put_centres, _put_no_sums, 9
        if has_minimums:
            self.add_minimum, self.put_sums = _minimum, _put_scaled_sums
            self.minimums_at, vectors = VECTOR * vectors, vectors + 1
        if has_subscales:
            self.sums, self.put_centres = _scaled_halves, _put_both_centres
            self.subscales_at, vectors = VECTOR * vectors, vectors + 2
        if has_subminimums:
            self.add_minimum, self.put_sums = _subminimum, _put_both_sums
            self.subminimums_at, vectors = VECTOR * vectors, vectors + 2
        self.vectors, self.stride = vectors, VECTOR * vectors

    def __reduce__(self):
        return kind_of, self._made_of


def tile_format_of(name: str) -> "TileFormat":
    """The TileFormat of a type by the type's name."""
    return TILE_FORMATS[name]


class TileFormat(Described):
    """What unpacking asks a type for; `unit_bytes` of a weight row become a unit of a tile of this kind."""

    def __init__(self, format: Format):
        flip = 128 if format.bits == 8 and FLIPPED else 0
        self.name, self.unit_bytes, self.offset = format.name, format.unit_bytes, format.offset + flip
        self.integers, self.flip = format.integers, add_128 if flip else as_they_are
        self.scales, self.minimums, self.subscales = format.scales, format.minimums, format.subscales
        self.opened = format.opened or as_it_is
        self.subminimums = format.subminimums
        has = [part is not None for part in (self.minimums, self.subscales, self.subminimums)]
        self.kind = kind_of(_half_of(format.bits), *has)
        self.put_minimums = _put_minimums if has[0] else _put_nothing
        self.put_subscales = _put_subscales if has[1] else _put_nothing
        self.put_subminimums = _put_subminimums if has[2] else _put_nothing

    def __reduce__(self):  # by name: numba's cache keys pickle what a kernel refers to
        return tile_format_of, (self.name,)


TILE_FORMATS = {format.name: TileFormat(format) for format in FORMATS.values()}
