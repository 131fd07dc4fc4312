"""The same bits on any number of threads: kernels, matrix products, a whole training run."""

import numpy as np
import pytest

import autograd_core as ag
import nn
from autograd_core.kernels import conv


@pytest.fixture(autouse=True)
def keep_the_number_of_threads():
    before = ag.get_num_threads()
    yield
    ag.set_num_threads(before)


def on(threads, function):
    ag.set_num_threads(threads)
    return function()


def several():
    if ag.get_num_threads() < 2:
        pytest.skip("this machine has one core")
    return ag.get_num_threads()


def numbers(*shape, key=0, dtype=np.float32):
    return np.random.default_rng(key).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize(
    ("x", "w", "stride", "groups"),
    [
        ((8, 16, 24, 24), (16, 16, 3, 3), 1, 1),  # Winograd's
        ((8, 16, 24, 24), (16, 16, 3, 3), 2, 1),  # register tiles
        ((8, 16, 24, 24), (16, 1, 3, 3), 1, 16),  # stencils
        ((2, 32, 40, 40), (48, 32, 1, 1), 1, 1),  # products by BLAS
        ((3, 3, 40, 48), (16, 3, 5, 5), 2, 1),  # lanes along columns
    ],
)
def test_convolutions(x, w, stride, groups):
    how = {"stride": (stride,) * 2, "padding": (w[2] // 2,) * 2, "dilation": (1, 1), "groups": groups}
    x, w = numbers(*x), numbers(*w, key=1)

    def family():
        y = conv.conv_forward(x, w, **how)
        dx = conv.conv_input_grad(y, w, spatial=x.shape[2:], **how)
        return y, dx, conv.conv_weight_grad(y, x, kernel=w.shape[2:], **how)

    for one, other in zip(on(several(), family), on(1, family), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((300, 600), (600, 402)), ((1, 2000), (2000, 1500)), ((900, 1000), (1000, 1)), ((515, 333), (333, 517)),
        ((9, 130, 70), (9, 70, 150)), ((2, 500, 400), (400, 300)), ((64, 64, 32), (64, 32, 64)),
        ((128, 784), (784, 256)), ((784, 128), (128, 256)),
    ],
)  # fmt: skip
def test_matrix_products(x, y, dtype):
    x, y = numbers(*x, dtype=dtype), numbers(*y, key=1, dtype=dtype)
    one, other = on(several(), lambda: ag.matmul(x, y)), on(1, lambda: ag.matmul(x, y))
    np.testing.assert_array_equal(one.numpy(), other.numpy())
    np.testing.assert_allclose(
        one.numpy(), np.matmul(x, y), rtol=0, atol=1e-4 if dtype == np.float32 else 1e-10
    )


def test_a_training_run():
    def train():
        ag.random.seed(0)
        model = nn.Sequential(
            nn.Conv(3, 16, 3, padding=1), nn.BatchNorm(16), nn.ReLU(), nn.MaxPool(2), nn.Conv(16, 16, 3, padding=1),
            nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Dense(16 * 64, 10),
        )  # fmt: skip
        optimizer = nn.SGD(model.parameters(), lr=0.05, momentum=0.9)
        x, labels = ag.tensor(numbers(16, 3, 16, 16)), np.arange(16) % 10
        for _ in range(3):
            loss = nn.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return [p.numpy() for p in model.parameters()]

    for one, other in zip(on(several(), train), on(1, train), strict=True):
        np.testing.assert_array_equal(one, other)
