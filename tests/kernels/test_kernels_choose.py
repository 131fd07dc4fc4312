"""Choosing without branches, against NumPy, and the doors."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from autograd_core.kernels import choose

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-30, -1e-30])
SHAPES = [(), (1,), (7,), (3, 0), (5, 70_000 // 5), (40_001,)]


@pytest.fixture(params=[np.float32, np.float64])
def arrays(request):
    """A function of a shape that gives two arrays with special values."""

    def make(shape):
        rng = np.random.default_rng(0)
        return [
            rng.choice(SPECIAL.astype(request.param), shape) + np.zeros(shape, request.param)
            for _ in range(2)
        ]

    return make


@pytest.mark.parametrize("shape", SHAPES)
def test_against_numpy(arrays, shape):
    x, y = (np.asarray(a) for a in arrays(shape))
    condition = np.asarray(x > y)
    pairs = [
        (choose.relu(x), np.maximum(x, 0)),
        (choose.gate(y, x), np.where(x > 0, y, 0)),
        (choose.select(condition, x, y), np.where(condition, x, y)),
        (choose.select(condition, x, 2.5), np.where(condition, x, 2.5)),
        (choose.select(condition, np.nan, y), np.where(condition, np.nan, y)),
    ]
    for got, want in pairs:
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(got, want.astype(x.dtype))


def test_any_layout():
    x = np.random.default_rng(0).standard_normal((30, 40))
    frozen = x.copy()
    frozen.flags.writeable = False
    for other in (np.asfortranarray(x), x[::-1].copy()[::-1], frozen, x.astype(">f8")):
        np.testing.assert_array_equal(choose.relu(other), np.maximum(x, 0))
        np.testing.assert_array_equal(choose.gate(x, other), np.maximum(x, 0))
        np.testing.assert_array_equal(choose.select(np.asfortranarray(x > 0), other, 0.0), np.maximum(x, 0))


def test_same_bits_for_any_number_of_threads():
    x = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    before = numba.get_num_threads()
    try:
        for threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1):
            numba.set_num_threads(threads)
            np.testing.assert_array_equal(choose.gate(x, x), np.maximum(x, 0))
    finally:
        numba.set_num_threads(before)


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: choose.relu([1.0]), TypeError, "x is list"),
        (lambda: choose.relu(X.astype(int)), TypeError, "x is int64"),
        (lambda: choose.gate(X, X[:1]), ValueError, "y has the shape .* but x has"),
        (lambda: choose.gate(X, X.astype(float)), TypeError, "y is float32 but x is float64"),
        (lambda: choose.select(X > 0, 1.0, 2.0), TypeError, "select takes an array of bool"),
        (lambda: choose.select(X, X, X), TypeError, "select takes an array of bool"),
        (lambda: choose.select(X[0] > 0, X, X), ValueError, "condition has the shape"),
    ],
)
def test_door(call, error, message):
    with pytest.raises(error, match=message):
        call()
