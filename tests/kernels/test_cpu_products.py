"""The cpu backend's products: the same bits whatever the batch and the threads; exact on what 8 bits can hold."""

import ctypes
import mmap
import sys
import threading

import numpy as np
import pytest
from op_cases import BLOCKS, FLOATS, matrix, nmse, normal, values_of

from llamabox.gguf import GGMLType, dequantize
from llamabox.kernels import Weight, open_backend
from llamabox.kernels.cpu.products import prepare, rows_a_task


@pytest.fixture(scope="module")
def ops():
    return open_backend("cpu", threads=2)


@pytest.mark.parametrize("type_name", [*FLOATS, *BLOCKS])
def test_a_row_gives_the_same_bits_alone_as_among_others(ops, type_name):
    width = 416 if GGMLType[type_name].block_size <= 32 else 512
    weight, x, bias = matrix(type_name, 70, width), normal(1, 300, width), normal(2, 70)
    alone = np.concatenate([ops.linear(x[t : t + 1], weight, bias) for t in range(40)])
    for rows in (7, 40, 300):
        np.testing.assert_array_equal(ops.linear(x[:rows], weight, bias)[:40], alone[:rows])


@pytest.mark.parametrize(
    ("type_name", "width"),
    [
        (name, width)
        for name in BLOCKS
        for width in (32, 96, 128, 160, 384, 544, 576)
        if GGMLType[name].block_size < 256 and width % GGMLType[name].block_size == 0
    ],
)
def test_rows_that_end_in_the_first_half_of_a_unit_give_the_same_bits_too(ops, type_name, width):
    weight, x, bias = matrix(type_name, 37, width), normal(3, 7, width), normal(4, 37)
    alone = np.concatenate([ops.linear(x[t : t + 1], weight, bias) for t in range(7)])
    np.testing.assert_array_equal(ops.linear(x, weight, bias), alone)
    assert nmse(x.astype(np.float64) @ values_of(weight).T + bias, alone) <= 1e-4


@pytest.mark.parametrize("rows", [1, 2, 4, 7])
@pytest.mark.parametrize("type_name", [name for name in BLOCKS if GGMLType[name].block_size < 256])
def test_what_follows_a_row_does_not_count(ops, type_name, rows):
    """A row ends amid a unit, and the next one, read with it, is all ones: NaN as an f16 scale."""
    weight, x = matrix(type_name, 6, 128), normal(3, rows, 128)
    data = np.repeat(weight.data, 2, axis=0)
    data[1::2] = 0xFF
    mixed = Weight("w", weight.type, (12, 128), data)
    np.testing.assert_array_equal(ops.linear(x, mixed)[:, ::2], ops.linear(x, weight))


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect")
@pytest.mark.parametrize("type_name", BLOCKS)
def test_nothing_is_read_beyond_the_matrix(ops, type_name):
    """It ends where a page begins that cannot be read: reading there would end this process."""
    width = max(GGMLType[type_name].block_size, 96 if GGMLType[type_name].block_size == 32 else 0)
    weight, page = matrix(type_name, 19, width), mmap.PAGESIZE
    size = -(-weight.data.nbytes // page) * page
    memory = mmap.mmap(-1, size + page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + size), page, 0) == 0
    data = np.frombuffer(memory, np.uint8, weight.data.nbytes, size - weight.data.nbytes).reshape(weight.data.shape)
    data[:] = weight.data
    there = Weight("w", weight.type, weight.shape, data)
    for rows in (1, 2, 4, 20):
        x = normal(3, rows, width)
        np.testing.assert_array_equal(ops.linear(x, there), ops.linear(x, weight))


