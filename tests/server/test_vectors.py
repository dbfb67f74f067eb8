"""Norms of vectors, by their definitions."""

import numpy as np
import pytest

from llamabox.server.vectors import encoded, normalised, shortened, sigmoid

X = np.array([3.0, -4.0, 12.0], np.float32)


@pytest.mark.parametrize(
    ("kind", "norm"),
    [(-1, 1), (0, 12 / 32760), (1, 19), (2, 13), (3, (27 + 64 + 1728) ** (1 / 3)), (2000, 12), (2**31 - 1, 12)],
)
def test_each_norm(kind, norm):
    np.testing.assert_allclose(normalised(X, kind), X / norm, rtol=1e-6)


@pytest.mark.parametrize("kind", [-1, 0, 1, 2, 7])
def test_zeros_stay_and_large_values_do_not_overflow(kind):
    np.testing.assert_array_equal(normalised(np.zeros(3, np.float32), kind), np.zeros(3))
    assert np.isfinite(normalised(X * np.float32(1e37), kind)).all()


def test_rows_are_normalised_each_for_itself():
    rows = np.stack([X, 2 * X, 0 * X])
    np.testing.assert_allclose(normalised(rows, 2), [X / 13, X / 13, 0 * X], rtol=1e-6)


def test_shortening_comes_before_the_norm():
    np.testing.assert_allclose(shortened(X, 2, 2), [0.6, -0.8], rtol=1e-6)
    np.testing.assert_allclose(shortened(X, None, 2), X / 13, rtol=1e-6)


def test_base64_is_little_endian_float32():
    assert encoded(np.array([1.0, -2.0], np.float32), "base64") == "AACAPwAAAMA="
    assert encoded(X, None) == [3.0, -4.0, 12.0]


def test_sigmoid_of_large_scores():
    assert (sigmoid(0.0), sigmoid(1e30), sigmoid(-1e30)) == (0.5, 1.0, 0.0)
    assert sigmoid(1.5) == pytest.approx(1 / (1 + np.exp(-1.5)))
