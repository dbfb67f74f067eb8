"""A unit (8 groups of 32 values) of a weight row times a unit of a quantised activation row: one lane a group.

Unpacked, the integers of a unit are 8 vectors: the s-th holds values 4s .. 4s + 3 of group 0, then of group 1, ... of
group 7. Activations are stored in that order, so lane j of every sum of products belongs to group j, the scales of a
unit are one vector, and nothing is added across lanes before a row ends. The integer sums are exact and the f32 sums
run over units in order: the result is the same whether a row is multiplied alone or among others.

A unit of activations, X_UNIT bytes:  0-255: integers;  256-287: scale, f32 a group;  288-319: sums, i16 for 16 values;
                                      320-575: the integers again, group after group
A unit of a tile, TILE_UNIT bytes:    0-255: integers;  256-287: scale, f32 a group;
                                      288-319: sub-scales of first halves, i16 twice a group;
                                      320-351: sub-scales of second halves;
                                      352-383: minimum, f32 a group;
                                      384-415: sub-minimums, i16 for 16 values
"""

from llamabox.kernels.cpu.described import Described
from llamabox.kernels.cpu.formats import FORMATS, Format
from llamabox.kernels.cpu.simd import (
    alternate_i16x16,
    fma,
    inline,
    load_f32x8,
    load_i8x16,
    load_i8x32,
    load_i16x16,
    load_i64,
    load_u8,
    mul_pairs,
    signed_mul_pairs,
    splat_i16x16,
    store,
    sum_pairs,
    to_f32,
    transpose8,
)
from llamabox.kernels.cpu.unpacking import even_twice, odd_twice

X_UNIT, X_IN_ORDER = 576, 320
TILE_UNIT = 416


# ---- sums of products of half a unit: 4 vectors, i8x32, with those at x ---------------------------------------------


@inline
def _half_5_bits(a, b, c, d, x, sub):
    pairs = mul_pairs(a, load_i8x32(x)) + mul_pairs(b, load_i8x32(x + 32))
    pairs = pairs + mul_pairs(c, load_i8x32(x + 64)) + mul_pairs(d, load_i8x32(x + 96))
    return sum_pairs(pairs, sub)


@inline
def _half_6_bits(a, b, c, d, x, sub):
    one = mul_pairs(a, load_i8x32(x)) + mul_pairs(b, load_i8x32(x + 32))
    two = mul_pairs(c, load_i8x32(x + 64)) + mul_pairs(d, load_i8x32(x + 96))
    return sum_pairs(one, sub) + sum_pairs(two, sub)


@inline
def _half_7_bits(a, b, c, d, x, sub):
    one = sum_pairs(mul_pairs(a, load_i8x32(x)), sub) + sum_pairs(mul_pairs(b, load_i8x32(x + 32)), sub)
    two = sum_pairs(mul_pairs(c, load_i8x32(x + 64)), sub) + sum_pairs(mul_pairs(d, load_i8x32(x + 96)), sub)
    return one + two


@inline
def _half_8_bits(a, b, c, d, x, sub):
    one = sum_pairs(signed_mul_pairs(a, load_i8x32(x)), sub)
    two = sum_pairs(signed_mul_pairs(b, load_i8x32(x + 32)), sub)
    three = sum_pairs(signed_mul_pairs(c, load_i8x32(x + 64)), sub)
    four = sum_pairs(signed_mul_pairs(d, load_i8x32(x + 96)), sub)
    return (one + two) + (three + four)


# ---- what types have besides integers and scales --------------------------------------------------------------------


@inline
def _load_sub(tile):
    return load_i16x16(tile)


@inline
def _ones(p):
    return splat_i16x16(1)


@inline
def _same(sub):
    return sub


@inline
def _first_subscales(sub):
    return even_twice(sub)


@inline
def _second_subscales(sub):
    return odd_twice(sub)


@inline
def _store_nothing(fmt, p, tile):
    pass


@inline
def _store_subscales(fmt, p, tile):
    sub = fmt.subscales(p)
    store(tile + 288, fmt.first(sub))
    store(tile + 320, fmt.second(sub))


@inline
def _store_minimums(fmt, p, tile):
    store(tile + 352, fmt.minimums(p))


@inline
def _store_subminimums(fmt, p, tile):
    store(tile + 384, fmt.subminimums(p))


@inline
def _add_no_tile(acc, tile, x):
    return acc


@inline
def _add_tile_minimum(acc, tile, x):
    return fma(_scaled_sums(x, splat_i16x16(1)), load_f32x8(tile + 352), acc)


@inline
def _add_tile_subminimum(acc, tile, x):
    return fma(_scaled_sums(x, load_i16x16(tile + 384)), load_f32x8(tile + 352), acc)


@inline
def _add_nothing(fmt, acc, p, x):
    return acc


