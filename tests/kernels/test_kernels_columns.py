"""What convolution with lanes along columns does besides; test_kernels_conv compares all methods with the slow twin."""

from __future__ import annotations

import numpy as np
import pytest
from kernels import naive

from autograd_core.kernels import conv_columns_calls as columns
from autograd_core.kernels.conv_call import Ending
from autograd_core.kernels.conv_geometry import geometry


@pytest.mark.parametrize("rectified", [False, True])
def test_bias_and_relu_keep_nan(rectified):
    geo = geometry((2, 3, 9, 17), (6, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1)
    rng = np.random.default_rng(0)
    x, w, bias = (rng.standard_normal(s).astype(np.float32) for s in (geo.x_shape, geo.w_shape, 6))
    x[0, 0, 4, 5] = np.nan
    y = np.empty(geo.y_shape, np.float32)
    columns.convolve(x.ravel(), w.ravel(), y.reshape(-1), geo, False, Ending(bias, rectified))
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    wanted = naive.conv_forward(x, w, **how) + bias[:, None, None]
    if rectified:
        wanted = np.maximum(wanted, 0)
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)
    assert np.count_nonzero(np.isnan(y)) == 6 * 9


def test_few_channels_are_taken_and_huge_windows_are_not():
    def suits(x, w, stride=1, dilation=1, of_input=False, dtype="float32"):
        pad = (dilation,) * 2
        geo = geometry(x, w, (stride,) * 2, pad, (dilation,) * 2, 1)
        return columns.suits(geo, of_input, np.dtype(dtype))

    assert suits((32, 3, 32, 32), (16, 3, 3, 3))
    assert not suits((32, 64, 32, 32), (64, 64, 3, 3))  # Winograd's
    assert not suits((32, 3, 32, 32), (16, 3, 3, 3), stride=3)
    assert not suits((1, 3, 4096, 4096), (16, 3, 3, 3), dilation=2000)
