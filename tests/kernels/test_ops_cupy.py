"""CupyOps on the emulated grid (emulated/): block types, ways to multiply, contexts in parts, steps as graphs.

The op table, attention and the models of conformance/ run on it too, as on every backend.
"""

import sys

import numpy as np
import pytest
from on_backends import standin
from op_cases import matrix, nmse, normal

from llamabox.gguf import GGMLType, dequantize
from llamabox.kernels import KVShape, Rows, Weight, make_step
from llamabox.kernels.cuda import attention, products, sources
from llamabox.kernels.devices import BackendError, find_device
from llamabox.kernels.kv import decode, encode
from llamabox.kernels.ops_cupy import CupyOps

F16_ROWS = 1e-6  # NMSE where rows and weights are rounded to f16


def opened(hip: bool = False) -> CupyOps:
    with standin.installed(hip):
        return CupyOps()


@pytest.fixture(scope="module")
def ops():
    return opened()


def blocks(type: GGMLType, *shape: int) -> Weight:
    """Random blocks without scales that are infinite or missing."""
    rng = np.random.default_rng(int(type))
    data = np.empty((*shape[:-1], type.row_bytes(shape[-1])), np.uint8).reshape(-1, type.type_size)
    for i in range(len(data)):
        while True:
            data[i] = rng.integers(0, 256, type.type_size, dtype=np.uint8)
            with np.errstate(all="ignore"):
                values = dequantize(data[i : i + 1], type)
            if np.isfinite(values).all() and 1e-3 < np.abs(values).max() < 1e3:
                break
    return Weight(type.name, type, shape, data.reshape(*shape[:-1], -1))


@pytest.mark.parametrize("type", sources.FORMATS, ids=lambda t: t.name)
def test_every_block_type_is_read_as_it_is_written(ops, type):
    weight = blocks(type, 5, 256)
    values = dequantize(weight.data, type)
    np.testing.assert_array_equal(ops.to_numpy(ops.embed(weight, np.arange(5))), values)
    for rows, rounded, bound in ((1, as_8_bits, 1e-11), (3, as_8_bits, 1e-11), (40, as_16_bits, F16_ROWS)):
        x = normal(rows, rows, 256)
        expected = rounded(x) @ values.T.astype(np.float64)
        assert nmse(expected, ops.to_numpy(ops.linear(x, weight))) <= bound, rows


def as_8_bits(x):
    """Rows as products with blocks see them: 32 values share a scale, of f16's precision."""
    groups = x.reshape(-1, 32)
    largest = np.abs(groups).max(axis=1, keepdims=True)
    codes, scales = np.rint(groups * (np.float32(127) / largest)), (largest / np.float32(127)).astype(np.float16)
    return (codes * scales.astype(np.float64)).reshape(x.shape)


def as_16_bits(x):
    return x.astype(np.float16).astype(np.float64)


@pytest.mark.parametrize("type_name", ["F32", "F16", "BF16", "Q4_0", "Q4_K"])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 8, 9, 31, 32, 33])
def test_every_number_of_rows(ops, type_name, rows, monkeypatch):
    monkeypatch.setattr(products, "TILE_VALUES", 5 * 512)  # several tiles, the last one not full
    weight, x, bias = matrix(type_name, 13, 512), normal(rows, rows, 512), normal(2, 13)
    values = dequantize(weight.data, weight.type).astype(np.float64)
    bound = 1e-12 if type_name == "F32" or (rows <= 32 and type_name in ("F16", "BF16")) else 1e-4
    assert nmse(x @ values.T + bias, ops.to_numpy(ops.linear(x, weight, bias))) <= bound


def test_many_rows_of_any_size_do_not_overflow_f16(ops):
    weight, x = matrix("F16", 20, 64), normal(1, 40, 64) * np.float32(10.0) ** np.arange(-20, 20)[:, None]
    expected, found = x.astype(np.float64) @ weight.data.T.astype(np.float64), ops.to_numpy(ops.linear(x, weight))
    for row in range(40):
        assert nmse(expected[row], found[row]) <= F16_ROWS, row


