"""Every backend gives what each op's definition says, refuses what does not fit, and lets NaN through."""

import inspect

import numpy as np
import pytest
from on_backends import EVERY, open_ops
from op_cases import BLOCKS, CASES, FLOATS, matrix, nmse, normal

from llamabox.kernels import Ops, open_backend
from llamabox.kernels.ops_cpu import CpuOps
from llamabox.kernels.ops_cupy import CupyOps
from llamabox.kernels.ops_torch import TorchOps


@pytest.fixture(scope="module", params=EVERY)
def ops(request):
    return open_ops(request.param)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(ops, case):
    with np.errstate(over="ignore"):
        expected, found = np.asarray(case.expected()), np.asarray(case.call(ops))
    error = nmse(expected, found)
    worst = np.unravel_index(np.argmax(np.abs(found - expected)), expected.shape)
    assert error <= case.bound, f"NMSE {error:.2e}; worst at {worst}: {found[worst]}, expected {expected[worst]}"


def test_results_are_f32(ops):
    x = normal(1, 3, 64)
    for y in (ops.linear(x, matrix("Q8_0", 8, 64)), ops.rms_norm(x, None, 1e-6), ops.silu(x), ops.gelu(x)):
        assert y.dtype == np.float32


@pytest.mark.parametrize("backend", [CpuOps, CupyOps, TorchOps])
@pytest.mark.parametrize("name", [n for n, f in inspect.getmembers(Ops, inspect.isfunction) if not n.startswith("_")])
def test_signatures_are_those_of_ops(name, backend):
    ours, theirs = (inspect.signature(getattr(cls, name)).parameters.values() for cls in (backend, Ops))
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("type_name", [*FLOATS, *BLOCKS])
@pytest.mark.parametrize("rows", [1, 3])
def test_what_is_not_finite_stays_so(ops, type_name, value, rows):
    x = normal(2, rows, 256)
    x[rows - 1, 77] = value
    y = ops.linear(x, matrix(type_name, 12, 256))
    assert not np.isfinite(y[rows - 1]).any()
    assert np.isfinite(y[: rows - 1]).all()


@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_nan_stays_nan(ops, name):
    x = normal(3, 40)
    x[17] = np.nan
    np.testing.assert_array_equal(np.isnan(getattr(ops, name)(x)), np.isnan(x))
    x = x.reshape(5, 8)
    norms = ops.rms_norm(x, None, 1e-6), ops.layer_norm(x, np.ones(8, np.float32), None, 1e-6)
    assert all(np.isnan(y[2]).all() and np.isfinite(y[:2]).all() for y in norms)


def test_no_rows(ops):
    x = np.zeros((0, 64), np.float32)
    assert ops.linear(x, matrix("Q8_0", 8, 64)).shape == (0, 8)
    assert ops.ffn_gated(x, matrix("Q8_0", 8, 64), matrix("Q8_0", 8, 64)).shape == (0, 8)
    assert ops.rms_norm(x, None, 1e-6).shape == (0, 64)
    assert [y.shape for y in ops.largest(x, 3)] == [(0, 3)] * 2


def test_what_does_not_fit_is_refused(ops):
    x, w = normal(4, 2, 32), matrix("F32", 8, 64)
    with pytest.raises(ValueError, match=r"linear: weight F32.* does not fit x \(2, 32\)"):
        ops.linear(x, w)
    with pytest.raises(ValueError, match="does not fit"):
        ops.linear_experts(x[:, None], matrix("F32", 3, 8, 64), np.zeros((2, 1), np.int64))
    with pytest.raises(ValueError, match=r"rms_norm: weight \(31,\) does not fit x \(2, 32\)"):
        ops.rms_norm(x, np.ones(31, np.float32), 1e-6)
    for shape, k in (((2, 5), 0), ((5,), 1)):
        with pytest.raises(ValueError, match=rf"largest: found x \({shape[0]},.* and k {k}, expected two axes"):
            ops.largest(np.zeros(shape, np.float32), k)
    with pytest.raises(ValueError, match="found \"?'?relu"):
        ops.ffn_gated(normal(5, 2, 64), w, w, "relu")


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="found 'gpu', expected one of numpy, cpu"):
        open_backend("gpu")
