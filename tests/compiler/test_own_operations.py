"""A user's own operations inside compiled functions: read where they can be, called where they cannot."""

import numba
import numpy as np
import pytest
from compiler.twins import assert_twins

import autograd_core as ag
from autograd_core.compiler import TracedValueError

X = np.array([1.0, 2.0, 3.0], "f4")


@numba.njit
def jitted(x):
    return x * x


def particular(x):
    assert isinstance(x, np.ndarray)
    return x * x


def branching(x):
    return x * x if (x >= 0).all() else -x * -x


@pytest.mark.parametrize("forward", [jitted, particular, branching])
def test_an_operation_of_ones_own(forward):
    def build():
        square = ag.primitive(forward, name="own").defvjp(lambda g, x: g * 2 * x)
        return lambda x: (square(x + 1) * 3, ag.grad(lambda x: (square(x) ** 2).sum())(x)), []

    assert_twins(build, [(ag.tensor(X * k),) for k in (1, -1, 2)])


@pytest.mark.parametrize("first", [lambda x: x[:1], lambda x: x.astype("float64")])
def test_an_operation_of_ones_own_whose_result_changes_its_kind(first):
    own = ag.primitive(lambda x: first(x) if (x > 1).all() else x, name="own")
    total = ag.Buffer(0.0)

    @ag.compile
    def f(x):
        total.assign(total + 1)
        return own(x * 1) + total

    for _ in range(2):
        f(X)
    with pytest.raises(TracedValueError, match="own returned"):
        f(X + 1)
    assert total.item() == 2


def test_an_operation_may_keep_what_it_is_given():
    kept = []

    def keeping(x):
        assert isinstance(x, np.ndarray)
        kept.append(x)
        return np.sort(x)

    own = ag.primitive(keeping)
    f = ag.compile(lambda x: (own(x * 1) + 1).sum() * ag.ones(64).sum())
    for k in range(3):
        f(X + k)
    for k, x in enumerate(kept[-2:], 1):
        np.testing.assert_array_equal(x, X + k)
