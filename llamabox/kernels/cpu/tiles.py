"""Products of a few rows with a few rows, their sums held in registers: the inner loops of attention.

dot_RxC   scores of R queries with C keys: each is 16 partial sums, one for the values k with the same k mod 16, each
          added in order of k, which are then added as simd's sum_f32 adds, lane i to lane i + 8 and so on
mix_RxV   R rows of sums, 16 V values of each: the weighted values of some cells are added in order of the cells

R, C and V change how often a value is loaded, never a result.
"""

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.attention_layout import LANES, SPAN
from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.halves import half_to_float
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.simd import (
    F32,
    I16,
    I64,
    call_llvm,
    constant,
    f32x16,
    inline,
    load_i32,
    pointer,
    prefetch,
    shuffle,
    splat_to,
)

WIDE = f32x16.llvm


def _fma(builder, a, b, c):
    if FEATURES.fma:
        return call_llvm(builder, "llvm.fma.v16f32", WIDE, [a, b, c])
    return builder.fadd(builder.fmul(a, b), c)


def _load(builder, address, offset, element):
    at = builder.add(address, offset if isinstance(offset, ir.Value) else I64(offset))
    value = builder.load(pointer(builder, at, element))
    value.align = 1
    return value


def _store(builder, value, address, offset):
    builder.store(value, pointer(builder, builder.add(address, offset), value.type)).align = 1


def _loop(builder, start, end, step, values, body):
    """for i in range(start, end, step): values = body(i, values), at least once; returns the last values."""
    before, inside, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(inside)
    builder.position_at_end(inside)
    i, carried = builder.phi(I64), [builder.phi(v.type) for v in values]
    results = body(i, carried)
    following = builder.add(i, I64(step))
    for phi, first, result in zip([i, *carried], [start, *values], [following, *results], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(result, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, end), inside, after)
    builder.position_at_end(after)
    return results


