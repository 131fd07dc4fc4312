"""Gradients alone, where the forward pass's result is not wanted: what it saves for the gradient is computed still."""

import numpy as np
import pytest

import autograd_core as ag
import nn

WINDOWS = {
    "2x2": {"kernel_size": 2},
    "3x3": {"kernel_size": 3},
    "3x3 by 2": {"kernel_size": 3, "stride": 2, "padding": 1},
    "2x2 by 1": {"kernel_size": 2, "stride": 1},
    "5x5": {"kernel_size": 5, "stride": 2},
    "dilated": {"kernel_size": 2, "dilation": 2, "stride": 1},
}


def images(seed, channels=2, size=12):
    return np.random.default_rng(seed).normal(size=(2, channels, size, size)).astype(np.float32)


def same_as_eager(function, inputs):
    compiled = ag.compile(function)
    for x in inputs:
        np.testing.assert_allclose(compiled(x).numpy(), function(x).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_max_pool_alone(window, dtype):
    slope = ag.grad(lambda x: (ag.max_pool(x, **WINDOWS[window]) * 3).sum())
    same_as_eager(slope, [ag.tensor(images(seed).astype(dtype)) for seed in range(4)])


def test_a_saliency_map_of_one_class():
    model = nn.Sequential(
        nn.Conv(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool(2), nn.Flatten(), nn.Dense(144, 10)
    )
    same_as_eager(ag.grad(lambda x: model(x)[:, 3].sum()), [ag.tensor(images(seed, 1)) for seed in range(4)])


def test_gradients_through_two_pools_and_a_branch_that_does_not_matter():
    def loss(x):
        y = ag.max_pool(x, 2)
        z = ag.max_pool(y, 2)
        return z.sum() + ag.max_pool(x, 3).sum() * 0 + (y * y).mean()

    same_as_eager(ag.grad(loss), [ag.tensor(images(seed)) for seed in range(4)])


def test_pools_on_one_image_two_windows():
    slope = ag.grad(lambda x: ag.max_pool(x, 2).sum() - ag.max_pool(x, 3).sum())
    same_as_eager(slope, [ag.tensor(images(seed)) for seed in range(4)])


def test_the_value_and_the_gradient_and_the_second_derivative():
    def loss(x):
        return (ag.max_pool(x, 2) ** 3).sum()

    def both(x):
        value, slope = ag.value_and_grad(loss)(x)
        return value + (slope * slope).sum()

    x = [ag.tensor(images(seed, 1, 4)) for seed in range(4)]
    same_as_eager(both, x)
    same_as_eager(lambda a: ag.hvp(loss, (a,), (a * 2,))[0], x)


def test_pooling_of_one_and_of_three_dimensions():
    def slope(shape):
        draws = [ag.tensor(np.random.default_rng(n).normal(size=shape).astype(np.float32)) for n in range(4)]
        same_as_eager(ag.grad(lambda x: ag.max_pool(x, 2).sum()), draws)

    slope((2, 3, 20))
    slope((1, 2, 6, 6, 6))
