"""A convolution of a compiled program takes over the ReLU behind it, where nobody else reads what lies between."""

import numpy as np
import pytest
from compiler.test_failing_replays import CONVOLUTIONS
from compiler.twins import assert_twins

import autograd_core as ag
import nn


def images(count=3):
    return [np.random.default_rng(k).standard_normal((2, 8, 9, 9)).astype("f4") for k in range(count)]


def loops(f):
    """The instructions that are loops over elements and compute a maximum with 0."""
    return [line for line in str(f.program()).splitlines() if "maximum(" in line]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("number", [0.5, np.nan, -np.inf])
def test_a_step_is_the_same_with_it(kind, bias, number):
    make, settings = CONVOLUTIONS[kind]
    given = images(4)
    for k in (1, 2):
        given[k][0, 3, 0, 4] = number

    def build():
        layer, norm = make(8, 8, bias=bias, **settings), nn.BatchNorm(8)

        def f(x):
            layer.zero_grad()
            y = nn.ReLU()(layer(norm(x)))
            y.sum().backward()
            return y, ag.isnan(y)

        return f, [layer, norm]

    with np.errstate(invalid="ignore"):
        assert_twins(build, [(x,) for x in given], rtol=1e-3)


def test_the_relu_has_no_loop_of_its_own():
    layer = nn.Sequential(nn.Conv(8, 8, 3, padding=1), nn.ReLU())
    f = ag.compile(layer)
    for x in images():
        f(x)
    assert not loops(f)
    line = next(line for line in str(f.program()).splitlines() if "convolve" in line)
    assert "conv_bias · relu: convolve" in line
    assert "Sequential.layers.0, Sequential.layers.1" in line


@pytest.mark.parametrize(
    "function",
    [
        lambda y: (ag.relu(y), y),  # returned
        lambda y: ag.relu(y) + ag.exp(y),  # read
        lambda y: ag.relu(y[:, :4]),  # in part
        lambda y: ag.maximum(y, 1.0),
        lambda y: ag.maximum(y, ag.abs(y[0, 0, 0, 0])),
    ],
)
def test_it_stays_where_the_convolutions_result_is_wanted_or_it_is_no_relu(function):
    layer = nn.Conv(8, 8, 3, padding=1)
    f = ag.compile(lambda x: function(layer(x)))
    for x in images():
        want, got = function(layer(ag.tensor(x))), f(x)
        for one, other in zip(
            *(each if isinstance(each, tuple) else (each,) for each in (want, got)), strict=True
        ):
            np.testing.assert_allclose(other.numpy(), one.numpy(), rtol=1e-4, atol=1e-4)
    assert "relu: convolve" not in str(f.program())


def test_the_picture_of_a_program_has_the_relu_in_the_convolutions_instruction():
    f = ag.compile(nn.Sequential(nn.Conv(8, 8, 3, padding=1), nn.ReLU()))
    for x in images():
        f(x)
    assert "relu" in ag.draw(f).dot


def test_residual_blocks_and_two_relus_behind_one_convolution():
    def build():
        layer = nn.Conv(8, 8, 3, padding=1)

        def f(x):
            y = layer(x)
            return ag.relu(y) + ag.relu(y) * 2, ag.relu(layer(ag.relu(layer(x))) + x)

        return f, [layer]

    assert_twins(build, [(x,) for x in images()], rtol=1e-3)
