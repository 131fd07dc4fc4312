"""Gather and scatter-add against their slow twins, and their doors."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import naive

from autograd_core.kernels import gather

DTYPES = [np.float32, np.float64, np.int64]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 5), st.integers(1, 9), st.integers(0, 20), st.sampled_from(DTYPES), st.integers(0, 99))
def test_against_naive(rows, size, count, dtype, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 9, (rows, size)).astype(dtype)  # small integers add exactly in every dtype
    g, slope = (
        rng.integers(-9, 9, (rows, count)).astype(dtype),
        rng.integers(-9, 9, (count, rows)).astype(dtype),
    )
    index, picks = rng.integers(0, size, (rows, count)), rng.integers(0, size, count)
    pairs = [
        (gather.gather(x, index), naive.gather(x, index)),
        (gather.scatter_add(g, index, size), naive.scatter_add(g, index, size)),
        (gather.gather_rows(x.T, picks), naive.gather_rows(x.T, picks)),
        (gather.scatter_add_rows(slope, picks, size), naive.scatter_add_rows(slope, picks, size)),
    ]
    for found, wanted in pairs:
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_no_update_is_lost_and_the_order_is_fixed():
    """Every index the same: the worst case for a scatter that races, and sums that depend on their order."""
    rng = np.random.default_rng(0)
    g = rng.standard_normal((40_000, 40)).astype(np.float32)
    index = np.zeros(40_000, np.int64)
    wanted = np.zeros(40, np.float32)
    for row in g:
        wanted += row
    before = numba.get_num_threads()
    try:
        for threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1):
            numba.set_num_threads(threads)
            np.testing.assert_array_equal(gather.scatter_add_rows(g, index, 2)[0], wanted)
            across = gather.scatter_add(g.T, np.broadcast_to(index, (40, 40_000)), 1)
            np.testing.assert_array_equal(across[:, 0], wanted)
    finally:
        numba.set_num_threads(before)


def test_nan_and_infinity_pass():
    x = np.array([[1, np.nan, np.inf, -np.inf]], np.float32)
    index = np.array([[3, 2, 1, 0]])
    np.testing.assert_array_equal(gather.gather(x, index), x[:, ::-1])
    np.testing.assert_array_equal(gather.scatter_add(x, index, 4), x[:, ::-1])


def test_any_layout():
    x = np.arange(12.0).reshape(3, 4)
    index = np.array([[3, 0], [1, 1], [2, 3]])
    frozen, kept = x.copy(), index.copy()
    frozen.flags.writeable = kept.flags.writeable = False
    wanted = naive.gather(x, index)
    for a in (np.asfortranarray(x), x[::-1].copy()[::-1], frozen, x.astype(">f8")):
        for b in (kept, np.asfortranarray(index), index.astype(np.uint8), index.astype(">i4")):
            np.testing.assert_array_equal(gather.gather(a, b), wanted)


def test_many_columns_of_few_rows():
    x = np.arange(100.0).reshape(1, 100)
    index = np.random.default_rng(0).integers(0, 100, (1, 50_000))
    np.testing.assert_array_equal(gather.gather(x, index)[0], x[0][index[0]])


X, INDEX = np.ones((2, 3), np.float32), np.zeros((2, 4), np.int64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gather.gather(X, INDEX + 3), ValueError, "index2d holds 3, outside 0…2"),
        (lambda: gather.gather(X, INDEX - 1), ValueError, "index2d holds -1"),
        (
            lambda: gather.gather(X, INDEX.astype(float)),
            TypeError,
            "index2d is float64: indices must be integers",
        ),
        (lambda: gather.gather(X, INDEX.astype(bool)), TypeError, "index2d is bool"),
        (
            lambda: gather.gather(X, INDEX.astype(np.uint64) - np.uint64(1)),
            ValueError,
            "index2d holds 1844674407",
        ),
        (lambda: gather.gather(X, INDEX[:1]), ValueError, "x2d has 2 rows .* but index2d has 1"),
        (lambda: gather.gather(X[0], INDEX), ValueError, "x2d has 1 axes, expected 2"),
        (lambda: gather.gather(X.astype(complex), INDEX), TypeError, "x2d is complex128"),
        (lambda: gather.gather(X, [[0], [1]]), TypeError, "index2d is list"),
        (lambda: gather.gather(X[:, :0], INDEX), ValueError, "index2d holds 0, outside"),
        (lambda: gather.scatter_add(X, INDEX, 3), ValueError, "g2d has the shape"),
        (lambda: gather.scatter_add(X, INDEX[:, :3], -1), ValueError, "size holds -1"),
        (lambda: gather.scatter_add(X, INDEX[:, :3] + 5, 5), ValueError, "index2d holds 5"),
        (lambda: gather.gather_rows(X, INDEX), ValueError, "index1d has 2 axes, expected 1"),
        (lambda: gather.gather_rows(X, INDEX[0] + 2), ValueError, "index1d holds 2"),
        (lambda: gather.scatter_add_rows(X, INDEX[0], 2), ValueError, "g has 2 rows .* but index has 4"),
        (lambda: gather.scatter_add_rows(X, INDEX[0, :2], 0), ValueError, "index holds 0"),
    ],
)
def test_door(call, error, message):
    with pytest.raises(error, match=message):
        call()
