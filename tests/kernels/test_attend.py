"""Attention on every backend against its definition in f64: ragged batches, windows, block borders, cache types."""

from dataclasses import dataclass

import numpy as np
import pytest
from on_backends import EVERY, open_ops
from op_cases import nmse, normal

from llamabox.kernels import BLOCK, KVShape, Rows, make_step, open_backend
from llamabox.kernels.kv import decode, encode

BOUND = 1e-10


@pytest.fixture(scope="module", params=EVERY)
def ops(request):
    return open_ops(request.param)


@dataclass(frozen=True)
class Sequence:
    """q, k, v of a whole sequence, and the chunks its tokens come in."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    chunks: tuple[int, ...]


def sequence(seed, chunks, heads, heads_kv, size, v_size) -> Sequence:
    n = sum(chunks)
    shapes = ((n, heads, size), (n, heads_kv, size), (n, heads_kv, v_size))
    return Sequence(*(normal(seed + i, *shape) for i, shape in enumerate(shapes)), chunks)


def expected_rows(s: Sequence, type_name, scale, window, softcap, causal, two_sided=False, alibi=None) -> np.ndarray:
    """The definition, in f64, on k and v as the cache rounds them."""
    k, v = (decode(encode(a, type_name), type_name).astype(np.float64) for a in (s.k, s.v))
    head = np.arange(s.q.shape[1]) // (s.q.shape[1] // k.shape[1])  # the key head of each query head
    scores = np.einsum("the,she->hts", s.q.astype(np.float64), k[:, head]) * scale
    if softcap is not None:
        scores = softcap * np.tanh(scores / softcap)
    distance = np.arange(len(s.q))[:, None] - np.arange(len(k))
    if alibi is not None:
        scores -= slopes(s.q.shape[1], alibi)[:, None, None] * abs(distance)
    seen = (distance >= 0) | (not causal)
    if window is not None:
        seen &= (abs(distance) if two_sided else distance) < window
    weights = np.where(seen, np.exp(scores - np.where(seen, scores, -np.inf).max(-1, keepdims=True)), 0)
    return np.einsum("hts,she->the", weights / weights.sum(-1, keepdims=True), v[:, head])


def slopes(heads, largest) -> np.ndarray:
    """The definition of arXiv:2108.12409: 2^(-largest/n) and its powers; what is missing from every other one of 2n."""

    def series(n):
        return [2 ** (-largest * (i + 1) / n) for i in range(n)]

    n = 2 ** int(np.log2(heads))
    return np.array((series(n) + series(2 * n)[::2])[:heads])


def run_in_chunks(ops, sequences, kv, **how) -> list[np.ndarray]:
    """Feed the sequences' chunks step by step, side by side, each in blocks of its own, shuffled."""
    n_blocks = [-(-len(s.q) // BLOCK) for s in sequences]
    order = np.random.default_rng(0).permutation(kv.n_blocks)[: sum(n_blocks)]
    tables = np.split(order, np.cumsum(n_blocks)[:-1])
    starts, outs = [0] * len(sequences), [[] for _ in sequences]
    for turn in range(max(len(s.chunks) for s in sequences)):
        active = [i for i, s in enumerate(sequences) if turn < len(s.chunks)]
        spans = [slice(starts[i], starts[i] + sequences[i].chunks[turn]) for i in active]
        parts = [Rows(span.start, span.stop - span.start, tables[i]) for i, span in zip(active, spans, strict=True)]
        q, k, v = (
            np.concatenate([getattr(sequences[i], name)[span] for i, span in zip(active, spans, strict=True)])
            for name in "qkv"
        )
        y = ops.attend(q, k, v, make_step(parts, kv), 1, **how)
        for i, span, rows in zip(active, spans, np.split(y, np.cumsum([p.count for p in parts])[:-1]), strict=True):
            outs[i].append(rows)
            starts[i] = span.stop
    return [np.concatenate(o) for o in outs]


CACHES = [("f16", (4, 2, 64, 64)), ("f16", (7, 1, 16, 24)), ("f16", (3, 3, 20, 12)), ("f32", (4, 2, 64, 64))]
CACHES += [("bf16", (7, 1, 16, 24)), ("q8_0", (4, 2, 64, 96)), ("q4_0", (2, 2, 32, 32)), ("q4_1", (2, 1, 96, 32))]
CACHES += [("iq4_nl", (4, 2, 32, 64)), ("q5_0", (2, 2, 64, 32)), ("q5_1", (2, 1, 32, 32))]


@pytest.mark.parametrize("type_name, heads", CACHES, ids=str)
@pytest.mark.parametrize(
    "how", [{}, {"window": 8}, {"window": 40}, {"softcap": 4.0}, {"window": 9, "softcap": 3.0}], ids=str
)
def test_ragged_batches_through_the_cache(ops, type_name, heads, how):
    borders = [(BLOCK - 1, 1, 1, 1), (70,), (1, 1, 2, BLOCK), (3 * BLOCK,), (1,)]
    sequences = [sequence(10 * i, chunks, *heads) for i, chunks in enumerate(borders)]
    kv = ops.kv_cache([KVShape(1, 32, 32), KVShape(heads[1], heads[2], heads[3])], 12, type_name, type_name)
    found = run_in_chunks(ops, sequences, kv, scale=0.3, **how)
    for s, y in zip(sequences, found, strict=True):
        expected = expected_rows(s, type_name, 0.3, how.get("window"), how.get("softcap"), causal=True)
        assert nmse(expected, y) <= BOUND


def test_key_and_value_types_may_differ(ops):
    s = sequence(1, (33, 1), 4, 2, 16, 16)
    kv = ops.kv_cache([KVShape(2, 16, 16)] * 2, 3, "f16", "f32")
    found = run_in_chunks(ops, [s], kv, scale=0.25)[0]
    rounded = Sequence(s.q, s.k.astype(np.float16).astype(np.float32), s.v, s.chunks)
    assert nmse(expected_rows(rounded, "f32", 0.25, None, None, causal=True), found) <= BOUND


def check_without_a_cache(ops, causal, heads=4, **how):
    sequences = [sequence(i, (n,), heads, 2, 24, 24) for i, n in enumerate((1, 40, 65))]
    step = make_step([Rows(0, len(s.q)) for s in sequences], None, causal)
    q, k, v = (np.concatenate([getattr(s, name) for s in sequences]) for name in "qkv")
    found = np.split(ops.attend(q, k, v, step, 0, scale=0.2, **how), np.cumsum([1, 40]))
    for s, y in zip(sequences, found, strict=True):
        rest = {name: value for name, value in how.items() if name not in ("window", "softcap")}
        expected = expected_rows(s, "f32", 0.2, how.get("window"), how.get("softcap"), causal, **rest)
        assert nmse(expected, y) <= BOUND


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 5])
def test_without_a_cache_rows_attend_to_each_other(ops, causal, window):
    check_without_a_cache(ops, causal, window=window)


