"""Variances far from 0 and at infinity, and convolutions with weights that are not finite."""

import math

import numpy as np
import pytest

import autograd_core as ag
import nn

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


# Statistics --------------------------------------------------------------------------------------------------------


def _runs(f):
    compiled = ag.compile(f)
    return f, compiled, compiled  # the second call of a compiled function is a replay


@pytest.mark.parametrize("offset", [0, 1e3, 1e4, 1e5, 1e6])
@pytest.mark.parametrize(
    "shape", [(10, 1), (1000, 1), (64, 32), (16, 4, 8, 8), (100_000, 1), (8, 16, 32, 32), (1, 1, 99_999)]
)
def test_the_variance_of_data_far_from_0_has_its_digits(shape, offset):
    x = (np.random.default_rng(0).normal(size=shape) + offset).astype(np.float32)
    axes = (0, *range(2, x.ndim))
    exact = x.astype(np.float64)
    tolerance = 16 * np.finfo(np.float32).eps
    for run in _runs(ag.moments):
        mean, variance = run(ag.tensor(x)).numpy()
        np.testing.assert_allclose(mean, exact.mean(axis=axes), rtol=tolerance, atol=1e-6)
        np.testing.assert_allclose(variance, exact.var(axis=axes), rtol=tolerance)
    for run in _runs(lambda v: ag.var(v, axis=axes)):
        np.testing.assert_allclose(run(ag.tensor(x)).numpy(), exact.var(axis=axes), rtol=tolerance)
    for run in _runs(lambda v: ag.std(v, axis=axes)):
        np.testing.assert_allclose(run(ag.tensor(x)).numpy(), exact.std(axis=axes), rtol=tolerance)


@pytest.mark.parametrize(
    "layer", [lambda: nn.BatchNorm(4), lambda: nn.LayerNorm(4), lambda: nn.GroupNorm(2, 4)]
)
def test_normalisation_of_data_far_from_0_has_unit_variance(layer):
    x = (np.random.default_rng(0).normal(size=(64, 4)) + 1e5).astype(np.float32)
    y, centred = layer()(ag.tensor(x)).numpy(), layer()(ag.tensor(x - np.float32(1e5))).numpy()
    np.testing.assert_allclose(y.std(), centred.std(), rtol=1e-2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(20, 3), (1, 3, 100_000), (1, 1, 200_000), (70_000, 3), (8, 16, 32, 32)])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_the_mean_of_an_array_with_an_infinity_is_infinite(shape, dtype, value):
    x = np.ones(shape, dtype)
    x[shape[0] // 2, 0] = value
    axes = (0, *range(2, x.ndim))
    wanted = np.stack([x.mean(axis=axes), x.var(axis=axes)])
    for run in _runs(ag.moments):
        np.testing.assert_array_equal(run(ag.tensor(x)).numpy(), wanted)
    np.testing.assert_array_equal(ag.var(x, axis=axes).numpy(), wanted[1])


def test_equal_elements_have_a_variance_of_0_that_is_not_negative():
    for dtype in (np.float32, np.float64):
        for n in (3, 7, 1000, 100_000):
            x = np.full(n, 0.1, dtype)
            assert 0 <= ag.var(x).item() < 1e-14
            assert np.isfinite(ag.std(x).item())


# Weights that are not finite ----------------------------------------------------------------------------------------


def _kinds(values):
    return np.select([np.isnan(values), np.isposinf(values), np.isneginf(values)], [3, 1, 2], 0)


def _by_taps(x, w, stride, dilation, groups):
    """The plain sum of a convolution without padding: every tap's product with what it meets."""
    batch, _, *size = x.shape
    outputs, inputs, *kernel = w.shape
    out = [(s - dilation * (k - 1) - 1) // stride + 1 for s, k in zip(size, kernel, strict=True)]
    x, w = x.reshape(batch, groups, inputs, *size), w.reshape(groups, outputs // groups, inputs, *kernel)
    y = np.zeros((batch, groups, outputs // groups, math.prod(out)), x.dtype)
    for tap in np.ndindex(*kernel):
        met = (
            slice(k * dilation, k * dilation + (n - 1) * stride + 1, stride)
            for k, n in zip(tap, out, strict=True)
        )
        values = x[(..., *met)].reshape(batch, groups, inputs, -1)
        y += np.einsum("ngcp,goc->ngop", values, w[(..., *tap)])
    return y.reshape(batch, outputs, *out)


SHAPES = [  # images, weights, groups: they take strips, columns, stencils, Winograd's methods, tiles and windows
    ((2, 8, 8, 8), (8, 1, 3, 3), 8),
    ((1, 3, 5, 5), (2, 3, 1, 1), 1),
    ((2, 8, 8, 8), (8, 8, 3, 3), 1),
    ((2, 16, 14, 14), (32, 16, 3, 3), 1),
    ((2, 16, 14, 14), (32, 16, 5, 5), 1),
    ((1, 32, 28, 28), (32, 32, 3, 3), 1),
    ((1, 1, 6, 6), (1, 1, 3, 3), 1),
    ((4, 4, 32, 32), (4, 4, 3, 3), 1),
    ((2, 16, 1, 1), (16, 16, 3, 3), 1),
    ((2, 4, 9), (6, 4, 3), 1),
    ((1, 2, 4, 5, 6), (3, 2, 2, 3, 3), 1),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(("x_shape", "w_shape", "groups"), SHAPES, ids=str)
def test_padding_times_an_infinite_weight_is_nan_in_every_method(x_shape, w_shape, groups, value, dtype):
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=s).astype(dtype) for s in (x_shape, w_shape, w_shape[:1]))
    w[(0, -1) + (0,) * (w.ndim - 2)] = value
    n = x.ndim - 2
    for stride, padding, dilation in ((1, 1, 1), (2, 1, 1), (1, 2, 2), (1, 2, 1)):
        if any(
            s + 2 * padding < dilation * (k - 1) + 1 for s, k in zip(x_shape[2:], w_shape[2:], strict=True)
        ):
            continue
        padded = np.pad(x, [(0, 0)] * 2 + [(padding, padding)] * n)
        wanted = _by_taps(padded, w, stride, dilation, groups)

        def f(a, v, c=None, s=stride, p=padding, d=dilation):
            return ag.conv(a, v, s, p, d, groups, c)

        for run in _runs(f):
            assert (_kinds(run(ag.tensor(x), ag.tensor(w)).numpy()) == _kinds(wanted)).all()
        biased = wanted + b.reshape(-1, *(1,) * n)
        for run in _runs(lambda a, v, c: ag.relu(f(a, v, c))):
            found = run(ag.tensor(x), ag.tensor(w), ag.tensor(b)).numpy()
            assert (_kinds(found) == _kinds(np.maximum(biased, 0))).all()
