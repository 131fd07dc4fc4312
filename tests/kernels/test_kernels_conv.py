"""The convolution kernels against their slow twins, and their doors."""

from __future__ import annotations

import itertools
import threading

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import naive

from autograd_core.kernels import conv

TOLERANCE = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-12}
PLAIN = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def agree(found, wanted):
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE[wanted.dtype] * scale)


def check_family(x_shape, w_shape, dtype, **how):
    x, w = numbers(x_shape, dtype), numbers(w_shape, dtype, 1)
    y = conv.conv_forward(x, w, **how)
    agree(y, naive.conv_forward(x, w, **how))
    g = numbers(y.shape, dtype, 2)
    spatial, kernel = x_shape[2:], w_shape[2:]
    agree(
        conv.conv_input_grad(g, w, spatial=spatial, **how),
        naive.conv_input_grad(g, w, spatial=spatial, **how),
    )
    agree(
        conv.conv_weight_grad(g, x, kernel=kernel, **how), naive.conv_weight_grad(g, x, kernel=kernel, **how)
    )


SHAPES = [  # x, w, stride, padding, dilation, groups
    ((2, 3, 8, 8), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((9, 5, 7, 6), (17, 5, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # more than a tile's row of channels
    ((2, 33, 5, 5), (32, 33, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # more terms than a block
    ((1, 2, 18, 17), (8, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # more positions than a block
    ((20, 2, 4, 4), (4, 2, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 4, 9, 8), (6, 4, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 4, 9, 8), (6, 4, 2, 1), (3, 2), (0, 0), (1, 1), 1),  # positions that meet no tap
    ((2, 4, 6, 6), (6, 4, 3, 3), (1, 2), (4, 3), (1, 1), 1),  # more padding than kernel
    ((2, 4, 9, 9), (6, 4, 3, 2), (2, 1), (2, 0), (2, 3), 1),
    ((2, 8, 5, 5), (8, 1, 3, 3), (1, 1), (1, 1), (1, 1), 8),  # depthwise
    ((2, 8, 5, 5), (16, 1, 3, 3), (2, 2), (1, 1), (1, 1), 8),
    ((2, 12, 5, 5), (10, 6, 3, 3), (1, 1), (1, 1), (1, 1), 2),
    ((3, 1, 6, 7), (2, 1, 5, 5), (1, 1), (2, 2), (1, 1), 1),
    ((1, 16, 1, 1), (16, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((3, 1, 6, 7), (1, 1, 5, 5), (1, 2), (2, 2), (1, 1), 1),
    ((2, 3, 11), (5, 3, 4), (2,), (1,), (2,), 1),
    ((2, 4, 4, 5, 6), (6, 2, 2, 3, 3), (2, 1, 2), (1, 1, 0), (1, 2, 1), 2),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("x", "w", "stride", "padding", "dilation", "groups"), SHAPES)
def test_against_naive(x, w, stride, padding, dilation, groups, dtype):
    check_family(x, w, dtype, stride=stride, padding=padding, dilation=dilation, groups=groups)


@st.composite
def settings_drawn(draw):
    ndim = draw(st.integers(1, 3))

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(ndim))

    groups, inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 9))
    kernel, stride, padding, dilation = each(1, 3), each(1, 3), each(0, 3), each(1, 2)
    slack = each(0, 4)
    spatial = tuple(
        max(1, d * (k - 1) + 1 - 2 * p + s)
        for k, p, d, s in zip(kernel, padding, dilation, slack, strict=True)
    )
    x = (draw(st.integers(1, 9)), groups * inputs, *spatial)
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, (groups * outputs, inputs, *kernel), how


@settings(max_examples=60, deadline=None)
@given(settings_drawn(), st.sampled_from([np.float32, np.float64]))
def test_against_naive_drawn(drawn, dtype):
    x, w, how = drawn
    check_family(x, w, dtype, **how)


@pytest.mark.parametrize("outputs", [1, 8])
def test_parallel_pieces_agree_with_numpy(outputs):
    """Enough work for the parallel path, in a batch that is shared out and in one that is cut inside its images."""
    for batch, size in ((16, 16), (2, 40)):
        x, w = numbers((batch, 8, size, size), np.float64), numbers((outputs, 8, 3, 3), np.float64, 1)
        how = {**PLAIN, "padding": (1, 1)}
        y = conv.conv_forward(x, w, **how)
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        wanted = sum(
            np.einsum("ncij,oc->noij", padded[:, :, a : a + size, b : b + size], w[:, :, a, b])
            for a, b in itertools.product(range(3), repeat=2)
        )
        agree(y, wanted)
        g = numbers(y.shape, np.float64, 2)
        # ⟨g, conv(x, w)⟩ = ⟨dx, x⟩ = ⟨dw, w⟩: the three are each other's transposes
        product = np.vdot(g, y)
        assert np.vdot(conv.conv_input_grad(g, w, spatial=(size, size), **how), x) == pytest.approx(product)
        assert np.vdot(conv.conv_weight_grad(g, x, kernel=(3, 3), **how), w) == pytest.approx(product)


def family(x, w, how):
    y = conv.conv_forward(x, w, **how)
    spatial, kernel = x.shape[2:], w.shape[2:]
    return (
        y,
        conv.conv_input_grad(y, w, spatial=spatial, **how),
        conv.conv_weight_grad(y, x, kernel=kernel, **how),
    )


@pytest.mark.parametrize(("batch", "outputs", "groups"), [(33, 16, 1), (3, 16, 1), (17, 16, 16), (17, 1, 1)])
def test_same_bits_for_any_number_of_threads(batch, outputs, groups):
    x, w = numbers((batch, 16, 20, 20), np.float32), numbers((outputs, 16 // groups, 3, 3), np.float32, 1)
    how = {**PLAIN, "padding": (1, 1), "groups": groups}
    before, results = numba.get_num_threads(), []
    try:
        for threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1):
            numba.set_num_threads(threads)
            results.append([part.tobytes() for part in family(x, w, how)])
    finally:
        numba.set_num_threads(before)
    assert all(result == results[0] for result in results)


def test_two_python_threads_at_once():
    x, w = numbers((16, 8, 24, 24), np.float32), numbers((16, 8, 3, 3), np.float32, 1)
    how = {**PLAIN, "padding": (1, 1)}
    found = []

    def work():
        for _ in range(20):
            found.append(b"".join(part.tobytes() for part in family(x, w, how)))  # noqa: PERF401

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 40
    assert len(set(found)) == 1


@pytest.mark.parametrize("groups", [1, 2])
def test_any_layout(groups):
    x, w = numbers((2, 4, 7, 6), np.float32), numbers((8, 4 // groups, 3, 3), np.float32, 1)
    how = {**PLAIN, "groups": groups}
    wanted = family(x, w, how)
    frozen_x, frozen_w = x.copy(), w.copy()
    frozen_x.flags.writeable = frozen_w.flags.writeable = False
    bytes_off = np.empty(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
    bytes_off[...] = x
    layouts = [
        (np.asfortranarray(x), np.asfortranarray(w)),
        (x[:, :, ::-1].copy()[:, :, ::-1], np.repeat(w, 2, axis=0)[::2]),
        (frozen_x, frozen_w),
        (x.astype(">f4"), w.astype(">f4")),
        (bytes_off, w),
    ]
    for a, b in layouts:
        for found, right in zip(family(a, b, how), wanted, strict=True):
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, right)
            assert found.flags.writeable
    np.testing.assert_array_equal(frozen_x, x)


@pytest.mark.parametrize(("batch", "channels", "outputs"), [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)])
def test_zero_sizes(batch, channels, outputs):
    x, w = np.ones((batch, channels, 5, 5), np.float32), np.ones((outputs, channels, 3, 3), np.float32)
    y, dx, dw = family(x, w, PLAIN)
    assert y.shape == (batch, outputs, 3, 3)
    assert dx.shape == x.shape
    assert dw.shape == w.shape
    for part in (y, dx, dw):
        assert not part.any()


@pytest.mark.parametrize("outputs", [1, 8])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_pass(bad, outputs):
    x, w = np.ones((1, 2, 6, 6), np.float32), np.ones((outputs, 2, 3, 3), np.float32)
    x[0, 1, 2, 2] = bad
    y = conv.conv_forward(x, w, **PLAIN)
    touched = np.zeros((4, 4), bool)
    touched[:3, :3] = True
    for plane in y[0]:
        np.testing.assert_array_equal(plane[touched], np.full(9, bad, np.float32))
        np.testing.assert_array_equal(plane[~touched], np.full(7, 18, np.float32))


X, W = np.ones((2, 4, 8, 8), np.float32), np.ones((6, 2, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"groups": 1}, ValueError, r"x has 4 channels \(axis 1\) but w expects 2: give w the shape"),
        ({"groups": 3}, ValueError, r"x has 4 channels \(axis 1\) but w expects 2 per group × 3 groups = 6"),
        ({"groups": 0}, ValueError, "groups holds 0"),
        ({"groups": 2.0}, TypeError, "groups holds 2.0"),
        ({"w": np.ones((5, 2, 3, 3), np.float32)}, ValueError, "w has 5 output channels"),
        ({"w": np.ones((6, 2, 0, 3), np.float32)}, ValueError, "w has size 0 on axis 2"),
        ({"w": np.ones((6, 2, 3), np.float32)}, ValueError, "w has 3 axes but x has 4"),
        ({"x": np.ones((2, 4), np.float32)}, ValueError, "x has 2 axes, expected 3, 4 or 5"),
        ({"w": np.ones((6, 2, 9, 3), np.float32)}, ValueError, "the kernel spans 9"),
        ({"w": W.astype(np.float64)}, TypeError, "x is float32 but w is float64"),
        ({"x": X.astype(np.float16)}, TypeError, "x is float16"),
        ({"x": X.astype(np.int64)}, TypeError, "x is int64"),
        ({"x": X.tolist()}, TypeError, "x is list"),
        ({"stride": (1,)}, ValueError, r"stride \(1,\) has 1 entries, expected 2"),
        ({"stride": (0, 1)}, ValueError, "stride holds 0"),
        ({"stride": 1}, TypeError, "stride is int, expected a tuple of 2 ints"),
        ({"padding": (-1, 0)}, ValueError, "padding holds -1"),
        ({"dilation": (1, True)}, TypeError, "dilation holds True"),
        ({"dilation": (1 << 40, 1)}, ValueError, "dilation holds 1099511627776"),
        ({"padding": (1 << 30, 1 << 30)}, ValueError, "bytes: make the sizes smaller"),
    ],
)
def test_door(change, error, message):
    call = {"x": X, "w": W, **PLAIN, "groups": 2, **change}
    with pytest.raises(error, match=message):
        conv.conv_forward(call.pop("x"), call.pop("w"), **call)


def test_gradient_doors():
    how = {**PLAIN, "groups": 2}
    g = np.ones((2, 6, 6, 6), np.float32)
    assert conv.conv_input_grad(g, W, spatial=(8, 8), **how).shape == X.shape
    with pytest.raises(ValueError, match=r"g has the shape .* but spatial \(9, 9\) give y the shape"):
        conv.conv_input_grad(g, W, spatial=(9, 9), **how)
    with pytest.raises(ValueError, match=r"spatial \(8,\) has 1 entries, expected 2"):
        conv.conv_input_grad(g, W, spatial=(8,), **how)
    with pytest.raises(ValueError, match="g has 2 axes, expected 3, 4 or 5"):
        conv.conv_input_grad(g[:, :, 0, 0], W, spatial=(), **how)
    with pytest.raises(ValueError, match="g has the shape"):
        conv.conv_weight_grad(g, X, kernel=(2, 3), **how)
    with pytest.raises(ValueError, match="which 3 groups do not divide"):
        conv.conv_weight_grad(g, X, kernel=(3, 3), **{**how, "groups": 3})
    with pytest.raises(ValueError, match="g has 4 axes but x has 3"):
        conv.conv_weight_grad(g, X[:, :, 0], kernel=(3, 3), **how)