def test_a_row_gives_the_same_bits_alone_as_among_few(ops):
    x = normal(1, 32, 512)
    for type_name in ("F16", "Q4_K", "Q6_K"):
        weight = matrix(type_name, 9, 512)
        together = ops.to_numpy(ops.linear(x, weight))
        np.testing.assert_array_equal(np.stack([ops.to_numpy(ops.linear(row, weight)) for row in x]), together)


@pytest.mark.parametrize("type_name", ["Q4_K", "F16"])
def test_experts_of_many_rows_are_sorted_on_the_device(ops, type_name):
    weight, x = matrix(type_name, 6, 10, 256), normal(1, 50, 1, 256)
    ids = np.stack([np.random.default_rng(t).permutation(6)[:2] for t in range(50)])
    ids[:, 0] = np.minimum(ids[:, 0], 1)  # most go to two of them, one has none
    values = dequantize(weight.data, weight.type).astype(np.float64)
    expected = np.einsum("tud,tuod->tuo", np.broadcast_to(x, (50, 2, 256)).astype(np.float64), values[ids])
    assert nmse(expected, ops.to_numpy(ops.linear_experts(x, weight, ids))) <= 1e-4


HEADS = [(8, 1, 128, 128), (40, 2, 32, 32), (71, 1, 64, 64), (2, 2, 256, 256), (2, 1, 192, 128), (1, 1, 80, 80)]


@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("splits", [False, True])
def test_attention_of_other_head_sizes_and_of_contexts_in_parts(ops, heads, splits, monkeypatch):
    """Two sequences, one of 3 new rows after 70 cells, one of 1 after 40; of the table's blocks some are not used."""
    if splits:
        monkeypatch.setattr(attention, "SPLIT_CELLS", 32)
        monkeypatch.setattr(attention, "BLOCKS_WANTED", 1000)
    (n_head, n_kv, size, v_size), lengths, new = heads, (73, 41), (3, 1)
    kv = ops.kv_cache([KVShape(n_kv, size, v_size)], 12, "f16", "q8_0" if v_size % 32 == 0 else "f16")
    k, v = ([normal(i + s, n, n_kv, width) for i, n in enumerate(lengths)] for s, width in ((5, size), (8, v_size)))
    q = [normal(20 + i, n, n_head, size) for i, n in enumerate(new)]
    tables = ((4, 2, 9, 1, 0), (3, 7, 5))
    for counts in ((70, 40), new):
        starts = [0, 0] if counts != new else [70, 40]
        parts = [Rows(s, n, table) for s, n, table in zip(starts, counts, tables, strict=True)]
        rows = [slice(s, s + n) for s, n in zip(starts, counts, strict=True)]
        queries = q if counts == new else [normal(1, n, n_head, size) for n in counts]
        kept = [np.concatenate([a[r] for a, r in zip(both, rows, strict=True)]) for both in (k, v)]
        found = ops.attend(np.concatenate(queries), *kept, make_step(parts, kv), 0, scale=0.1)
    outs = np.split(ops.to_numpy(found), [3])
    for i in range(2):
        keys = k[i].astype(np.float16).astype(np.float64)
        values = decode(encode(v[i], kv.type_v), kv.type_v).astype(np.float64)
        head = np.arange(n_head) // (n_head // n_kv)
        scores = np.einsum("the,she->hts", q[i].astype(np.float64), keys[:, head]) * 0.1
        position = np.arange(lengths[i] - new[i], lengths[i])
        scores[:, np.arange(lengths[i]) > position[:, None]] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        expected = np.einsum("hts,she->the", weights / weights.sum(-1, keepdims=True), values[:, head])
        assert nmse(expected, outs[i]) <= 1e-10


def test_offsets_beyond_two_gigabytes(ops):
    """A matrix and a KV pool whose last rows are farther away than 32 bits reach; what nobody writes takes none."""

    def sparse(shape, dtype):
        return type(ops.array(np.zeros(1)))(np.zeros(shape, dtype), None)

    values = normal(1, 2048).astype(np.float16)
    data = sparse((600_000, 2048), np.float16)
    data[-1] = ops.array(values)
    weight = Weight("w", GGMLType.F16, data.shape, data)
    np.testing.assert_array_equal(ops.to_numpy(ops.embed(weight, [599_999]))[0], values.astype(np.float32))

    kv = ops.kv_cache([], 40_000)
    kv.k, kv.v = ([sparse((40_000, 8, 32, 128), np.float16)] for _ in range(2))
    q, k, v = normal(1, 3, 8, 128), normal(2, 3, 8, 128), normal(3, 3, 8, 128)
    small = ops.kv_cache([KVShape(8, 128, 128)], 1)
    found, expected = (
        ops.to_numpy(ops.attend(q, k, v, make_step([Rows(0, 3, (block,))], pool), 0, scale=0.1))
        for pool, block in ((kv, 39_999), (small, 0))
    )
    np.testing.assert_array_equal(found, expected)


