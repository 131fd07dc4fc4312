"""The elementary functions in float32 against float64's, in units of the last place, and their doors."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.special

from autograd_core.kernels import smooth

REFERENCES = {
    "exp": np.exp, "sigmoid": scipy.special.expit, "tanh": np.tanh, "erf": scipy.special.erf,
}  # fmt: skip
ULPS = {"exp": 1.0, "sigmoid": 2.5, "tanh": 2.4, "erf": 2.5}
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 89, -104, -103, 1e-45], np.float32)


def points():
    """Dense around every seam of the functions, and down to the smallest numbers."""
    spans = [np.linspace(-reach, reach, 100_001) for reach in (0.7, 1.1, 2.5, 10, 87)]
    small = np.logspace(-37, 0, 20_001)
    return np.concatenate([*spans, small, -small]).astype(np.float32)


@pytest.mark.parametrize("name", REFERENCES)
def test_accuracy(name):
    x = points()
    got, want = getattr(smooth, name)(x), REFERENCES[name](x.astype(np.float64))
    assert got.dtype == np.float32
    unit = np.spacing(np.maximum(np.abs(want), 2.0**-126).astype(np.float32)).astype(np.float64)
    assert (np.abs(got - want) / unit).max() <= ULPS[name]


@pytest.mark.parametrize("name", REFERENCES)
def test_special_values(name):
    with np.errstate(over="ignore"):
        want = REFERENCES[name](SPECIAL)
    np.testing.assert_allclose(getattr(smooth, name)(SPECIAL), want, rtol=3e-7, atol=1e-44)


def test_derivatives_at_special_results():
    g, y = (a.ravel() for a in np.meshgrid(SPECIAL, SPECIAL))
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(smooth.tanh_grad(g, y), g * (1 - y * y), rtol=1e-6)
        np.testing.assert_allclose(smooth.sigmoid_grad(g, y), g * y * (1 - y), rtol=1e-6)


@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid"])
def test_bounded_functions_stay_in_their_bounds(name):
    y = getattr(smooth, name)(points())
    assert y.max() <= 1
    assert y.min() >= (0 if name == "sigmoid" else -1)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 3, 64), (9, 1000), (5, 20_000), (0, 3)])
def test_softmax(shape):
    rng = np.random.default_rng(0)
    x, g = (5 * rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    wide = x.astype(np.float64)
    if x.size:
        np.testing.assert_allclose(smooth.softmax(x), scipy.special.softmax(wide, -1), rtol=1e-5)
        np.testing.assert_allclose(
            smooth.log_softmax(x), scipy.special.log_softmax(wide, -1), rtol=1e-5, atol=1e-5
        )
    want = wide * (g - (g * wide).sum(-1, keepdims=True))
    np.testing.assert_allclose(
        smooth.softmax_grad(g, x), want, rtol=1e-4, atol=1e-5 * np.abs(want).max(initial=1)
    )


def test_softmax_far_from_zero():
    x = np.array([[1e4, 1e4], [-1e4, -1e4], [1e38, -1e38], [-np.inf, 0.0]], np.float32)
    np.testing.assert_array_equal(smooth.softmax(x), [[0.5, 0.5], [0.5, 0.5], [1, 0], [0, 1]])
    np.testing.assert_array_equal(smooth.log_softmax(x)[2:], np.float32([[0, -2e38], [-np.inf, 0]]))


@pytest.mark.parametrize("row", [[np.nan, 1.0], [1.0, np.nan], [np.inf, 1.0], [-np.inf, -np.inf]])
def test_rows_without_a_softmax_are_nan(row):
    x = np.array([row, [0.0, 0.0]], np.float32)
    y = smooth.softmax(x)
    assert np.isnan(y[0]).all()
    np.testing.assert_array_equal(y[1], [0.5, 0.5])


def test_any_layout():
    x = np.random.default_rng(0).standard_normal((30, 40)).astype(np.float32)
    frozen = x.copy()
    frozen.flags.writeable = False
    for function in (smooth.exp, smooth.softmax, smooth.log_softmax, lambda a: smooth.softmax_grad(a, a)):
        wanted = function(x)
        for other in (np.asfortranarray(x), x[::-1].copy()[::-1], frozen, x.astype(">f4")):
            np.testing.assert_array_equal(function(other), wanted)


def test_same_bits_for_any_number_of_threads():
    x = np.random.default_rng(0).standard_normal((300, 999)).astype(np.float32)
    before, results = numba.get_num_threads(), []
    try:
        for threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1):
            numba.set_num_threads(threads)
            functions = (
                smooth.exp,
                smooth.sigmoid,
                smooth.tanh,
                smooth.erf,
                smooth.softmax,
                smooth.log_softmax,
            )
            results.append(b"".join(function(x).tobytes() for function in functions))
    finally:
        numba.set_num_threads(before)
    assert len(set(results)) == 1


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: smooth.exp(X.astype(float)), TypeError, "x is float64: give it as float32"),
        (lambda: smooth.exp([1.0]), TypeError, "x is list"),
        (lambda: smooth.softmax(X[:, :0]), ValueError, "needs a last axis with elements"),
        (lambda: smooth.softmax(np.ones((), np.float32)), ValueError, "needs a last axis"),
        (lambda: smooth.softmax_grad(X, X[:1]), ValueError, "has the shape .* but another"),
        (lambda: smooth.tanh_grad(X, X[:1]), ValueError, "has the shape .* but another"),
    ],
)
def test_door(call, error, message):
    with pytest.raises(error, match=message):
        call()
