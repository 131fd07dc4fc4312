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
SQUARES = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1)}
THREES = {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1), "dilation": (1, 1)}
FLOATS = [np.float32, np.float64]


@st.composite
def windows(draw):
    """A shape and settings; rows short and long, for each number of elements in a register."""
    ndim = draw(st.integers(1, 3))

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(ndim))

    kernel, stride, dilation = each(1, 4), each(1, 3), each(1, 2)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    more = (*(draw(st.integers(0, 3)) for _ in range(ndim - 1)), draw(st.sampled_from([0, 1, 2, 9, 20, 37])))
    spatial = tuple(max(2, d * (k - 1) + 1 - 2 * p) + m
                    for k, p, d, m in zip(kernel, padding, dilation, more, strict=True))  # fmt: skip
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), *spatial)
    return shape, {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}


@st.composite
def squares(draw):
    """Windows of 2 × 2 side by side, over rows and columns that they do not always fill."""
    return (2, draw(st.integers(1, 2)), draw(st.integers(2, 7)), draw(st.integers(2, 45))), SQUARES


@st.composite
def threes(draw):
    """Windows of 3 × 3 two apart, over rows of even length, with an odd and an even number of them."""
    return (2, draw(st.integers(1, 2)), draw(st.integers(1, 7)), 2 * draw(st.integers(1, 22))), THREES


@st.composite
def stacks(draw):
    """The same in planes of a third dimension."""
    shape, how = draw(st.one_of(squares(), threes()))
    first = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    depth = draw(st.integers(1, 3))
    return (*shape[:2], depth, *shape[2:]), {name: (first[name], *values) for name, values in how.items()}


def mixed(rng, shape, dtype):
    """Few distinct values: ties, signed zeros, NaN and infinities in most windows."""
    return rng.choice(np.array([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf], dtype), shape)


@settings(max_examples=100, deadline=None)
@given(st.one_of(windows(), squares(), threes(), stacks()), st.sampled_from(FLOATS), st.integers(0, 99))
def test_max_pool(drawn, dtype, seed):
    shape, how = drawn
    rng = np.random.default_rng(seed)
    x = mixed(rng, shape, dtype)
    y = pool.max_pool(x, **how)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, naive.max_pool(x, **how))
    h, g = (rng.integers(-9, 9, a.shape).astype(dtype) for a in (x, y))  # small integers add exactly
    np.testing.assert_array_equal(pool.max_pool_take(h, x, **how), naive.max_pool_take(h, x, **how))
    put = naive.max_pool_put(g, x, **how)
    np.testing.assert_array_equal(pool.max_pool_put(g, x, **how), put)
    again, winners = pool.max_pool_winners(x, **how)
    np.testing.assert_array_equal(again, y)
    # With the winners x itself is not looked at.
    np.testing.assert_array_equal(pool.max_pool_put(g, x if winners is None else -x, winners, **how), put)


@settings(max_examples=100, deadline=None)
@given(st.one_of(windows(), squares(), threes(), stacks()), st.sampled_from(FLOATS), st.integers(0, 99))
def test_avg_pool(drawn, dtype, seed):
    shape, how = drawn
    how = {name: how[name] for name in ("kernel_size", "stride", "padding")}
    x = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    tolerance = {"rtol": 0, "atol": 1e-6 if dtype == np.float32 else 1e-14}
    y = pool.avg_pool(x, **how)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, naive.avg_pool(x, **how), **tolerance)
    dx = pool.avg_pool_grad(y, spatial=shape[2:], **how)
    assert dx.dtype == dtype
    np.testing.assert_allclose(dx, naive.avg_pool_grad(y, spatial=shape[2:], **how), **tolerance)


def places(x, **how):
    """The flat position in its plane of each window's largest element."""
    numbers = np.broadcast_to(np.arange(float(x[0, 0].size), dtype=x.dtype).reshape(x.shape[2:]), x.shape)
    return pool.max_pool_take(numbers, x, **how)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