def _sum_lanes(builder, vectors):
    """The sums of the lanes of a power of 2 of vectors, in one vector: halves added, again and again."""
    lanes = LANES
    while lanes > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True) if len(vectors) > 1 else [(vectors[0], vectors[0])]
        n = max(LANES, lanes * len(vectors)) if len(vectors) > 1 else vectors[0].type.count // 2
        first = [2 * (i // (lanes // 2)) * (lanes // 2) + i % (lanes // 2) for i in range(min(n, LANES))]
        sums = []
        for a, b in pairs:
            low, high = shuffle(builder, a, b, first), shuffle(builder, a, b, [i + lanes // 2 for i in first])
            sums.append(builder.fadd(low, high))
        vectors, lanes = sums, lanes // 2
    return vectors[0]


class Source:
    """What keys and values are read from: bytes a value, and how 16 become f32.

    load(builder, address of a row, how many bytes of f32 come before)
    """

    def __init__(self, size: int, load: Callable):
        self.size, self.load = size, load


def _load_f16(builder, row, offset):
    bits = _load(builder, row, builder.lshr(offset, I64(1)), ir.VectorType(I16, LANES))
    return half_to_float(builder, bits, True)


SOURCES = {
    "f32": Source(4, lambda builder, row, offset: _load(builder, row, offset, WIDE)),
    "f16": Source(2, _load_f16),
}


def dot_tile(rows, cells, source):
    """The op dot(q, bytes a query, keys, bytes a key, width, scores, bytes a row of scores); 16 divides the width."""

    @intrinsic
    def dot(typing, q, q_bytes, keys, key_bytes, width, scores, score_bytes):
        def code(context, builder, sig, args):
            q, q_bytes, keys, key_bytes, width, scores, score_bytes = args
            queries = [builder.add(q, builder.mul(q_bytes, I64(r))) for r in range(rows)]
            places = [builder.add(keys, builder.mul(key_bytes, I64(c))) for c in range(cells)]

            def body(k, sums):
                x, sums = [_load(builder, at, k, WIDE) for at in queries], list(sums)
                for c, place in enumerate(places):
                    key = source.load(builder, place, k)
                    for r in range(rows):
                        sums[r * cells + c] = _fma(builder, x[r], key, sums[r * cells + c])
                return sums

            zeros = [constant(WIDE, 0.0)] * (rows * cells)
            sums = _loop(builder, I64(0), builder.mul(width, I64(4)), 4 * LANES, zeros, body)
            total = _sum_lanes(builder, sums)
            for r in range(rows):
                some = shuffle(builder, total, total, range(r * cells, (r + 1) * cells))
                _store(builder, some, scores, builder.mul(score_bytes, I64(r)))
            return context.get_dummy_value()

        return signature(types.void, *[types.int64] * 7), code

    return dot


def mix_tile(rows, vectors, source):
    """The op mix(sums, bytes a row, weights, bytes a row, values, bytes a cell, low, high), where low < high."""

    @intrinsic
    def mix(typing, sums, sum_bytes, weights, weight_bytes, values, value_bytes, low, high):
        def code(context, builder, sig, args):
            sums, sum_bytes, weights, weight_bytes, values, value_bytes, low, high = args
            rows_at = [builder.add(sums, builder.mul(sum_bytes, I64(r))) for r in range(rows)]
            weights_at = [builder.add(weights, builder.mul(weight_bytes, I64(r))) for r in range(rows)]

            def body(cell, sums):
                place, sums = builder.add(values, builder.mul(cell, value_bytes)), list(sums)
                value = [source.load(builder, place, I64(4 * LANES * v)) for v in range(vectors)]
                for r, at in enumerate(weights_at):
                    weight = splat_to(builder, _load(builder, at, builder.mul(cell, I64(4)), F32), WIDE)
                    for v in range(vectors):
                        sums[r * vectors + v] = _fma(builder, weight, value[v], sums[r * vectors + v])
                return sums

            first = [_load(builder, at, 4 * LANES * v, WIDE) for at in rows_at for v in range(vectors)]
            last = _loop(builder, low, high, 1, first, body)
            for i, value in enumerate(last):
                _store(builder, value, rows_at[i // vectors], I64(4 * LANES * (i % vectors)))
            return context.get_dummy_value()

        return signature(types.void, *[types.int64] * 8), code

    return mix


# Rows, keys and vectors of tiles: for 32 registers of 64 bytes, or so that the sums fit 16 registers of 32 bytes.
TILE, TILE_KEYS, ONE_KEYS, VECTORS = (4, 4, 16, 4) if FEATURES.avx512 else (2, 2, 4, 2)
PAIR_KEYS = 8
SPAN_BYTES = 4 * SPAN


@inline
def _in_tiles(n):
    """How many of n rows go through in tiles; three that are left make a tile with a row that fills it up."""
    return (n + 1) & ~3 if TILE == 4 else n & ~1


@inline
def _low(ranges, i, offset):
    """The first cell of a block, which begins `offset` cells into the span, that query i sees."""
    return max(0, load_i32(ranges + 8 * i) - offset)


@inline
def _high(ranges, i, offset, cells):
    """The cell after the last of a block's that query i sees."""
    return min(cells, load_i32(ranges + 8 * i + 4) - offset)


def dot_block(name: str) -> Callable:
    """The kernel that multiplies queries with a block's keys of a Source."""
    source = SOURCES[name]
    tile, pair, one = dot_tile(TILE, TILE_KEYS, source), dot_tile(2, PAIR_KEYS, source), dot_tile(1, ONE_KEYS, source)

    def dot(args, task, thread):
        """Scores; what none of a tile's queries sees may be left out. All BLOCK keys must be there to be read.

        args: 0 queries (n, width) f32, 1 keys, 2 bytes from a key to the next, 3 scores (n, SPAN), 4 ranges, 5 n,
        6 width, 7 cells from the span's beginning to the block, 8 cells of the block, 9 as many rows that are needed
        later and asked for meanwhile, 10 bytes from one to the next, 11 bytes of one
        """
        queries, key_bytes, ranges, n = argument(args, 0), argument(args, 2), argument(args, 4), argument(args, 5)
        width, offset, cells = argument(args, 6), argument(args, 7), argument(args, 8)
        i, size, tiles = 0, 4 * width, _in_tiles(n)
        while i < n:
            rows, step, c = TILE, TILE_KEYS, 0
            if i >= tiles:
                rows, step = (2, PAIR_KEYS) if n - i > 1 else (1, ONE_KEYS)
            if _low(ranges, i, offset) >= _high(ranges, i + rows - 1, offset, cells):
                c = cells
            while c < cells:
                if i == 0:
                    _prefetch_rows(args, c, step)
                q, k = queries + i * size, argument(args, 1) + c * key_bytes
                at = argument(args, 3) + i * SPAN_BYTES + 4 * (offset + c)
                if rows == TILE:
                    tile(q, size, k, key_bytes, width, at, SPAN_BYTES)
                elif rows == 2:
                    pair(q, size, k, key_bytes, width, at, SPAN_BYTES)
                else:
                    one(q, size, k, key_bytes, width, at, SPAN_BYTES)
                c += step
            i += rows

    return dot


@inline
def _prefetch_rows(args, first, n):
    rows, step, size = argument(args, 9), argument(args, 10), argument(args, 11)
    for row in range(first, first + n):
        prefetch_row(rows + row * step, size)


@inline
def prefetch_row(row, size):
    """Ask for `size` bytes."""
    for line in range(0, size, 64):
        prefetch(row + line)


def mix_block(name: str) -> Callable:
    """The kernel that adds up a block's values of a Source."""
    source = SOURCES[name]
    size_of_value = source.size
    tile, tile_end = mix_tile(TILE, VECTORS, source), mix_tile(TILE, 1, source)
    one, one_end = mix_tile(1, VECTORS, source), mix_tile(1, 1, source)

    @inline
    def mix_rows(args, mix, mix_end, i, low, high):
        """All vectors of the rows of a tile that begins with row i."""
        sum_bytes, value_bytes, k = argument(args, 1), argument(args, 4), 0
        sums, weights = argument(args, 0) + i * sum_bytes, argument(args, 2) + i * SPAN_BYTES + 4 * argument(args, 8)
        while k < argument(args, 7):
            at, value = sums + 4 * k, argument(args, 3) + k * size_of_value
            if k + LANES * VECTORS <= argument(args, 7):
                mix(at, sum_bytes, weights, SPAN_BYTES, value, value_bytes, low, high)
                k += LANES * VECTORS
            else:
                mix_end(at, sum_bytes, weights, SPAN_BYTES, value, value_bytes, low, high)
                k += LANES

    def mix(args, task, thread):
        """Add to n rows of sums a block's values by weights.

        Rows go in tiles through the cells that all of a tile's rows see; what only some see before that, and after, one
        by one, as do rows that are in no tile.

        args: 0 sums, 1 bytes a row of sums, 2 weights (n, SPAN), 3 values, 4 bytes from a value to the next, 5 ranges,
        6 n, 7 width, 8 cells from the span's beginning to the block, 9 cells of the block
        """
        ranges, n, offset, cells = argument(args, 5), argument(args, 6), argument(args, 8), argument(args, 9)
        tiles = _in_tiles(n)
        for after in range(2):
            i, end = (0 if load_i32(ranges + 8 * n - 8) > offset else tiles), n
            if after:
                for t in range(0, tiles, TILE):
                    low, high = _low(ranges, t + TILE - 1, offset), _high(ranges, t, offset, cells)
                    if low < high:
                        mix_rows(args, tile, tile_end, t, low, high)
                i, end = 0, (min(n, tiles) if load_i32(ranges + 4) < offset + cells else 0)
            for r in range(i, end):
                low, high, first = _low(ranges, r, offset), _high(ranges, r, offset, cells), r // TILE * TILE
                if after:
                    low = max(low, _low(ranges, first + TILE - 1, offset), _high(ranges, first, offset, cells))
                elif r < tiles:
                    high = min(high, _low(ranges, first + TILE - 1, offset))
                if low < high:
                    mix_rows(args, one, one_end, r, low, high)

    return mix
