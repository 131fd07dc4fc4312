"""What the methods of convolution promise beyond agreeing with the slow twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernels import naive

from autograd_core.kernels import conv, conv_methods, conv_product
from autograd_core.kernels.conv_geometry import geometry
from autograd_core.kernels.products import blas
from autograd_core.kernels.recorded import forget

PLAIN = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}


def family(x, w, g):
    """Forward, input-gradient and weight-gradient."""
    return (
        conv.conv_forward(x, w, **PLAIN),
        conv.conv_input_grad(g, w, spatial=x.shape[2:], **PLAIN),
        conv.conv_weight_grad(g, x, kernel=w.shape[2:], **PLAIN),
    )


@pytest.mark.parametrize("channels", [16, 64, 128])
def test_winograds_error_stays_within_ten_times_that_of_the_direct_sum(channels, monkeypatch):
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((2, channels, 16, 16)), 0)
    w = rng.standard_normal((channels, channels, 3, 3)) * np.sqrt(2 / (9 * channels))
    g = rng.standard_normal((2, channels, 16, 16))
    x, w, g = (a.astype(np.float32) for a in (x, w, g))
    exact = family(*(a.astype(np.float64) for a in (x, w, g)))
    fast = family(x, w, g)
    monkeypatch.setattr(conv_methods, "fits", lambda geo, dtype: False)
    forget()
    direct = family(x, w, g)
    for true, one, two in zip(exact, fast, direct, strict=True):
        assert not np.array_equal(one, two)  # Winograd's method was taken
        assert np.abs(one - true).max() <= 10 * np.abs(two - true).max()
        assert np.square(one - true).mean() <= 25 * np.square(two - true).mean()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_reaches_its_nine_outputs_and_no_others(bad):
    x, w = np.ones((1, 8, 12, 12), np.float32), np.ones((8, 8, 3, 3), np.float32)
    x[0, 3, 5, 6] = bad
    y = conv.conv_forward(x, w, **PLAIN)
    np.testing.assert_array_equal(y, naive.conv_forward(x, w, **PLAIN))
    assert np.count_nonzero(~np.isfinite(y)) == 8 * 9


def test_numbers_too_large_for_the_transform_alone_are_summed_directly():
    x, w = np.zeros((1, 8, 8, 8), np.float32), np.zeros((8, 8, 3, 3), np.float32)
    x[:, 0] = 2e38
    w[:, 0, 1, 1] = 1
    np.testing.assert_array_equal(conv.conv_forward(x, w, **PLAIN), np.broadcast_to(x[:, :1], x.shape))


@pytest.mark.parametrize("of_input", [False, True])
@pytest.mark.parametrize(
    ("x", "w", "stride", "padding", "groups"),
    [
        ((2, 8, 9, 7), (8, 8, 3, 3), 1, 1, 1), ((3, 8, 13, 18), (20, 8, 3, 3), 1, 2, 1),
        ((2, 6, 9, 7), (9, 6, 3, 3), 2, 1, 1),
        ((2, 6, 30, 41), (6, 1, 3, 3), 1, 1, 6), ((2, 6, 9, 23), (6, 1, 3, 3), 2, 1, 6),
        ((2, 2, 5, 9), (3, 2, 2, 3), 1, 0, 1),
        ((1, 4, 1, 37), (4, 1, 1, 5), 1, 2, 4),
    ],
)  # fmt: skip
def test_nothing_is_written_outside_the_result_nor_read_into_it_from_outside(
    x, w, stride, padding, groups, of_input
):
    """Vector stores are not checked, so the result stands between marks, and the source between NaNs."""
    geo = geometry(x, w, (stride, stride), (padding, padding), (1, 1), groups)
    rng = np.random.default_rng(0)

    def between(shape, around):
        size = math.prod(shape)
        whole = np.full(size + 512, around, np.float32)
        return whole, whole[256 : 256 + size]

    _, source = between(geo.y_shape if of_input else geo.x_shape, np.nan)
    source[:] = rng.standard_normal(source.size)
    weights = rng.standard_normal(math.prod(w)).astype(np.float32)
    whole, out = between(geo.x_shape if of_input else geo.y_shape, 7)
    conv_methods.convolve(source, weights, out, geo, of_input)
    np.testing.assert_array_equal(whole[:256], 7)
    np.testing.assert_array_equal(whole[-256:], 7)
    how = {"stride": (stride,) * 2, "padding": (padding,) * 2, "dilation": (1, 1), "groups": groups}
    if of_input:
        wanted = naive.conv_input_grad(source.reshape(geo.y_shape), weights.reshape(w), spatial=x[2:], **how)
    else:
        wanted = naive.conv_forward(source.reshape(x), weights.reshape(w), **how)
    np.testing.assert_allclose(out, wanted.ravel(), rtol=0, atol=2e-5 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [1, 3, 9])
@pytest.mark.parametrize("space", [(5,), (40, 40), (3, 4, 5)])
@pytest.mark.parametrize(("inputs", "outputs"), [(17, 33), (33, 17)])
def test_a_1x1_convolution_is_a_product(inputs, outputs, batch, space, dtype, monkeypatch):
    """By BLAS, cut where there are few images; without a BLAS that can be called, on the register tile."""
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal((batch, c, *space)).astype(dtype) for c in (inputs, outputs))
    w = rng.standard_normal((outputs, inputs, *[1] * len(space))).astype(dtype)
    axes = len(space)
    how = {"stride": (1,) * axes, "padding": (0,) * axes, "dilation": (1,) * axes, "groups": 1}
    taken, run = [], conv_product.convolve
    monkeypatch.setattr(conv_product, "convolve", lambda *a, **k: taken.append(k["tasks"]) or run(*a, **k))
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    for library in (conv_methods.blas, lambda: None):
        monkeypatch.setattr(conv_methods, "blas", library)
        forget()
        y, dx = conv.conv_forward(x, w, **how), conv.conv_input_grad(g, w, spatial=space, **how)
        np.testing.assert_allclose(y, naive.conv_forward(x, w, **how), rtol=tolerance, atol=tolerance)
        dw = conv.conv_weight_grad(g, x, kernel=w.shape[2:], **how)
        slack = 50 * tolerance  # sums of up to 14,400 products
        np.testing.assert_allclose(
            dw, naive.conv_weight_grad(g, x, kernel=w.shape[2:], **how), rtol=slack, atol=slack
        )
        wanted = naive.conv_input_grad(g, w, spatial=space, **how)
        np.testing.assert_allclose(dx, wanted, rtol=tolerance, atol=tolerance)
    if blas() is not None:
        images = {1: 6, 3: 9, 9: 9}[batch] if space == (40, 40) else batch  # 1,600 positions make six of 256
        assert taken == [images, images]