@pytest.mark.parametrize("type_name", BLOCKS)
def test_integers_are_exact(ops, type_name):
    """Rows of integers up to 127 are quantised without loss, so products are f32-exact: every byte is read right."""
    weight = matrix(type_name, 33, 512, seed=5)
    x = np.random.default_rng(6).integers(-127, 128, (3, 512)).astype(np.float32)
    x[:, ::32] = 127  # the scale of every group is then 1
    expected = x.astype(np.float64) @ values_of(weight).T
    for rows in (1, 3):
        found = ops.linear(x[:rows], weight)
        np.testing.assert_allclose(found, expected[:rows], rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("rows", [1, 3])
def test_every_exponent_of_mxfp4(ops, rows):
    """Scales of 2^-128 to 2^123, the two smallest subnormal; above, values overflow. A row a scale, exact in f32."""
    rng = np.random.default_rng(7)
    data = rng.integers(0, 256, (252, 17), dtype=np.uint8)
    data[:, 0] = np.arange(252)
    x = rng.integers(-127, 128, (rows, 32)).astype(np.float32)
    x[:, 0] = 127
    x *= np.float32(2.0**-16)
    found = ops.linear(x, Weight("w", GGMLType.MXFP4, (252, 32), data))
    expected = x.astype(np.float64) @ dequantize(data, GGMLType.MXFP4).astype(np.float64).T
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("rows", [1, 3])
def test_every_scale_of_nvfp4(ops, rows):
    """All bytes as scales of halves of 16 values, beside one far from it or near: 0x7F counts as 0, 0xFF as 480."""
    rng = np.random.default_rng(8)
    data = rng.integers(0, 256, (512, 36), dtype=np.uint8)
    data[:256, 0], data[256:, 1] = np.arange(256), np.arange(256)
    x = rng.integers(-127, 128, (rows, 64)).astype(np.float32)
    x[:, ::32] = 127
    found = ops.linear(x, Weight("w", GGMLType.NVFP4, (512, 64), data))
    values = dequantize(data, GGMLType.NVFP4).astype(np.float64)
    size = np.abs(values).max(axis=1)
    assert nmse(x @ values.T / size, found / size) < 1e-8


@pytest.mark.parametrize("type_name", ["Q4_K", "F16"])
def test_threads_do_not_change_results(ops, type_name):
    weight = matrix(type_name, 500, 512)
    for rows in (1, 9):
        x = normal(3, rows, 512)
        np.testing.assert_array_equal(open_backend("cpu", threads=1).linear(x, weight), ops.linear(x, weight))


@pytest.mark.parametrize(
    ("n_out", "row_bytes", "threads", "expected"),
    [
        (896, 952, 2, 2),  # 0.85 MB: a half for each
        (4864, 952, 2, 6),  # 4.6 MB: threes of less than 1 MB
        (151936, 952, 2, 138),
        (128, 64, 8, 1),  # 8 KB: not worth a second task
        (1, 100, 2, 1),
    ],
)
def test_one_row_is_cut_into_equal_shares(n_out, row_bytes, threads, expected):
    per_task = rows_a_task(n_out, row_bytes, threads)
    assert -(-n_out // per_task) == expected


def test_a_weight_without_rows(ops):
    assert ops.linear(normal(1, 1, 32), matrix("Q8_0", 0, 32)).shape == (1, 0)


def test_backends_in_several_threads():
    weight, x = matrix("Q8_0", 300, 256), normal(4, 6, 256)
    backends = [open_backend("cpu", threads=2) for _ in range(2)]
    expected = backends[0].linear(x, weight)
    wrong = []

    def work(backend):
        for _ in range(200):
            if not np.array_equal(backend.linear(x, weight), expected):
                wrong.append(backend)

    threads = [threading.Thread(target=work, args=(b,)) for b in backends for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_helpers_end_with_their_backend():
    before = set(threading.enumerate())
    backend = open_backend("cpu", threads=2)
    backend.linear(normal(5, 3, 64), matrix("F32", 100, 64))
    helpers = set(threading.enumerate()) - before
    assert len(helpers) == backend.threads - 1
    del backend  # waits for nobody
    for helper in helpers:
        helper.join(timeout=30)
        assert not helper.is_alive()


def test_a_read_only_weight_is_read_in_place(ops):
    plain = matrix("Q8_0", 20, 64)
    plain.data.flags.writeable = False
    weight = ops.weight(plain)
    assert weight.data is plain.data or np.shares_memory(weight.data, plain.data)


def test_kernel_names(ops):
    names = {t: ops.kernel_name(matrix(t, 1, 256)) for t in (*FLOATS, *BLOCKS)}
    assert all(names[t] == f"{t} x f32" for t in FLOATS)
    assert all(names[t].startswith(f"{t} x int8 (") for t in BLOCKS)


def test_doubles_and_whole_numbers_are_kept_as_f32(ops):
    values, x = np.arange(-20, 28).reshape(3, 16), normal(6, 2, 16)
    for type in (GGMLType.F64, GGMLType.I8, GGMLType.I32):
        y = ops.linear(x, Weight("w", type, values.shape, values.astype(type.dtype)))
        assert nmse(x.astype(np.float64) @ values.T, y) < 1e-12


@pytest.mark.parametrize("threads", [0, -2])
def test_threads_below_one_are_refused(threads):
    with pytest.raises(ValueError, match=f"threads: found {threads}, expected 1 or more"):
        open_backend("cpu", threads=threads)


def test_products_side_by_side_do_not_share_scratch():
    """Matrices of unlike sizes in one phase: threads that are in different ones keep to their own scratch."""
    ops = open_backend("cpu", threads=2)
    weights = [prepare(matrix("Q8_0", n_out, 256)) for n_out in (1024, 64, 32, 512)]
    x = normal(8, 5, 256)
    alone = [ops.linear(x, w) for w in weights]
    for _ in range(200):
        for y, expected in zip(ops.linear_many(x, weights), alone, strict=True):
            np.testing.assert_array_equal(y, expected)
