"""The pooling kernels against their slow twins, and their doors."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import naive

from autograd_core.kernels import pool

ONE = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}


@st.composite
def settings_drawn(draw):
    ndim = draw(st.integers(1, 3))

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(ndim))

    kernel, stride, dilation = each(1, 4), each(1, 3), each(1, 2)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    spatial = tuple(max(2, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 3))
                    for k, p, d in zip(kernel, padding, dilation, strict=True))  # fmt: skip
    return (draw(st.integers(1, 3)), draw(st.integers(1, 3)), *spatial), kernel, stride, padding, dilation


@settings(max_examples=60, deadline=None)
@given(settings_drawn(), st.sampled_from([np.float32, np.float64]), st.integers(0, 99))
def test_max_pool_index(drawn, dtype, seed):
    shape, kernel, stride, padding, dilation = drawn
    rng = np.random.default_rng(seed)
    # few distinct values: ties, signed zeros, NaN and infinities in most windows
    x = rng.choice(np.array([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf], dtype), shape)
    how = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    np.testing.assert_array_equal(pool.max_pool_index(x, **how), naive.max_pool_index(x, **how))


@settings(max_examples=60, deadline=None)
@given(settings_drawn(), st.sampled_from([np.float32, np.float64]), st.integers(0, 99))
def test_avg_pool(drawn, dtype, seed):
    shape, kernel, stride, padding, _ = drawn
    x = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    how = {"kernel_size": kernel, "stride": stride, "padding": padding}
    tolerance = {"rtol": 0, "atol": 1e-6 if dtype == np.float32 else 1e-14}
    y = pool.avg_pool(x, **how)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, naive.avg_pool(x, **how), **tolerance)
    dx = pool.avg_pool_grad(y, spatial=shape[2:], **how)
    assert dx.dtype == dtype
    np.testing.assert_allclose(dx, naive.avg_pool_grad(y, spatial=shape[2:], **how), **tolerance)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
def test_windows_of_one_value_give_their_first_element(value):
    x = np.full((1, 1, 4, 4), value, np.float32)
    index = pool.max_pool_index(x, kernel_size=(2, 2), **{**ONE, "stride": (2, 2)})
    np.testing.assert_array_equal(index[0, 0], [[0, 2], [8, 10]])
    index = pool.max_pool_index(x, kernel_size=(3, 3), **{**ONE, "stride": (2, 2), "padding": (1, 1)})
    np.testing.assert_array_equal(index[0, 0], [[0, 1], [4, 5]])


def test_first_nan_wins_and_stays():
    x = np.array([1, np.nan, 5, np.nan, np.inf, 2], np.float32).reshape(1, 1, 6)
    how = {"stride": (3,), "padding": (0,), "dilation": (1,)}
    np.testing.assert_array_equal(pool.max_pool_index(x, kernel_size=(6,), **how).ravel(), [1])
    np.testing.assert_array_equal(pool.max_pool_index(x, kernel_size=(3,), **how).ravel(), [1, 3])


def test_nan_and_infinity_pass_through_the_mean():
    x = np.array([1, np.nan, 5, 1, np.inf, 2], np.float64).reshape(1, 1, 6)
    y = pool.avg_pool(x, kernel_size=(2,), stride=(2,), padding=(0,))
    np.testing.assert_array_equal(y.ravel(), [np.nan, 3, np.inf])


def test_any_layout_and_zero_sizes():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 8)).astype(np.float32)
    frozen = x.copy()
    frozen.flags.writeable = False
    how = {"kernel_size": (2, 3), **ONE}
    wanted = pool.max_pool_index(x, **how)
    for other in (np.asfortranarray(x), x[::-1].copy()[::-1], frozen, x.astype(">f4")):
        np.testing.assert_array_equal(pool.max_pool_index(other, **how), wanted)
    for shape in ((0, 3, 6, 8), (2, 0, 6, 8)):
        assert pool.max_pool_index(np.ones(shape), **how).shape == (*shape[:2], 5, 6)
        mean = {"kernel_size": (2, 3), "stride": (1, 1), "padding": (0, 0)}
        assert pool.avg_pool(np.ones(shape), **mean).shape == (*shape[:2], 5, 6)
        assert pool.avg_pool_grad(np.ones((*shape[:2], 5, 6)), spatial=(6, 8), **mean).shape == shape


def test_same_bits_for_any_number_of_threads():
    x = np.random.default_rng(0).standard_normal((8, 8, 20, 20)).astype(np.float32)
    how = {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    before, results = numba.get_num_threads(), []
    try:
        for threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1):
            numba.set_num_threads(threads)
            y = pool.avg_pool(x, **how)
            results.append(y.tobytes() + pool.avg_pool_grad(y, spatial=(20, 20), **how).tobytes())
    finally:
        numba.set_num_threads(before)
    assert len(set(results)) == 1


X = np.ones((1, 1, 5, 5), np.float32)


@pytest.mark.parametrize(
    ("x", "change", "error", "message"),
    [
        (X, {"padding": (2, 1)}, ValueError, r"padding 2 is more than half of kernel_size 3 \(axis 2\)"),
        (
            X,
            {"kernel_size": (6, 3)},
            ValueError,
            "x has size 5 on axis 2, with padding 5, but the window spans 6",
        ),
        (X, {"kernel_size": (3,)}, ValueError, r"kernel_size \(3,\) has 1 entries, expected 2"),
        (X, {"stride": (0, 1)}, ValueError, "stride holds 0"),
        (X, {"dilation": (0, 1)}, ValueError, "dilation holds 0"),
        (X, {"kernel_size": 3}, TypeError, "kernel_size is int"),
        (X[0, 0], {}, ValueError, "x has 2 axes, expected 3, 4 or 5"),
        (X.astype(int), {}, TypeError, "x is int64"),
        (
            X[:, :, :1],
            {"kernel_size": (2, 2), "padding": (1, 0), "dilation": (2, 1)},
            ValueError,
            "only padding",
        ),
    ],
)
def test_door(x, change, error, message):
    with pytest.raises(error, match=message):
        pool.max_pool_index(x, **{"kernel_size": (3, 3), **ONE, **change})


def test_avg_pool_grad_door():
    how = {"kernel_size": (2,), "stride": (2,), "padding": (0,)}
    with pytest.raises(ValueError, match=r"g has the spatial shape \(3,\) but spatial \(4,\) gives \(2,\)"):
        pool.avg_pool_grad(np.ones((1, 1, 3)), spatial=(4,), **how)
