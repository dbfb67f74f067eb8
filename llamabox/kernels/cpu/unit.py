"""A unit (8 groups of 32 values) of a weight row, and of a quantised activation row."""

from llamabox.kernels.cpu.described import Described
from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.formats import FORMATS, Format
from llamabox.kernels.cpu.layout import X_PAIRS, X_SUMS
from llamabox.kernels.cpu.simd import (
    alternate_i16x16,
    dot,
    dot_signed,
    fma,
    fold_pairs,
    inline,
    keep_first,
    load_f32x8,
    load_i8x32,
    load_i16x16,
    load_i64,
    load_u8,
    mul_pairs,
    splat_i16x16,
    splat_i32x8,
    store,
    sum_pairs,
    to_f32,
)

OPENED = 256  # bytes of an opened unit
FLIPPED = FEATURES.vnni  # signed integers have 128 added: one instruction multiplies all 8 bits


# ---- sums of products of a pair of groups: 4 lanes a group -----------------------------------------------------------


@inline
def _half(a, x):
    return dot(splat_i32x8(0), a, load_i8x32(x))


@inline
def _half_signed(a, x):
    return dot_signed(splat_i32x8(0), a, load_i8x32(x))


@inline
def _pair(a, b, x):
    return dot(_half(a, x), b, load_i8x32(x + 32))


@inline
def _pair_signed(a, b, x):
    return dot_signed(_half_signed(a, x), b, load_i8x32(x + 32))


@inline
def _pair_6_bits(a, b, x):
    pairs = mul_pairs(a, load_i8x32(x)) + mul_pairs(b, load_i8x32(x + 32))
    return sum_pairs(pairs, splat_i16x16(1))


def _pair_of(bits: int):
    if bits == 8 and not FLIPPED:
        return _pair_signed
    return _pair_6_bits if bits <= 6 and not (FEATURES.vnni or FEATURES.dotprod) else _pair


# ---- sums of products of the groups of a unit: a lane each -----------------------------------------------------------


@inline
def as_they_are(w):
    return w


@inline
def add_128(w):
    return w ^ 128


@inline
def _halves(fmt, p, j):
    """The factors of groups j and j + 4: the first halves of both, the last halves of both."""
    first, last = fmt.halves(p, j)
    return fmt.flip(first), fmt.flip(last)


@inline
def _add_up(a, b, c, d):
    """4 lanes of each of two groups in each vector -> one lane a group."""
    return fold_pairs(fold_pairs(a, b), fold_pairs(c, d))


@inline
def _plain_sums(fmt, p, x):
    a, b = _halves(fmt, p, 0)
    c, d = _halves(fmt, p, 1)
    e, f = _halves(fmt, p, 2)
    g, h = _halves(fmt, p, 3)
    x = x + X_PAIRS
    sums = _add_up(fmt.pair(a, b, x), fmt.pair(c, d, x + 64), fmt.pair(e, f, x + 128), fmt.pair(g, h, x + 192))
    return sums - sum_pairs(load_i16x16(x - 32), splat_i16x16(fmt.offset))


@inline
def _scaled_sums(fmt, p, x):
    a, b = _halves(fmt, p, 0)
    c, d = _halves(fmt, p, 1)
    e, f = _halves(fmt, p, 2)
    g, h = _halves(fmt, p, 3)
    sub, x = fmt.subscales(p), x + X_PAIRS
    first = _add_up(fmt.half(a, x), fmt.half(c, x + 64), fmt.half(e, x + 128), fmt.half(g, x + 192))
    last = _add_up(fmt.half(b, x + 32), fmt.half(d, x + 96), fmt.half(f, x + 160), fmt.half(h, x + 224))
    centre = sum_pairs(load_i16x16(x - 32), sub) * fmt.offset
    return first * first_of(sub) + last * second_of(sub) - centre


@inline
def first_of(pairs):
    """The first of every two i16, as i32."""
    return sum_pairs(pairs, alternate_i16x16(splat_i16x16(1), splat_i16x16(0)))


@inline
def second_of(pairs):
    """The second of every two i16, as i32."""
    return sum_pairs(pairs, alternate_i16x16(splat_i16x16(0), splat_i16x16(1)))


# ---- minimums --------------------------------------------------------------------------------------------------------


@inline
def _no_minimum(fmt, acc, p, x, groups):
    return acc


@inline
def _minimum(fmt, acc, p, x, groups):
    return fma(load_f32x8(x + X_SUMS), keep_first(fmt.minimums(p), groups), acc)


@inline
def _subminimum(fmt, acc, p, x, groups):
    sums = sum_pairs(load_i16x16(x + 288), fmt.subminimums(p))
    return fma(to_f32(sums) * load_f32x8(x + 256), keep_first(fmt.minimums(p), groups), acc)


@inline
def as_it_is(p, m):
    """`opened` of the types that need none."""
    return p


# ---- units -----------------------------------------------------------------------------------------------------------


def unit_of(name: str) -> "Unit":
    """The Unit of a type by the type's name."""
    return UNITS[name]


class Unit(Described):
    """A Format with what follows from it: how its products are summed."""

    def __init__(self, format: Format):
        flip = 128 if format.bits == 8 and FLIPPED else 0
        self.name, self.blocks, self.unit_bytes = format.name, 256 // format.type.block_size, format.unit_bytes
        self.offset = format.offset + flip
        self.halves, self.flip = format.halves, add_128 if flip else as_they_are
        self.scales, self.minimums, self.subminimums = format.scales, format.minimums, format.subminimums
        self.half, self.pair = _half_signed if format.bits == 8 and not flip else _half, _pair_of(format.bits)
        self.subscales, self.sums = format.subscales, _plain_sums if format.subscales is None else _scaled_sums
        self.add_minimum, self.opened = _no_minimum, format.opened or as_it_is
        if format.minimums is not None:
            self.add_minimum = _minimum if format.subminimums is None else _subminimum

    def __reduce__(self):  # by name: numba's cache keys pickle what a kernel refers to
        return unit_of, (self.name,)


UNITS = {format.name: Unit(format) for format in FORMATS.values()}


@inline
def add_unit(fmt, acc, p, x, groups):
    """acc, an f32 lane a group, plus the products of the unit at p with that at x.

    Of a unit that is not full, what stands beyond its `groups` may be anything: x has zeros there.
    """
    scales = keep_first(fmt.scales(p), groups)
    acc = fma(to_f32(fmt.sums(fmt, p, x)), scales * load_f32x8(x + 256), acc)
    return fmt.add_minimum(fmt, acc, p, x, groups)


@inline
def readable_unit(fmt, p, groups, end, spare):
    """p, if a whole unit can be read there before `end`, where the matrix ends; else a copy of so many groups.

    spare  512 bytes for the copy
    """
    if p + fmt.unit_bytes <= end:
        return p
    length = (groups * fmt.unit_bytes) >> 3
    for i in range(0, length & ~7, 8):
        store(spare + i, load_i64(p + i))
    for i in range(length & ~7, length):
        store(spare + i, load_u8(p + i))
    return spare
