"""Fused kernels give the same bits as the ops they stand for, one after another."""

import numpy as np
import pytest
from op_cases import normal

from llamabox.kernels import open_backend
from llamabox.kernels.cpu.fused_jobs import activate_job, norm_job
from llamabox.kernels.cpu.layout import X_UNIT
from llamabox.kernels.cpu.products import quantise_job, units
from llamabox.kernels.cpu.runner import Runner, address
from llamabox.kernels.placement import Threads

EPS = 1e-5


@pytest.fixture(scope="module")
def ops():
    return open_backend("cpu", threads=2)


@pytest.fixture(scope="module")
def runner():
    return Runner(Threads(2))


def empty(rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Room for a result as f32 and quantised, filled with what no result is."""
    return np.full((rows, width), 7, np.float32), np.full((rows, units(width) * X_UNIT), 85, np.uint8)


def quantised(runner: Runner, x: np.ndarray) -> np.ndarray:
    """Rows as the quantise kernel leaves them."""
    rows, width = x.shape
    job, target = quantise_job(runner, address(x), rows, width)
    made = np.empty((rows, units(width) * X_UNIT), np.uint8)
    runner.run_once([job])
    return np.frombuffer((np.ctypeslib.ctypes.c_uint8 * made.size).from_address(target), np.uint8).reshape(made.shape)


@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("width", [32, 416, 896, 1024])
def test_norms(ops, runner, rows, width):
    x, other, weight = normal(1, rows, width, scale=3), normal(2, rows, width), normal(3, width)
    total, (out, packed) = np.empty_like(x), empty(rows, width)
    runner.run_once(
        [norm_job(*map_in(x), address(weight), EPS, other=address(other), sum=address(total), out=address(out))],
        [norm_job(*map_in(total), address(weight), EPS, quantised=address(packed))],
    )
    np.testing.assert_array_equal(total, x + other)
    np.testing.assert_array_equal(out, ops.rms_norm(x + other, weight, EPS))
    np.testing.assert_array_equal(packed, quantised(runner, out))


def test_the_sum_may_take_the_place_of_x(ops, runner):
    x, other, weight = normal(4, 2, 96), normal(5, 2, 96), normal(6, 96)
    expected, (out, packed) = x + other, empty(2, 96)
    runner.run_once(
        [
            norm_job(
                *map_in(x),
                address(weight),
                EPS,
                other=address(other),
                sum=address(x),
                out=address(out),
                quantised=address(packed),
            )
        ]
    )
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(out, ops.rms_norm(expected, weight, EPS))
    np.testing.assert_array_equal(packed, quantised(runner, out))


@pytest.mark.parametrize("kind", ["silu", "gelu", "gelu_erf"])
@pytest.mark.parametrize(("rows", "width"), [(1, 32), (1, 4864), (3, 416), (9, 1024)])
def test_activations(ops, runner, kind, rows, width):
    x, other = normal(7, rows, width, scale=4), normal(8, rows, width)
    for factor in (0, address(other)):
        out, packed = empty(rows, width)
        runner.run_once(
            [activate_job(kind, *map_in(x), other=factor, out=address(out))],
            [activate_job(kind, *map_in(x), other=factor, quantised=address(packed))],
        )
        activated = getattr(ops, kind)(x)
        np.testing.assert_array_equal(out, activated * other if factor else activated)
        np.testing.assert_array_equal(packed, quantised(runner, out))


def test_what_is_not_finite_stays_so(runner):
    x, ones = normal(9, 1, 64), np.ones(64, np.float32)
    x[0, 3] = np.inf
    packed = empty(1, 64)[1]
    runner.run_once([norm_job(*map_in(x), address(ones), EPS, quantised=address(packed))])
    scales = packed[0, 256:264].view(np.float32)
    assert np.isnan(scales[0]) and scales[1] == 0


def map_in(x: np.ndarray) -> tuple[int, int, int]:
    """Address, width and number of rows."""
    return address(x), x.shape[1], x.shape[0]
