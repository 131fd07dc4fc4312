"""A smaller array spread over a larger one, against NumPy, and the door."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from autograd_core.kernels import spread
from autograd_core.ops.spread import spread_view

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-30, 3.0])
OPERATIONS = {
    spread.add: np.add,
    spread.multiply: np.multiply,
    spread.subtract: np.subtract,
    spread.subtract_from: lambda x, v: np.subtract(v, x),
}
SHAPES = [
    ((5, 7), (7,)),
    ((5, 7), (1, 7)),
    ((5, 7), (5, 1)),
    ((4, 3, 5, 6), (3, 1, 1)),
    ((4, 3, 5, 6), (3, 5, 1)),
    ((4, 3, 1, 6), (4, 3, 1, 1)),
    ((3, 0), (3, 1)),
    ((300, 400), (400,)),
    ((300, 400), (300, 1)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_bits_are_numpys(operation, shapes, dtype):
    rng = np.random.default_rng(0)
    x, v = (np.asarray(rng.choice(SPECIAL, shape), dtype) for shape in shapes)
    view = spread_view(*shapes)
    assert view is not None
    with np.errstate(invalid="ignore"):
        want = OPERATIONS[operation](x, v)
    got = operation(x, v, view)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, want)
    known = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[known], np.signbit(want)[known])


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3, 4), (2, 1, 4)),
        ((1, 4), (3, 1)),
        ((4,), (2, 4)),
        ((4,), (1, 4)),
        ((5, 7), ()),
        ((5, 7), (1, 1)),
    ],
)
def test_what_is_left_to_numpy(shapes):
    assert spread_view(*shapes) is None


def test_same_bits_for_any_number_of_threads():
    x = np.random.default_rng(0).standard_normal((500, 300)).astype(np.float32)
    before = numba.get_num_threads()
    try:
        for threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1):
            numba.set_num_threads(threads)
            np.testing.assert_array_equal(spread.multiply(x, x[0], (500, 300, 1)), x * x[0])
    finally:
        numba.set_num_threads(before)


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: spread.add(X, [1.0], (1, 1, 6)), TypeError, "v is list"),
        (lambda: spread.add(X, X[0].astype(float), (2, 3, 1)), TypeError, "x is float32 but v is float64"),
        (lambda: spread.add(X, X[0], (3, 3, 1)), ValueError, "x has 6 elements and v 3"),
        (lambda: spread.add(X, X[0], (3, 2, 1)), ValueError, "x has 6 elements and v 3"),
    ],
)
def test_door(call, error, message):
    with pytest.raises(error, match=message):
        call()