@pytest.mark.parametrize("width", [4, 40])
def test_windows_of_one_value_give_their_first_element(value, width):
    x = np.full((1, 1, 4, width), value, np.float32)
    side_by_side = np.arange(0, width, 2)
    np.testing.assert_array_equal(places(x, **SQUARES)[0, 0], [side_by_side, side_by_side + 2 * width])
    put = pool.max_pool_put(np.ones((1, 1, 2, width // 2), np.float32), x, **SQUARES)[0, 0]
    assert put[::2, ::2].all()
    assert put.sum() == width
    found = places(x, kernel_size=(3, 3), **{**ONE, "stride": (2, 2), "padding": (1, 1)})
    first = np.maximum(side_by_side - 1, 0)
    np.testing.assert_array_equal(found[0, 0], [first, first + width])
    ones = np.ones((1, 1, 2, width // 2), np.float32)
    np.testing.assert_array_equal(pool.max_pool_put(ones, x, **THREES), naive.max_pool_put(ones, x, **THREES))


def test_first_nan_wins_and_stays():
    x = np.array([1, np.nan, 5, np.nan, np.inf, 2], np.float32).reshape(1, 1, 6)
    how = {"stride": (3,), "padding": (0,), "dilation": (1,)}
    np.testing.assert_array_equal(places(x, kernel_size=(6,), **how).ravel(), [1])
    np.testing.assert_array_equal(places(x, kernel_size=(3,), **how).ravel(), [1, 3])
    np.testing.assert_array_equal(pool.max_pool(x, kernel_size=(3,), **how).ravel(), [np.nan, np.nan])


def test_nan_and_infinity_pass_through_the_mean():
    x = np.array([1, np.nan, 5, 1, np.inf, 2], np.float64).reshape(1, 1, 6)
    y = pool.avg_pool(x, kernel_size=(2,), stride=(2,), padding=(0,))
    np.testing.assert_array_equal(y.ravel(), [np.nan, 3, np.inf])
    dx = pool.avg_pool_grad(y, spatial=(6,), kernel_size=(2,), stride=(2,), padding=(0,))
    np.testing.assert_array_equal(dx.ravel(), [np.nan, np.nan, 1.5, 1.5, np.inf, np.inf])


def every_result(x, kernel_size, **how):
    """What all functions give for x, and for cotangents made of it."""
    mean = {"kernel_size": kernel_size, "stride": how["stride"], "padding": how["padding"]}
    how = {"kernel_size": kernel_size, **how}
    y = pool.max_pool(x, **how)
    return [y, pool.max_pool_put(y, x, **how), pool.max_pool_take(x, x, **how), pool.avg_pool(x, **mean),
            pool.avg_pool_grad(y, spatial=x.shape[2:], **mean)]  # fmt: skip


@pytest.mark.parametrize("how", [SQUARES, THREES, {"kernel_size": (2, 3), **ONE}])
def test_any_layout_and_zero_sizes(how):
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 18)).astype(np.float32)
    frozen = x.copy()
    frozen.flags.writeable = False
    wanted = every_result(x, **how)
    for other in (np.asfortranarray(x), x[::-1].copy()[::-1], frozen, x.astype(">f4")):
        for got, want in zip(every_result(other, **how), wanted, strict=True):
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, want)
    for shape in ((0, 3, 6, 18), (2, 0, 6, 18)):
        for got, want in zip(every_result(np.ones(shape), **how), wanted, strict=True):
            assert got.shape == (*shape[:2], *want.shape[2:])


@pytest.mark.parametrize("how", [SQUARES, THREES])
def test_same_bits_for_any_number_of_threads(how):
    x = np.random.default_rng(0).standard_normal((16, 8, 20, 20)).astype(np.float32)
    before, results = numba.get_num_threads(), []
    try:
        for threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1):
            numba.set_num_threads(threads)
            results.append(b"".join(array.tobytes() for array in every_result(x, **how)))
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
        ([[[1.0]]], {}, TypeError, "x is list"),
        (
            X[:, :, :1],
            {"kernel_size": (2, 2), "padding": (1, 0), "dilation": (2, 1)},
            ValueError,
            "only padding",
        ),
        (
            np.broadcast_to(X[:, :, :1, :1], (1, 1, 5000, 5000)),
            {"kernel_size": (5000, 5000)},
            ValueError,
            r"more than 2\*\*24 elements",
        ),
    ],
)
def test_door(x, change, error, message):
    with pytest.raises(error, match=message):
        pool.max_pool(x, **{"kernel_size": (3, 3), **ONE, **change})


def test_cotangents_doors():
    how = {"kernel_size": (2,), "stride": (2,), "padding": (0,)}
    with pytest.raises(ValueError, match=r"g has the spatial shape \(3,\) but spatial \(4,\) gives \(2,\)"):
        pool.avg_pool_grad(np.ones((1, 1, 3)), spatial=(4,), **how)
    how["dilation"] = (1,)
    with pytest.raises(ValueError, match=r"g has the shape \(1, 1, 3\), expected \(1, 1, 2\)"):
        pool.max_pool_put(np.ones((1, 1, 3)), np.ones((1, 1, 4)), **how)
    with pytest.raises(ValueError, match=r"h has the shape \(1, 1, 3\), expected \(1, 1, 4\)"):
        pool.max_pool_take(np.ones((1, 1, 3)), np.ones((1, 1, 4)), **how)
    with pytest.raises(TypeError, match="x is float64 but g is float32"):
        pool.max_pool_put(np.ones((1, 1, 2), np.float32), np.ones((1, 1, 4)), **how)