def test_more_of_the_largest_than_the_kernel_compares_are_refused(ops):
    x = np.zeros((1, 1100), np.float32)
    assert ops.to_numpy(ops.largest(x, ops.picks)[1]).tolist() == [[*range(1024)]]
    with pytest.raises(ValueError, match="largest: found 1025 of 1100 values, expected 1024 of 8388608 at most"):
        ops.largest(x, 1025)


def test_rocm_multiplies_and_attends_too():
    rocm, x = opened(hip=True), normal(1, 40, 64)
    np.testing.assert_array_equal(rocm.to_numpy(rocm.largest(x, 9)[1]), np.argsort(-x, kind="stable")[:, :9])
    for type_name in ("F32", "F16", "Q8_0"):
        weight = matrix(type_name, 5, 64)
        values = dequantize(weight.data, weight.type).astype(np.float64)
        for rows in (x, x[:3]):
            assert nmse(rows @ values.T, rocm.to_numpy(rocm.linear(rows, weight))) <= 1e-4
    q, kv = normal(2, 1, 2, 32), rocm.kv_cache([KVShape(2, 32, 32)], 1, "q8_0", "q8_0")
    y = rocm.to_numpy(rocm.attend(q, q, q, make_step([Rows(0, 1, (0,))], kv), 0, scale=1.0))
    assert nmse(q, y) <= 1e-4  # one cell: its value


def test_heads_that_are_too_large_are_refused(ops):
    q = normal(1, 1, 1, 320)
    with pytest.raises(ValueError, match="found heads of 320 and 320 values, expected at most 256"):
        ops.attend(q, q, q, make_step([Rows(0, 1)], None), 0, scale=1.0)


def test_types_without_a_kernel_are_refused(ops):
    weight = Weight("w", GGMLType.I8, (2, 4), np.zeros((2, 4), np.int8))
    with pytest.raises(ValueError, match="weight w: found type I8, expected F32, F16, BF16 or a block type"):
        ops.linear(normal(1, 1, 4), weight)


def test_no_room_on_the_device_names_what_was_placed(ops, monkeypatch):
    def full(*args):
        raise standin.OutOfMemoryError("out of memory allocating 1 bytes")

    monkeypatch.setattr(ops.xp, "zeros", full)
    with pytest.raises(BackendError, match=r"KV cache of 96 cells: CUDA0 \(an emulated grid\) has no room: out of mem"):
        ops.kv_cache([KVShape(1, 32, 32)], 3)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendError, match=r"pip install 'llamabox\[cuda\]' \(NVIDIA\) or 'llamabox\[rocm\]'"):
        CupyOps()


def test_devices_are_named_as_llama_cpp_does():
    for hip, name in ((False, "CUDA0"), (True, "ROCm0")):
        with standin.installed(hip):
            assert find_device(None, "cupy").name == name
            with pytest.raises(BackendError, match=f"found 'CUDA7', expected one that is present: {name}"):
                find_device("CUDA7", "cupy")


def test_the_emulated_grid_finds_what_would_hang_a_gpu():
    source = 'extern "C" __global__ void f(int n) { if (threadIdx.x < n) __syncthreads(); else shuffle_xor(1.0f, 1); }'
    library = standin.grid.Library(source)
    library.launch("f", (1,), 32, [np.int32(32)])
    with pytest.raises(RuntimeError, match="wait for others that never come"):
        library.launch("f", (1,), 32, [np.int32(16)])
    with pytest.raises(TypeError, match=r"arguments of \[8\] bytes, expected \[4\]"):
        library.launch("f", (1,), 32, [np.int64(16)])
