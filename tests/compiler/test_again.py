"""Loops compute again what is a subtraction away from an array in memory, instead of storing it for later loops."""

import numpy as np
from compiler.twins import assert_twins

import autograd_core as ag
import nn


def data(count=3, shape=(4, 3, 6, 6)):
    return [(np.random.default_rng(k).standard_normal(shape).astype("f4"),) for k in range(count)]


def program(f, calls):
    for args in calls:
        f(*args)
    return str(f.program()).splitlines()


def test_what_is_left_of_the_mean_is_not_stored():
    model = nn.Sequential(nn.Conv(3, 8, 3, padding=1, bias=False), nn.BatchNorm(8), nn.ReLU())

    @ag.compile
    def step(x):
        model.zero_grad()
        (model(x) ** 2).sum().backward()

    lines = program(step, data())
    statistics = next(line for line in lines if "sum(square(" in line)
    stored = [part for part in statistics.split("; ") if "float32[4, 8, 6, 6] =" in part]
    assert len(stored) == 1
    assert "maximum(" in stored[0]


def test_what_takes_long_to_compute_is_stored():
    f = ag.compile(lambda x: (lambda y: (y @ y.mT).sum() + (y * 2).sum(axis=0))(ag.exp(x)))
    g = ag.compile(lambda x: (lambda y: ag.logsumexp(y, axis=1).sum() * (y * y).sum(axis=0))(ag.exp(x)))
    for each in (f, g):
        lines = program(each, data(3, (40, 40)))
        assert sum(line.count("exp(%0)") for line in lines) == 1


def build_norm():
    model = nn.Sequential(
        nn.Conv(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm(8),
        nn.ReLU(),
        nn.Conv(8, 4, 1),
        nn.LayerNorm((4, 6, 6)),
    )
    optimizer = nn.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def f(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return f, [model, optimizer]


def test_a_step_is_the_same_with_it():
    assert_twins(build_norm, data(4), rtol=1e-3)


def test_a_parameter_that_changes_meanwhile_is_read_as_it_was():
    """The value that is computed again comes from a parameter that the step assigns."""

    def build():
        p = ag.Parameter(np.arange(12, dtype="f4").reshape(3, 4))

        def f(x):
            shifted = p - x
            total = ag.logsumexp(shifted @ ag.ones((4, 3)), axis=0)
            p.assign(p * 0.5)
            return total, (shifted * 2 + total.sum()).sum(axis=0), shifted.sum(axis=1)

        return f, [p]

    assert_twins(build, data(3, (3, 4)))


def test_results_that_are_returned_are_stored():
    def build():
        def f(x):
            centred = x * 1.5 - 2
            return centred, (centred @ centred.mT).sum(), ag.exp(centred).sum(axis=0)

        return f, []

    assert_twins(build, data(3, (5, 5)))
