"""Values that leave a program are computed in their place, and copied nowhere."""

import numpy as np
import pytest
from compiler.twins import assert_twins

import autograd_core as ag
import nn

X = np.arange(12, dtype="f4").reshape(3, 4) / 7


def build():
    """A step whose gradients are read by the optimizer, and leave."""
    w, b = nn.Parameter(np.ones((4, 5), "f4")), nn.Parameter(np.ones(5, "f4"))
    optimizer = nn.SGD([w, b], 0.1, momentum=0.9)

    def step(x):
        optimizer.zero_grad()
        loss = ((x @ w + b) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return step, [w, b, optimizer]


def test_gradients_of_products_and_sums():
    assert_twins(build, [(X + k,) for k in range(4)])
    step = ag.compile(build()[0])
    step(X)
    assert "float32[4, 5] = %" not in str(step.program())  # stored as it is loaded


@pytest.mark.parametrize("parted", [True, False])
def test_gradients_that_somebody_keeps_stay_what_they_were(parted):
    function, (w, b, _) = build()
    step, kept = ag.compile(function), []
    for k in range(4):
        if parted:
            w.grad = b.grad = None
        step(X + k)
        kept.append((w.grad, b.grad, w.grad.numpy().copy(), b.grad.numpy().copy()))
    for dw, db, dw_then, db_then in kept:
        np.testing.assert_array_equal(dw.numpy(), dw_then)
        np.testing.assert_array_equal(db.numpy(), db_then)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (y := x @ x.T, y + 1, y.T, y[0], y),  # one value twice, and parts of it
        lambda x: (y := ag.exp(x), y.reshape((4, 3)), y.sum(axis=0), y.sum()),
        lambda x: (x, x + 0, x.T, ag.exp(x)[1:]),  # arguments are not given away
        lambda x: (y := x.sum(axis=0), y * y, ag.concat([y, y + 1])),
        lambda x: (y := ag.exp(x), ag.conv(y[None], np.ones((2, 3, 3), "f4"))),  # read by kernels
    ],
)
def test_results_that_are_read_too(function):
    f = ag.compile(function)
    want = None
    for x in (X, 2 * X, 3 * X):
        before, want = want, [each.numpy() for each in function(ag.tensor(x))]
        copied = [each.copy() for each in before or ()]
        got = f(ag.tensor(x))
        for one, two in zip(got, want, strict=True):
            np.testing.assert_allclose(one.numpy(), two, rtol=1e-6)
        for one, two in zip(before or (), copied, strict=True):
            np.testing.assert_array_equal(one, two)


def test_results_of_two_calls_are_two():
    f = ag.compile(lambda x: (x @ x.T, ag.exp(x)))
    f(X)
    first = f(X)
    then = [each.numpy().copy() for each in first]
    f(X + 1)
    for one, two in zip(first, then, strict=True):
        np.testing.assert_array_equal(one.numpy(), two)
