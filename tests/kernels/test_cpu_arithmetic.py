"""Arithmetic as jobs: NumPy's bits for every way that operands broadcast."""

import numpy as np
import pytest

from llamabox.kernels import open_backend
from llamabox.kernels.cpu.arithmetic_jobs import as_rows, combine_job, take_rows_job
from llamabox.kernels.cpu.runner import Runner, address
from llamabox.kernels.placement import Threads

RUNNER = Runner(Threads(2))
SHAPES = [
    ((7, 33), (7, 33)),
    ((5, 64), (64,)),
    ((5, 64), ()),
    ((), (3, 5)),
    ((4, 3, 8), (4, 1, 1)),
    ((4, 3, 40), (4, 3, 1)),
    ((1, 9), (6, 9)),
    ((300, 100), (300, 100)),
]
OPERATIONS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}


def combine(name, a, b):
    shape = np.broadcast_shapes(a.shape, b.shape)
    rows = as_rows(shape, np.broadcast_to(a, shape).strides, np.broadcast_to(b, shape).strides)
    out = np.full(shape, np.nan, np.float32)
    RUNNER.run_once([combine_job(name, rows, address(a), address(b), address(out))])
    return out


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("shapes", SHAPES)
def test_numpys_bits(name, shapes):
    random = np.random.default_rng(1)
    a, b = (np.array(random.standard_normal(shape), np.float32) for shape in shapes)
    np.testing.assert_array_equal(combine(name, a, b), OPERATIONS[name](a, b))


def test_columns_are_copied_into_rows_of_their_own():
    x = np.arange(7 * 30, dtype=np.float32).reshape(7, 30)
    for part in (x[:, :11], x[:, 11:], x[2:, 3:4]):
        rows = as_rows(part.shape, part.strides, part.strides)
        out = np.zeros(part.shape, np.float32)
        start = part.__array_interface__["data"][0]
        RUNNER.run_once([combine_job("copy", rows, start, start, address(out))])
        np.testing.assert_array_equal(out, part)
    assert as_rows((30, 7), x.T.strides) is None


@pytest.mark.parametrize("width", [1, 7, 8, 61])
def test_rows_taken(width):
    x = np.random.default_rng(2).standard_normal((40, width)).astype(np.float32)
    which = np.array([0, 3, 4, 39, 39, 7], np.int32)
    out = np.zeros((6, width), np.float32)
    RUNNER.run_once([take_rows_job(address(x), 4 * width, address(which), 6, address(out))])
    np.testing.assert_array_equal(out, x[which])


@pytest.mark.parametrize("size", [1, 5, 8, 1001])
def test_softcap(size):
    x = np.random.default_rng(size).standard_normal(size).astype(np.float32) * 60
    exact = 30 * np.tanh(x.astype(np.float64) / 30)
    found = open_backend("cpu").softcap(x, 30.0)
    assert np.abs(found - exact).max() <= 1e-5
