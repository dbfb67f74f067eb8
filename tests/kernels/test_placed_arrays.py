"""Placed arrays: where arithmetic happens, that copies are made once and never stale; PlacedOps has the vocabulary."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
from fenced import FencedOps

from llamabox.kernels import Ops
from llamabox.kernels.placed import PlacedOps
from llamabox.kernels.placed_arrays import Placed, Site


@pytest.fixture
def sites():
    return [Site(name, FencedOps(name, Ops)) for name in ("A", "B")]


@pytest.fixture
def run(sites):
    return SimpleNamespace(here=sites[1])


def placed(run, site, values):
    return Placed(run, site, site.use().array(np.array(values, np.float32)))


def host(x):
    return x.site.use().to_numpy(x.array).tolist()


def test_values_of_two_devices_meet_where_the_pass_is(run, sites):
    a, b = placed(run, sites[0], [1, 2]), placed(run, sites[1], [10, 20])
    for result, values in (
        (a + b, [11, 22]),
        (b - a, [9, 18]),
        (a - b, [-9, -18]),
        (b / a, [10, 10]),
        (a * b, [10, 40]),
    ):
        assert (result.site, host(result)) == (sites[1], values)
    run.here = sites[0]
    assert (b - a).site is sites[0]


def test_values_of_one_device_stay_there(run, sites):
    a = placed(run, sites[0], [[1, 2], [3, 4]])
    before = sites[1].ops.moved
    for result, values in (
        (a + a, [[2, 4], [6, 8]]),
        (2 - a, [[1, 0], [-1, -2]]),
        (np.float32(2) * a, [[2, 4], [6, 8]]),
        (a * np.array([1, 10], np.float32), [[1, 20], [3, 40]]),
        (np.array([1, 10], np.float32) + a, [[2, 12], [4, 14]]),
        (-a, [[-1, -2], [-3, -4]]),
        (a.reshape(4), [1, 2, 3, 4]),
        (a.transpose(1, 0), [[1, 3], [2, 4]]),
        (a[:, 1:], [[2], [4]]),
    ):
        assert (result.site, host(result), sites[1].ops.moved) == (sites[0], values, before)
    assert (a.shape, a.ndim, a.size, a.dtype, len(a)) == ((2, 2), 2, 4, np.float32, 2)


def test_a_copy_is_made_once_and_dropped_when_the_array_changes(run, sites):
    a, b = placed(run, sites[0], [1, 2]), placed(run, sites[1], [10, 20])
    before = sites[1].ops.moved
    assert host(a + b) == [11, 22] and host(a * b) == [10, 40]
    assert sites[1].ops.moved == before + 1
    a += 1
    assert host(a + b) == [12, 23]
    a[np.array([1])] = placed(run, sites[1], [7])
    assert host(a) == [2, 7] and host(a + b) == [12, 27]
    np.testing.assert_array_equal(np.asarray(a), [2, 7])


IN_PLACE = [name for name, f in inspect.getmembers(PlacedOps, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize("name", IN_PLACE)
def test_signatures_are_those_of_ops(name):
    assert inspect.signature(getattr(PlacedOps, name)) == inspect.signature(getattr(Ops, name))


def test_every_op_is_placed():
    """Ops made of others need no method of their own; any other would take placed arrays for NumPy's."""
    made_of_others = {"activation", "run", "enter"}
    public = {name for name, _ in inspect.getmembers(Ops, inspect.isfunction) if not name.startswith("_")}
    assert public - set(vars(PlacedOps)) - {"tag"} == made_of_others