@pytest.mark.parametrize("window", [1, 5, 40])
def test_a_two_sided_window(ops, window):
    check_without_a_cache(ops, False, window=window, two_sided=True)


@pytest.mark.parametrize("how", [{"alibi": 8.0}, {"alibi": 3.0, "softcap": 4.0}], ids=str)
@pytest.mark.parametrize("heads", [2, 4, 6, 12])  # 6 and 12: slopes between those of a power of two
def test_alibi_of_rows_that_see_all(ops, heads, how):
    check_without_a_cache(ops, False, heads, **how)


def test_alibi_through_the_cache(ops):
    s = sequence(8, (3, BLOCK, 1, 9), 6, 3, 16, 16)
    found = run_in_chunks(ops, [s], ops.kv_cache([KVShape(3, 16, 16)] * 2, 2), scale=0.25, alibi=8.0)[0]
    assert nmse(expected_rows(s, "f16", 0.25, None, None, True, alibi=8.0), found) <= BOUND


def test_large_scores_do_not_overflow(ops):
    s = sequence(3, (40,), 2, 1, 16, 16)
    kv = ops.kv_cache([KVShape(1, 16, 16)] * 2, 2, "f32", "f32")
    found = run_in_chunks(ops, [s], kv, scale=100.0)[0]
    assert nmse(expected_rows(s, "f32", 100.0, None, None, causal=True), found) <= BOUND


def test_what_other_sequences_left_in_a_block_is_not_read(ops):
    s = sequence(4, (5, 1), 4, 2, 16, 16)
    kv = ops.kv_cache([KVShape(2, 16, 16)] * 2, 1)
    for array in kv.k + kv.v:
        array[:] = np.nan
    found = run_in_chunks(ops, [s], kv, scale=0.25)[0]
    assert nmse(expected_rows(s, "f16", 0.25, None, None, causal=True), found) <= BOUND


