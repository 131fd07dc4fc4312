"""Numbers of compiled functions at the edges: long sums, conversions out of range, comparisons of mixed integers."""

import itertools

import numpy as np
import pytest

import autograd_core as ag

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]


def replayed(function, *args):
    compiled = ag.compile(function)
    compiled(*args)
    return compiled(*args)


LONG = {
    "all": ((1 << 22,), None),
    "an odd number": ((1_000_003,), None),
    "rows": ((3, 1 << 20), 1),
    "columns": ((1 << 18, 5), 0),
    "many columns": ((1 << 17, 40), 0),
    "two axes": ((64, 3, 1 << 12), (0, 2)),
    "short ones": ((100, 50), 1),
    "a block and one": ((8193,), None),
}


@pytest.mark.parametrize("case", LONG)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_long_sum_is_as_exact_as_an_eager_one(case, dtype):
    shape, axis = LONG[case]
    most = np.finfo(dtype).eps * (
        20 if dtype == "float32" else 400
    )  # blocks are added one by one, in float64
    for values in (
        np.full(shape, 0.1, dtype),
        np.random.default_rng(0).uniform(0, 2, shape).astype(dtype),
        (np.random.default_rng(1).normal(size=shape) + 100).astype(dtype),
    ):
        x = ag.tensor(values)
        exact = values.sum(axis, dtype=np.longdouble)
        found = replayed(lambda x: x.sum(axis=axis), x).numpy()
        assert np.max(np.abs(found - exact) / exact) < most
        squares = np.square(values.astype(np.longdouble)).mean(axis)
        found = replayed(lambda x: (x * x).mean(axis=axis), x).numpy()
        assert np.max(np.abs(found - squares) / squares) < most


def test_a_long_sum_of_a_sliced_array():
    values = np.full((2000, 3000), 0.1, np.float32)
    found = replayed(lambda x: x[:, ::2].sum(), ag.tensor(values)).item()
    assert found == pytest.approx(300_000, rel=2e-6)


def test_a_long_sum_keeps_nan_and_infinity():
    for value in (np.nan, np.inf, -np.inf):
        x = np.zeros(100_000, np.float32)
        x[77_777] = value
        np.testing.assert_equal(replayed(lambda x: x.sum(), ag.tensor(x)).item(), value)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("to", INTEGERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_out_of_range_become_the_integers_that_numpy_makes_of_them(dtype, to):
    edges = [2.0**n for n in (7, 8, 15, 16, 31, 32, 53, 62, 63, 64)]
    values = [0.5, 1.9, 300, 70_000, 3e9, 1e20, np.inf, *edges, *(e - 1 for e in edges)]
    x = ag.tensor(np.array([0, np.nan, *values, *(-v for v in values)] * 3, dtype))
    eager = (x * 1).astype(to).numpy()
    np.testing.assert_array_equal(replayed(lambda x: (x * 1).astype(to), x).numpy(), eager)


def integers(dtype):
    if dtype == "bool":
        return np.array([False, True] * 4)
    limits = np.iinfo(dtype)
    values = [
        limits.min,
        limits.max,
        0,
        1,
        limits.max // 2,
        limits.max // 2 + 1,
        limits.max - 1,
        limits.min + 1,
    ]
    return np.array(values, dtype)


@pytest.mark.parametrize(
    "name", "less less_equal greater greater_equal equal not_equal maximum minimum add multiply".split()
)
def test_integers_of_two_dtypes_are_compared_as_numbers(name):
    operation = getattr(np, name)
    for a, b in itertools.product(INTEGERS, INTEGERS):
        x, y = ag.tensor(np.repeat(integers(a), 8)), ag.tensor(np.tile(integers(b), 8))
        eager = operation(x, y).numpy()
        found = replayed(lambda x, y: operation(x, y), x, y).numpy()
        assert found.dtype == eager.dtype
        np.testing.assert_array_equal(found, eager, err_msg=f"{a}, {b}")
