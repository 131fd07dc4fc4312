"""The channels' kernels against their slow twins, and their doors."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import naive

from autograd_core.kernels import channel

FLOATS = [np.float32, np.float64]


@st.composite
def shapes(draw):
    """(outer, channels, *inner): along rows and along columns, blocks that are full and that are not."""
    kind = draw(st.sampled_from(["any", "long rows", "columns", "one row each"]))
    if kind == "long rows":
        return draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(4000, 9000))
    if kind == "columns":
        return (
            draw(st.integers(8, 700)),
            draw(st.integers(1, 9)),
            *draw(st.sampled_from([(), (1,), (3,), (2, 2)])),
        )
    if kind == "one row each":
        return 1, draw(st.integers(1, 40)), draw(st.integers(1, 300))
    return (
        draw(st.integers(1, 20)),
        draw(st.integers(1, 5)),
        draw(st.integers(1, 7)),
        draw(st.integers(1, 50)),
    )


def every_result(x, seed=0):
    rng = np.random.default_rng(seed)
    g = rng.standard_normal(x.shape).astype(x.dtype)
    numbers = [rng.standard_normal(x.shape[1]).astype(x.dtype) for _ in range(4)]
    calls = {
        "sums": (x,), "moments": (x,), "channel_sums": (g, x, numbers[0]), "scale_shift": (x, *numbers[:3]),
        "blend": (g, x, *numbers),
    }  # fmt: skip
    twins = {"blend": naive.channel_blend}
    for name, arguments in calls.items():
        yield getattr(channel, name)(*arguments), twins.get(name, getattr(naive, name, None)), arguments


@settings(max_examples=80, deadline=None)
@given(shapes(), st.sampled_from(FLOATS), st.integers(0, 99))
def test_against_naive(shape, dtype, seed):
    x = (np.random.default_rng(seed).standard_normal(shape) + 2).astype(dtype)
    for got, twin, arguments in every_result(x, seed):
        want = twin(*arguments)
        assert got.dtype == dtype
        assert got.shape == want.shape
        scale = np.abs(want).max() + (x.size / shape[1]) ** 0.5  # sums of terms that cancel
        np.testing.assert_allclose(got, want, rtol=0, atol=scale * (2e-6 if dtype == np.float32 else 1e-14))


@pytest.mark.parametrize("shape", [(64, 3, 28, 28), (4, 3, 70_000), (5000, 3), (600, 2, 3)])
@pytest.mark.parametrize("far", [0.0, 1e3, -1e5])
def test_variance_far_from_zero(shape, far):
    """(x² summed) − n·mean² would lose all digits of the variance."""
    x = (np.random.default_rng(0).standard_normal(shape) + far).astype(np.float32)
    mean, var = channel.moments(x)
    exact = naive.moments(x.astype(np.float64))
    np.testing.assert_allclose(mean, exact[0], rtol=2e-7, atol=1e-7)
    np.testing.assert_allclose(var, exact[1], rtol=2e-6)


@pytest.mark.parametrize("place", [0, 1, 40, -1])
@pytest.mark.parametrize("shape", [(2, 1, 5000), (700, 1)])
def test_variance_of_one_spike(place, shape):
    """Also where the values that the block is measured from are the odd ones."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x[(0, 0, place) if len(shape) == 3 else (place, 0)] = 1e6
    np.testing.assert_allclose(channel.moments(x), naive.moments(x), rtol=2e-5)


def test_constant_channels_have_no_variance():
    for shape in ((9, 2, 300), (900, 2), (1, 2, 70)):
        np.testing.assert_array_equal(channel.moments(np.full(shape, 0.1, np.float32))[1], [0, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(2, 3, 300), (300, 3)])
def test_nan_and_infinity_stay_in_their_channel(value, shape):
    x = np.ones(shape, np.float32)
    x[1, 1] = value
    mean, var = channel.moments(x)
    assert not np.isfinite(mean[1])
    assert np.isnan(var[1])
    np.testing.assert_array_equal(mean[[0, 2]], 1)
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    np.testing.assert_array_equal(channel.sums(x)[1], np.float32(value))
    np.testing.assert_array_equal(channel.channel_sums(x, x, zero)[:, 0], x[:, 0].size)
    np.testing.assert_array_equal(channel.scale_shift(x, zero, one, zero), x)
    np.testing.assert_array_equal(channel.blend(x, x, zero, one, zero, zero)[:, 0], 1)


@pytest.mark.parametrize("shape", [(3, 5, 70), (40, 5, 3), (40, 5)])
def test_any_layout(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    frozen = x.copy()
    frozen.flags.writeable = False
    wanted = [got for got, _, _ in every_result(x)]
    for other in (np.asfortranarray(x), x[::-1].copy()[::-1], frozen, x.astype(">f4")):
        for (got, _, _), want in zip(every_result(other), wanted, strict=True):
            np.testing.assert_array_equal(got, want)


def test_zero_sizes():
    for shape in ((0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 3)):
        for got, twin, arguments in every_result(np.ones(shape, np.float32)):
            assert got.dtype == np.float32
            assert got.shape == twin(*arguments).shape


@pytest.mark.parametrize("shape", [(16, 8, 20, 20), (3000, 40), (1, 300, 200), (700, 30, 3)])
def test_same_bits_for_any_number_of_threads(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    before, results = numba.get_num_threads(), []
    try:
        for threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1):
            numba.set_num_threads(threads)
            results.append(b"".join(got.tobytes() for got, _, _ in every_result(x)))
    finally:
        numba.set_num_threads(before)
    assert len(set(results)) == 1


X, C = np.ones((2, 3, 4), np.float32), np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: channel.moments(C), ValueError, "x has 1 axes, expected 2 or more"),
        (lambda: channel.sums(X.astype(int)), TypeError, "x is int64"),
        (lambda: channel.channel_sums(X[:1], X, C), ValueError, "g has the shape .* but x has"),
        (
            lambda: channel.channel_sums(X, X, C[:2]),
            ValueError,
            r"centre has the shape \(2,\), expected \(3,\)",
        ),
        (lambda: channel.scale_shift(X, C, C[:1], C), ValueError, "scale has the shape"),
        (
            lambda: channel.scale_shift(X, C, C, C.astype(float)),
            TypeError,
            "x is float32 but shift is float64",
        ),
        (lambda: channel.blend(X, X, C, C[:2], C, C), ValueError, "a has the shape"),
        (lambda: channel.blend(X[:, :, :1], X, C, C, C, C), ValueError, "g has the shape"),
    ],
)
def test_door(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_that_several_tasks_merge(dtype):
    """(outer, channels, inner) of more channels, and of more blocks, than one task takes."""
    for shape in [(1, 90_000, 70), (2, 70_000, 3), (40, 3, 20_000)]:
        x = np.random.default_rng(0).standard_normal(shape).astype(dtype) + 3
        exact = x.astype(np.float64)
        tolerance = 2e-6 if dtype == np.float32 else 1e-13
        mean, variance = channel.moments(x)
        np.testing.assert_allclose(mean, exact.mean(axis=(0, 2)), rtol=tolerance)
        np.testing.assert_allclose(variance, exact.var(axis=(0, 2)), rtol=10 * tolerance)
        np.testing.assert_allclose(channel.sums(x), exact.sum(axis=(0, 2)), rtol=10 * tolerance)
