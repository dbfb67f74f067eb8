"""Products of a few rows with a few rows, their sums held in registers: the inner loops of attention.

dot_RxC   scores of R queries with C keys: each is 16 partial sums, one for the values k with the same k mod 16, each
          added in order of k, which are then added as simd's sum_f32 adds, lane i to lane i + 8 and so on
mix_RxV   R rows of sums, 16 V values of each: the weighted values of some cells are added in order of the cells

R, C and V change how often a value is loaded, never a result.
"""

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.program import argument, kernel
from llamabox.kernels.cpu.simd import (
    F32,
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

SPAN = 256  # cells that queries have scores of at a time
LANES, WIDE = f32x16.lanes, f32x16.llvm


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


def dot_tile(rows, cells):
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
                    key = _load(builder, place, k, WIDE)
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


def mix_tile(rows, vectors):
    """The op mix(sums, bytes a row, weights, bytes a row, values, bytes a cell, low, high), where low < high."""

    @intrinsic
    def mix(typing, sums, sum_bytes, weights, weight_bytes, values, value_bytes, low, high):
        def code(context, builder, sig, args):
            sums, sum_bytes, weights, weight_bytes, values, value_bytes, low, high = args
            rows_at = [builder.add(sums, builder.mul(sum_bytes, I64(r))) for r in range(rows)]
            weights_at = [builder.add(weights, builder.mul(weight_bytes, I64(r))) for r in range(rows)]

            def body(cell, sums):
                place, sums = builder.add(values, builder.mul(cell, value_bytes)), list(sums)
                value = [_load(builder, place, 4 * LANES * v, WIDE) for v in range(vectors)]
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
_dot_tile, _dot_pair, _dot_one = dot_tile(TILE, TILE_KEYS), dot_tile(2, PAIR_KEYS), dot_tile(1, ONE_KEYS)
_mix_tile, _mix_tile_end = mix_tile(TILE, VECTORS), mix_tile(TILE, 1)
_mix_one, _mix_one_end = mix_tile(1, VECTORS), mix_tile(1, 1)


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


@kernel
def dot_block(args, task, thread):
    """Scores of n queries with a block's keys; what none of a tile's queries sees may be left out.

    args: 0 queries (n, width) f32, 1 keys (BLOCK, width) f32, 2 scores (n, SPAN), 3 ranges, 4 n, 5 width, 6 cells from
    the span's beginning to the block, 7 cells of the block, 8 as many rows that are needed later and asked for
    meanwhile, 9 bytes from one to the next, 10 bytes of one
    """
    queries, keys, scores, ranges = argument(args, 0), argument(args, 1), argument(args, 2), argument(args, 3)
    n, width, offset, cells = argument(args, 4), argument(args, 5), argument(args, 6), argument(args, 7)
    i, size, tiles, scores = 0, 4 * width, _in_tiles(n), scores + 4 * offset
    while i < n:
        rows, step = TILE, TILE_KEYS
        if i >= tiles:
            rows, step = (2, PAIR_KEYS) if n - i > 1 else (1, ONE_KEYS)
        if _low(ranges, i, offset) < _high(ranges, i + rows - 1, offset, cells):
            c = 0
            while c < cells:
                if i == 0:
                    _prefetch_rows(args, c, step)
                q, k, at = queries + i * size, keys + c * size, scores + i * SPAN_BYTES + 4 * c
                if rows == TILE:
                    _dot_tile(q, size, k, size, width, at, SPAN_BYTES)
                elif rows == 2:
                    _dot_pair(q, size, k, size, width, at, SPAN_BYTES)
                else:
                    _dot_one(q, size, k, size, width, at, SPAN_BYTES)
                c += step
        i += rows


@inline
def _prefetch_rows(args, first, n):
    rows, step, size = argument(args, 8), argument(args, 9), argument(args, 10)
    for row in range(first, first + n):
        prefetch_row(rows + row * step, size)


@inline
def prefetch_row(row, size):
    """Ask for `size` bytes."""
    for line in range(0, size, 64):
        prefetch(row + line)


@inline
def _mix(mix, mix_end, sums, sum_bytes, weights, values, size, low, high):
    """All vectors of a tile's rows."""
    k = 0
    while k + 64 * VECTORS <= size:
        mix(sums + k, sum_bytes, weights, SPAN_BYTES, values + k, size, low, high)
        k += 64 * VECTORS
    while k < size:
        mix_end(sums + k, sum_bytes, weights, SPAN_BYTES, values + k, size, low, high)
        k += 64


@inline
def _mix_tiles(sums, sum_bytes, weights, values, ranges, tiles, size, offset, cells):
    """The cells that all rows of a tile see."""
    for i in range(0, tiles, TILE):
        low, high = _low(ranges, i + TILE - 1, offset), _high(ranges, i, offset, cells)
        if low < high:
            at, weight = sums + i * sum_bytes, weights + i * SPAN_BYTES
            _mix(_mix_tile, _mix_tile_end, at, sum_bytes, weight, values, size, low, high)


@kernel
def mix_block(args, task, thread):
    """Add to n rows of sums a block's values by weights.

    Rows go in tiles through the cells that all of a tile's rows see; what only some see before that, and after, one by
    one, as do rows that are in no tile.

    args: 0 sums, 1 bytes a row of sums, 2 weights (n, SPAN), 3 values (BLOCK, width) f32, 4 ranges, 5 n, 6 width,
    7 cells from the span's beginning to the block, 8 cells of the block
    """
    sums, sum_bytes, weights, values = argument(args, 0), argument(args, 1), argument(args, 2), argument(args, 3)
    ranges, n, width, offset, cells = (
        argument(args, 4),
        argument(args, 5),
        argument(args, 6),
        argument(args, 7),
        argument(args, 8),
    )
    weights, size, tiles = weights + 4 * offset, 4 * width, _in_tiles(n)
    for after in range(2):
        if after:
            _mix_tiles(sums, sum_bytes, weights, values, ranges, tiles, size, offset, cells)
            end = min(n, tiles) if load_i32(ranges + 4) < offset + cells else 0
            i = 0
        else:
            i, end = (0 if load_i32(ranges + 8 * n - 8) > offset else tiles), n
        for r in range(i, end):
            low, high, first = _low(ranges, r, offset), _high(ranges, r, offset, cells), r // TILE * TILE
            if after:
                low = max(low, _low(ranges, first + TILE - 1, offset), _high(ranges, first, offset, cells))
            elif r < tiles:
                high = min(high, _low(ranges, first + TILE - 1, offset))
            if low < high:
                at = sums + r * sum_bytes
                _mix(_mix_one, _mix_one_end, at, sum_bytes, weights + r * SPAN_BYTES, values, size, low, high)