@inline
def _add_minimum(fmt, acc, p, x):
    return fma(_scaled_sums(x, splat_i16x16(1)), fmt.minimums(p), acc)


@inline
def _add_subminimum(fmt, acc, p, x):
    return fma(_scaled_sums(x, fmt.subminimums(p)), fmt.minimums(p), acc)


@inline
def _scaled_sums(x, factors):
    """The sum of each group of activations, whose halves have these factors."""
    return to_f32(sum_pairs(load_i16x16(x + 288), factors)) * load_f32x8(x + 256)


# ---- units ----------------------------------------------------------------------------------------------------------


def unit_of(name: str) -> "Unit":
    """The Unit of a type by the type's name."""
    return UNITS[name]


class Unit(Described):
    """A Format with what follows from it: how its products are summed and what goes with its integers."""

    def __init__(self, format: Format):
        self.name, self.unit_bytes, self.offset = format.name, format.unit_bytes, format.offset
        self.integers, self.scales = format.integers, format.scales
        self.minimums, self.subminimums = format.minimums, format.subminimums
        self.half = {5: _half_5_bits, 6: _half_6_bits, 7: _half_7_bits, 8: _half_8_bits}[format.bits]
        self.subscales, self.first, self.second, self.tile_sub = _ones, _same, _same, _ones
        self.store_subscales, self.store_minimums, self.store_subminimums = (_store_nothing,) * 3
        self.add_minimum, self.add_tile_minimum = _add_nothing, _add_no_tile
        if format.subscales is not None:
            self.subscales, self.first, self.second = format.subscales, _first_subscales, _second_subscales
            self.tile_sub, self.store_subscales = _load_sub, _store_subscales
        if format.minimums is not None:
            self.store_minimums = _store_minimums
            self.add_minimum, self.add_tile_minimum = _add_minimum, _add_tile_minimum
        if format.subminimums is not None:
            self.store_subminimums = _store_subminimums
            self.add_minimum, self.add_tile_minimum = _add_subminimum, _add_tile_subminimum

    def __reduce__(self):  # by name: numba's cache keys pickle what a kernel refers to
        return unit_of, (self.name,)


UNITS = {format.name: Unit(format) for format in FORMATS.values()}


@inline
def spare_unit(memory):
    """512 bytes cleared for whole_unit; returns their address."""
    for i in range(0, 512, 32):
        store(memory + i, splat_i16x16(0))
    return memory


@inline
def whole_unit(fmt, p, groups, spare):
    """The unit at p; where a row ends before 8 groups, a copy in `spare`, whose zeros stand for the others."""
    if groups >= 8:
        return p
    length = (groups * fmt.unit_bytes) >> 3
    for i in range(0, length & ~7, 8):
        store(spare + i, load_i64(p + i))
    for i in range(length & ~7, length):
        store(spare + i, load_u8(p + i))
    return spare


@inline
def doubled_unit(fmt, p, groups, spare):
    """A copy in `spare` of a unit of at most 4 groups, which stand in its first half and again in its second."""
    whole_unit(fmt, p, groups, spare)
    whole_unit(fmt, p, groups, spare + (fmt.unit_bytes >> 1))
    return spare


@inline
def mix_activations(xa, xb, mixed):
    """Units of activations that end after 4 groups: those of xa in the first half of `mixed`, of xb in the second."""
    for i in range(0, X_IN_ORDER, 32):
        store(mixed + i, load_i8x16(xa + i))
        store(mixed + i + 16, load_i8x16(xb + i))


@inline
def unpack(fmt, p):
    """The integers of the unit at p, in the order above: 8 vectors."""
    return transpose8(
        fmt.integers(p, 0),
        fmt.integers(p, 1),
        fmt.integers(p, 2),
        fmt.integers(p, 3),
        fmt.integers(p, 4),
        fmt.integers(p, 5),
        fmt.integers(p, 6),
        fmt.integers(p, 7),
    )


@inline
def unpack_to(fmt, p, tile):
    """The unit at p written as a unit of a tile."""
    w = unpack(fmt, p)
    store(tile, w[0])
    store(tile + 32, w[1])
    store(tile + 64, w[2])
    store(tile + 96, w[3])
    store(tile + 128, w[4])
    store(tile + 160, w[5])
    store(tile + 192, w[6])
    store(tile + 224, w[7])
    store(tile + 256, fmt.scales(p))
    fmt.store_subscales(fmt, p, tile)
    fmt.store_minimums(fmt, p, tile)
    fmt.store_subminimums(fmt, p, tile)


@inline
def add_products(fmt, acc, sums, scales, first, second, x):
    """acc plus a unit's integer sums of products, centred and scaled; minimums come separately."""
    centre = sum_pairs(load_i16x16(x + 288), alternate_i16x16(first, second)) * fmt.offset
    return fma(to_f32(sums - centre), scales * load_f32x8(x + 256), acc)
