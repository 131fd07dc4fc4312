"""Winograd's method along lines: every size that it takes, its error, and what it leaves to other methods."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import naive
from kernels.test_kernels_conv import agree, check_methods, numbers, what_is_not_finite

from autograd_core.kernels import conv, conv_direct, conv_methods, winograd_line_calls
from autograd_core.kernels.conv_call import Ending
from autograd_core.kernels.conv_geometry import geometry
from autograd_core.kernels.vector import vector_lanes
from autograd_core.kernels.winograd_line_plan import TILES, line_plan, suits, takes

FLOAT32 = np.dtype(np.float32)
LANES = vector_lanes(FLOAT32)
LINES = {("lines", "forward"), ("lines", "input")}


def how_of(padding=1, groups=1):
    return {"stride": (1,), "padding": (padding,), "dilation": (1,), "groups": groups}


def geometry_of(x_shape, outputs, padding=1, groups=1):
    return geometry(x_shape, (outputs, x_shape[1] // groups, 3), **how_of(padding, groups))


def check(x_shape, outputs, padding=1, groups=1):
    w_shape = (outputs, x_shape[1] // groups, 3)
    assert check_methods(x_shape, w_shape, np.float32, **how_of(padding, groups)) >= LINES


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_lengths_that_are_no_multiples_of_a_tile_or_a_vector(padding):
    for length in (
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        4 * LANES - 1,
        4 * LANES,
        4 * LANES + 1,
        4 * LANES + 2,
        4 * LANES + 3,
    ):
        check((2, 3, length), 5, padding)
    for length in (1, 2):
        check((2, 3, length), 5, 2)


@pytest.mark.parametrize("length", [4 * TILES - 1, 4 * TILES + 1, 8 * TILES + 7, 12 * TILES - 30])
def test_a_line_of_several_blocks(length):
    for padding in (0, 1, 2):
        geo = geometry_of((2, 3, length), 9, padding)
        assert (line_plan(geo, False, LANES).spatial > 1) == (geo.out[2] > 4 * TILES)
        check((2, 3, length), 9, padding)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 19, 41])
@pytest.mark.parametrize("length", [5, 9, 23, 66])
def test_several_images_in_a_block(batch, length):
    check((batch, 3, length), 8)


def test_some_of_these_batches_end_with_part_of_a_block():
    plans = [
        (batch, line_plan(geometry_of((batch, 3, 23), 8), of_input, LANES))
        for batch in (7, 19, 41)
        for of_input in (False, True)
    ]
    assert any(batch % plan.box for batch, plan in plans)
    assert any(plan.box > 2 for _, plan in plans)


@pytest.mark.parametrize(
    ("inputs", "outputs", "groups"),
    [(1, 1, 1), (8, 9, 1), (17, 33, 1), (33, 17, 1), (11, 10, 3), (70, 65, 1)],
)
def test_channels_that_are_no_multiples_of_a_vector(inputs, outputs, groups):
    check((2, inputs * groups, 27), outputs * groups, 1, groups)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 150), st.integers(1, 20), st.integers(1, 40), st.integers(0, 2),
    st.integers(1, 3),
)  # fmt: skip
def test_drawn(batch, length, inputs, outputs, padding, groups):
    length = max(length, 3 - 2 * padding)
    geo = geometry_of((batch, inputs * groups, length), outputs * groups, padding, groups)
    x, w, g = (numbers(shape, np.float32) for shape in (geo.x_shape, geo.w_shape, geo.y_shape))
    for source, size, of_input in ((x, g.size, False), (g, x.size, True)):
        wanted, found = np.empty(size, np.float32), np.full(size, np.nan, np.float32)
        conv_direct.convolve(source.reshape(-1), w.reshape(-1), wanted, geo, of_input)
        assert winograd_line_calls.convolve(source.reshape(-1), w.reshape(-1), found, geo, of_input)
        agree(found, wanted)


def test_lines_of_a_plane_of_one_row():
    geo = geometry((2, 4, 1, 30), (5, 4, 1, 3), (1, 1), (0, 1), (1, 1), 1)
    assert takes(geo, FLOAT32)
    how = {"stride": (1, 1), "padding": (0, 1), "dilation": (1, 1), "groups": 1}
    assert check_methods(geo.x_shape, geo.w_shape, np.float32, **how) >= LINES


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        ({}, np.float64),
        ({"stride": (2,)}, np.float32),
        ({"dilation": (2,)}, np.float32),
        ({"padding": (3,)}, np.float32),
        ({"w_shape": (64, 64, 5)}, np.float32),
        ({"x_shape": (8, 64, 2, 256), "w_shape": (64, 64, 1, 3), "stride": (1, 1), "padding": (0, 1),
          "dilation": (1, 1)}, np.float32),
    ],
)  # fmt: skip
def test_what_the_method_does_not_take(change, dtype):
    given = {"x_shape": (8, 64, 256), "w_shape": (64, 64, 3), **how_of()}
    assert suits(geometry(**given), False, FLOAT32)
    assert not takes(geometry(**{**given, **change}), np.dtype(dtype))


@pytest.mark.parametrize(
    ("batch", "channels", "length", "taken"),
    [
        (16, 64, 1024, True),
        (4, 128, 128, True),
        (16, 16, 1024, False),
        (1, 32, 128, False),
        (32, 64, 5, False),
    ],
)
def test_it_is_taken_where_it_wins(batch, channels, length, taken, monkeypatch):
    used, method = [], winograd_line_calls.convolve
    monkeypatch.setattr(
        conv_methods.winograd_line_calls, "convolve", lambda *a: used.append(a[4]) or method(*a)
    )
    geo = geometry_of((batch, channels, length), channels)
    assert suits(geo, False, FLOAT32) == suits(geo, True, FLOAT32) == taken
    x, w, g = (numbers(shape, np.float32) for shape in (geo.x_shape, geo.w_shape, geo.y_shape))
    conv.conv_forward(x, w, **how_of())
    conv.conv_input_grad(g, w, spatial=x.shape[2:], **how_of())
    assert used == ([False, True] if taken else [])


@pytest.mark.parametrize("rectified", [False, True])
def test_bias_and_relu(rectified):
    geo = geometry_of((3, 10, 30), 18, 1, 2)
    x, w, bias = (numbers(shape, np.float32) for shape in (geo.x_shape, geo.w_shape, (18,)))
    y = np.empty(geo.y_shape, np.float32)
    assert winograd_line_calls.convolve(
        x.ravel(), w.ravel(), y.reshape(-1), geo, False, Ending(bias, rectified)
    )
    wanted = naive.conv_forward(x, w, **how_of(1, 2)) + bias[:, None]
    agree(y, np.maximum(wanted, 0) if rectified else wanted)


@pytest.mark.parametrize("kind", ["normal", "relu"])
@pytest.mark.parametrize("channels", [16, 64, 256])
def test_its_error_is_at_most_ten_times_that_of_the_direct_sum(channels, kind, rng):
    geo = geometry_of((1 if channels == 256 else 4, channels, 101), channels)
    x, w, g = (rng.standard_normal(shape).reshape(-1) for shape in (geo.x_shape, geo.w_shape, geo.y_shape))
    if kind == "relu":
        x = np.maximum(x, 0)
    x, w, g = (array.astype(np.float32) for array in (x, w / np.sqrt(channels), g))
    for source, size, of_input in ((x, g.size, False), (g, x.size, True)):
        exact, plain, fast = np.empty(size), np.empty(size, np.float32), np.empty(size, np.float32)
        conv_direct.convolve(source.astype(float), w.astype(float), exact, geo, of_input)
        conv_direct.convolve(source, w, plain, geo, of_input)
        assert winograd_line_calls.convolve(source, w, fast, geo, of_input)
        for measure in (lambda error: np.abs(error).max(), lambda error: np.sqrt((error**2).mean())):
            assert 0 < measure(fast - exact) < 10 * measure(plain - exact)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_goes_where_the_sum_takes_it(bad):
    geo = geometry_of((4, 64, 64), 64)
    assert suits(geo, False, FLOAT32)
    assert suits(geo, True, FLOAT32)
    x, w, g = (numbers(shape, np.float32) for shape in (geo.x_shape, geo.w_shape, geo.y_shape))
    whole_y = naive.conv_forward(x, w, **how_of())
    whole_dx = naive.conv_input_grad(g, w, spatial=(64,), **how_of())

    def check(found, whole, place, moved):
        """Whatever meets the number, and nothing else, is not finite."""
        wanted = whole.copy()
        meets = [p for p in range(place - 1, place + 2) if 0 <= p < 64]
        wanted[3][:, meets] = moved(meets)
        np.testing.assert_array_equal(what_is_not_finite(found), what_is_not_finite(wanted))
        agree(found[np.isfinite(wanted)], wanted[np.isfinite(wanted)])

    with np.errstate(invalid="ignore"):
        for place in (0, 1, 2, 3, 30, 63):
            broken_x, broken_g = x.copy(), g.copy()
            broken_x[3, 5, place] = broken_g[3, 5, place] = bad
            taps = {p: (place - p + 1, p - place + 1) for p in range(64)}
            check(conv.conv_forward(broken_x, w, **how_of()), whole_y, place,
                  lambda meets, taps=taps: w[:, 5, [taps[p][0] for p in meets]] * bad)  # fmt: skip
            check(conv.conv_input_grad(broken_g, w, spatial=(64,), **how_of()), whole_dx, place,
                  lambda meets, taps=taps: w[5, :, [taps[p][1] for p in meets]].T * bad)  # fmt: skip


def test_weights_that_are_not_finite_meet_no_margin():
    geo = geometry_of((4, 64, 64), 64)
    g, w = numbers(geo.y_shape, np.float32), numbers(geo.w_shape, np.float32)
    w[3, 5, 0] = np.inf
    with np.errstate(invalid="ignore"):
        found = conv.conv_input_grad(g, w, spatial=(64,), **how_of())
        np.testing.assert_array_equal(
            what_is_not_finite(found),
            what_is_not_finite(naive.conv_input_grad(g, w, spatial=(64,), **how_of())),
        )


def test_large_numbers_that_overflow_in_the_transform_only_are_summed_directly():
    geo = geometry_of((4, 64, 64), 64)
    x = np.full(geo.x_shape, 3e38, np.float32)
    x[..., ::2] = -3e38
    w = numbers(geo.w_shape, np.float32) / 1000
    wanted = np.empty(geo.y_shape, np.float32)
    assert not winograd_line_calls.convolve(x.ravel(), w.ravel(), wanted.reshape(-1).copy(), geo, False)
    conv_direct.convolve(x.ravel(), w.ravel(), wanted.reshape(-1), geo, False)
    assert np.isfinite(wanted).all()
    np.testing.assert_array_equal(conv.conv_forward(x, w, **how_of()), wanted)


@pytest.mark.parametrize(("batch", "length"), [(5, 300), (33, 23), (1, 1000)])
def test_same_bits_for_any_number_of_threads(batch, length):
    geo = geometry_of((batch, 40, length), 72)
    assert geo.multiply_adds > conv_methods.SERIAL
    x, w, g = (numbers(shape, np.float32).reshape(-1) for shape in (geo.x_shape, geo.w_shape, geo.y_shape))
    before = numba.get_num_threads()
    try:
        for source, size, of_input in ((x, g.size, False), (g, x.size, True)):
            results = []
            for threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1):
                numba.set_num_threads(threads)
                out = np.full(size, np.nan, np.float32)
                assert winograd_line_calls.convolve(source, w, out, geo, of_input)
                results.append(out.tobytes())
            assert all(result == results[0] for result in results)
    finally:
        numba.set_num_threads(before)