@pytest.mark.parametrize("which", ["q", "k", "v"])
def test_nan_reaches_every_row_that_sees_it(ops, which):
    s = sequence(5, (40,), 2, 1, 16, 16)
    getattr(s, which)[35, 0, 3] = np.nan
    found = run_in_chunks(ops, [s], ops.kv_cache([KVShape(1, 16, 16)] * 2, 2), scale=0.25)[0]
    seen = np.isnan(found).any(axis=(1, 2))
    assert seen[35:].all() if which != "q" else seen[35]
    if ops.name == "cpu":  # the reference multiplies what the mask hides by 0, and 0 * NaN is NaN
        assert not seen[:35].any()


def test_stored_keys_are_rounded_as_the_cache_type_says(ops):
    s = sequence(6, (3,), 2, 2, 24, 8)
    s.k[0, 0, :6] = [65504, 65520, 1e-7, 6e-8, 2049, np.inf]
    for type_name in ("f32", "f16", "bf16"):
        kv = ops.kv_cache([KVShape(2, 24, 8)] * 2, 1, type_name, type_name)
        with np.errstate(over="ignore"):
            run_in_chunks(ops, [s], kv, scale=1e-6)
            np.testing.assert_array_equal(ops.to_numpy(kv.k[1])[0, :, :3], encode(s.k, type_name).transpose(1, 0, 2))
            np.testing.assert_array_equal(ops.to_numpy(kv.v[1])[0, :, :3], encode(s.v, type_name).transpose(1, 0, 2))


@pytest.mark.parametrize("type_name", ["q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"])
def test_stored_rows_are_quantised_as_the_cache_type_says(ops, type_name):
    s = sequence(6, (BLOCK,), 2, 2, 64, 32)
    s.k[0, 0, :32], s.k[0, 1, :32], s.k[1, 0, :32] = 0, 0.7, 1e-20
    s.k[2, 0, :32], s.k[2, 1, 32:] = (np.arange(32) - 16) / 2, -3e5 * np.arange(32)  # halves; beyond an f16's range
    s.k[3, 0, 40], s.k[4, 1, 5] = np.nan, -np.inf
    kv = ops.kv_cache([KVShape(2, 64, 32)] * 2, 1, type_name, type_name)
    with np.errstate(invalid="ignore", over="ignore"):
        run_in_chunks(ops, [s], kv, scale=1e-6)
    expected = encode(s.k, type_name).transpose(1, 0, 2)
    spoilt = ~np.isfinite(decode(expected, type_name))
    np.testing.assert_array_equal(~np.isfinite(decode(ops.to_numpy(kv.k[1])[0], type_name)), spoilt)
    size = expected.shape[-1] // 2  # bytes of a block: those without NaN are the same
    whole = ~spoilt.reshape(2, BLOCK, 2, 32).any(axis=3)
    blocks = [a.reshape(2, BLOCK, 2, size)[whole] for a in (ops.to_numpy(kv.k[1])[0], expected)]
    np.testing.assert_array_equal(*blocks)
    np.testing.assert_array_equal(ops.to_numpy(kv.v[1])[0], encode(s.v, type_name).transpose(1, 0, 2))


def test_a_row_gives_the_same_bits_alone_as_among_others():
    ops = open_backend("cpu", threads=2)
    sequences = [
        sequence(10 * i, chunks, 6, 2, 32, 32) for i, chunks in enumerate([(50, 1, 1), (130, 1, 1), (1, 1, 90)])
    ]

    def results(some):
        return run_in_chunks(ops, some, ops.kv_cache([KVShape(2, 32, 32)] * 2, 12), scale=0.2, window=60)

    together = results(sequences)
    for s, y in zip(sequences, together, strict=True):
        np.testing.assert_array_equal(results([s])[0], y)
    one_by_one = Sequence(*(getattr(sequences[0], name) for name in "qkv"), (1,) * 52)
    np.testing.assert_array_equal(results([one_by_one])[0], together[0])


def test_what_does_not_fit_is_refused():
    s = sequence(7, (3,), 3, 2, 16, 16)  # 3 query heads for 2 key heads
    with pytest.raises(ValueError, match=r"attend: q \(3, 3, 16\), k \(3, 2, 16\)"):
        open_backend("cpu", threads=1).attend(s.q, s.k, s.v, make_step([Rows(0, 3)], None), 0, scale=1.0)
