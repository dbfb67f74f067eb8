"""Weights unpacked into tiles and activations copied into panels: what gemm.py multiplies; layouts: gemm_layout.py."""

from numba import njit

from llamabox.kernels.cpu.gemm_layout import COLUMNS, PANEL_UNIT, PLANE, ROWS, VECTOR
from llamabox.kernels.cpu.layout import X_UNIT
from llamabox.kernels.cpu.simd import (
    inline,
    load_f32x8,
    load_i8x32,
    load_i16x16,
    prefetch,
    stack_512,
    store,
    transpose8,
)
from llamabox.kernels.cpu.unit import readable_unit

# A function that kernels call: LLVM takes less time over several small ones than over one large one.
called = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@inline
def _turn(plane, target, distance):
    """Rows of 8 groups of 4 bytes -> 8 vectors, `distance` bytes apart: the i-th holds the i-th group of each row."""
    for first in range(0, ROWS, 8):
        p = plane + 32 * first
        v = transpose8(
            load_i8x32(p),
            load_i8x32(p + 32),
            load_i8x32(p + 64),
            load_i8x32(p + 96),
            load_i8x32(p + 128),
            load_i8x32(p + 160),
            load_i8x32(p + 192),
            load_i8x32(p + 224),
        )
        out = target + 4 * first
        store(out, v[0])
        store(out + distance, v[1])
        store(out + 2 * distance, v[2])
        store(out + 3 * distance, v[3])
        store(out + 4 * distance, v[4])
        store(out + 5 * distance, v[5])
        store(out + 6 * distance, v[6])
        store(out + 7 * distance, v[7])


@called
def _turn_planes(planes, tile, group_bytes, vectors):
    for i in range(vectors):
        if i < 8:
            _turn(planes + i * PLANE, tile + i * group_bytes, VECTOR)
        else:
            _turn(planes + i * PLANE, tile + i * VECTOR, group_bytes)


@called
def _spread_row(fmt, p, row):
    """The unit of a row at p, 32 bytes of each of its planes. Of groups beyond the row's end it may be anything."""
    store(row, fmt.flip(fmt.integers(p, 0)))
    store(row + PLANE, fmt.flip(fmt.integers(p, 1)))
    store(row + 2 * PLANE, fmt.flip(fmt.integers(p, 2)))
    store(row + 3 * PLANE, fmt.flip(fmt.integers(p, 3)))
    store(row + 4 * PLANE, fmt.flip(fmt.integers(p, 4)))
    store(row + 5 * PLANE, fmt.flip(fmt.integers(p, 5)))
    store(row + 6 * PLANE, fmt.flip(fmt.integers(p, 6)))
    store(row + 7 * PLANE, fmt.flip(fmt.integers(p, 7)))
    store(row + 8 * PLANE, fmt.scales(p))
    fmt.put_minimums(fmt, p, row)
    fmt.put_subscales(fmt, p, row)
    fmt.put_subminimums(fmt, p, row)


@called
def unpack_tile(fmt, weight, row_bytes, rows, groups, tile, planes):
    """ROWS rows of `groups` groups into a tile; where there are fewer rows, the last one stands for the others too."""
    end, spare, opened = weight + rows * row_bytes, stack_512(), stack_512()
    for u in range((groups + 7) >> 3):
        for row in range(ROWS):
            at = weight + min(row, rows - 1) * row_bytes + u * fmt.unit_bytes
            for line in range(0, fmt.unit_bytes, 64):
                prefetch(at + fmt.unit_bytes + line)  # 16 rows later
            p = fmt.opened(readable_unit(fmt, at, groups - 8 * u, end, spare), opened)
            _spread_row(fmt, p, planes + 32 * row)
        _turn_planes(planes, tile + 8 * u * fmt.kind.stride, fmt.kind.stride, fmt.kind.vectors)


@called
def pack_panel(kind, offset, x, rows, columns, units, panel):
    """So many quantised rows side by side; where there are fewer, the last one stands for the others too."""
    for u in range(units):
        for c in range(columns):
            source, target = x + (min(c, rows - 1) * units + u) * X_UNIT, panel + (u * COLUMNS + c) * PANEL_UNIT
            for i in range(0, 288, 32):
                store(target + i, load_i8x32(source + i))
            sums = load_i16x16(source + 288)
            kind.put_centres(sums, offset, target)
            kind.put_sums(sums, load_f32x8(source + 256), target)
