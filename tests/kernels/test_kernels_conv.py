"""The convolution kernels against their slow twins, and their doors."""

from __future__ import annotations

import itertools
import threading
from functools import partial

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import naive

from autograd_core.kernels import (
    conv,
    conv_columns_calls,
    conv_direct,
    conv_methods,
    strip_calls,
    winograd_line_calls,
    winograd_line_plan,
)
from autograd_core.kernels.conv_geometry import geometry
from autograd_core.kernels.conv_plan import plan
from autograd_core.kernels.vector import BITS
from autograd_core.kernels.winograd_plan import fits
from autograd_core.kernels.winograd_tiles_plan import takes

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


def guarded(array, around):
    """A flat copy of an array in the middle of a larger one that is filled with `around`; the larger one."""
    room = np.full(array.size + 333, around, array.dtype)
    inside = room[111:-222]
    inside[:] = array.reshape(-1)
    return inside, room


def check_guarded(method, first, second, wanted, geo, *of_input):
    """A method's result; it does not read outside its inputs, where there is NaN, and writes nothing but the result."""
    mark = 54321.5
    (one, room_one), (two, room_two) = guarded(first, np.nan), guarded(second, np.nan)
    inputs = room_one.tobytes() + room_two.tobytes()
    out, room = guarded(np.full_like(wanted, np.nan), mark)
    assert method(one, two, out, geo, *of_input) is not False
    agree(out.reshape(wanted.shape), wanted)
    assert (np.delete(room, slice(111, 111 + out.size)) == mark).all()
    assert room_one.tobytes() + room_two.tobytes() == inputs


def geometry_of(x_shape, w_shape, stride, padding, dilation, groups):
    return geometry(x_shape, w_shape, stride, padding, dilation, groups)


def methods(geo, dtype):
    """What takes this convolution: (method, way, function), the way forward, input or weight."""
    winograd, tiles = fits(geo, np.dtype(dtype)), takes(geo, np.dtype(dtype))
    for way, of_input in (("forward", False), ("input", True)):
        yield "in place", way, conv_direct.in_place
        yield "windowed", way, conv_direct.windowed
        if strip_calls.suits(geo, of_input):
            yield "strips", way, strip_calls.convolve
        if max(geo.stride[1:]) <= 2:
            yield "columns", way, conv_columns_calls.convolve
        if conv_methods._suits_stencil(geo, of_input):
            yield "stencils", way, conv_methods._stencil
        if winograd:
            yield "winograd", way, conv_methods._winograd
        if tiles:
            yield "tiles", way, conv_methods._winograd_tiles
        if winograd_line_plan.takes(geo, np.dtype(dtype)):
            yield "lines", way, winograd_line_calls.convolve
    if max(geo.stride[1:]) <= 2:
        yield "columns", "weight", conv_columns_calls.weight_grad
    yield "in place", "weight", partial(conv_direct.weight_sum, windows=False)
    yield "windowed", "weight", partial(conv_direct.weight_sum, windows=True)
    if strip_calls.suits(geo, False):
        yield "strips", "weight", strip_calls.weight_grad
    if conv_methods._suits_stencil(geo, False) and geo.inputs <= conv_methods.conv_stencil.OUTER:
        yield "stencils", "weight", conv_methods._weight_stencil
    if winograd:
        yield "winograd", "weight", conv_methods._weight_winograd
    if tiles:
        yield "tiles", "weight", conv_methods._weight_winograd_tiles


def check_methods(x_shape, w_shape, dtype, **how):
    """Every method that takes a convolution, against the naive twin in guarded memory; which these were."""
    geo = geometry_of(x_shape, w_shape, **how)
    x, w, g = numbers(x_shape, dtype), numbers(w_shape, dtype, 1), numbers(geo.y_shape, dtype, 2)
    cases = {
        "forward": (x, w, naive.conv_forward(x, w, **how), geo, False),
        "input": (g, w, naive.conv_input_grad(g, w, spatial=x_shape[2:], **how), geo, True),
        "weight": (g, x, naive.conv_weight_grad(g, x, kernel=w_shape[2:], **how), geo),
    }
    used = set()
    for name, way, method in methods(geo, dtype):
        check_guarded(method, *cases[way])
        used.add((name, way))
    return used


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
    (
        (2, 4, 6, 41),
        (4, 1, 3, 3),
        (2, 2),
        (1, 1),
        (1, 1),
        4,
    ),  # lines of more than a register, every second column
    ((2, 8, 9, 14), (9, 8, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 12, 36), (3, 1, 5, 5), (2, 2), (2, 2), (1, 1), 3),  # two residues of a line, each one stencil
    ((2, 3, 11, 34), (3, 1, 2, 4), (2, 2), (0, 1), (1, 1), 3),
    ((2, 3, 7, 5, 11), (3, 1, 2, 3, 3), (2, 1, 1), (0, 1, 1), (1, 1, 1), 3),  # planes not in their order
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


# Each method --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lines_of_any_width(dtype, outputs, stride, dilation):
    """Tiles reach beyond the end of a line, and beyond the last line, at every remainder."""
    for width in [*range(1, 41), 63, 64, 65, 97, 130]:
        how = {"stride": (1, stride), "padding": (1, dilation), "dilation": (1, dilation), "groups": 1}
        used = check_methods((1, 2, 3, width), (outputs, 2, 2, 3), dtype, **how)
        assert {("stencils", "forward"), ("stencils", "input"), ("stencils", "weight")} <= used


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_planes_of_any_size(dtype, outputs, stride):
    """Strips meet edges, reach over the row behind them and over other strips, with registers and half ones."""
    how = {"stride": (stride, stride), "padding": (1, 1), "dilation": (1, 1), "groups": 3}
    ways = {"forward", "weight"} | ({"input"} if outputs == 1 else set())
    for width in [*range(1, 36), 63, 64, 65, 97]:
        for height in (1, 2, 3, 6) if width % 7 else (5, 38):
            used = check_methods((2, 3, height, width), (3 * outputs, 1, 3, 3), dtype, **how)
            assert {way for name, way in used if name == "strips"} == ways


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_groups_of_few_channels(stride, dtype):
    how = {"stride": (stride, stride), "padding": (1, 1), "dilation": (1, 1), "groups": 2}
    for inputs, outputs in itertools.product(range(1, 6), repeat=2):
        check_methods((3, 2 * inputs, 5, 19), (2 * outputs, inputs, 2, 3), dtype, **how)


ODD = [  # x, w, stride, padding, dilation, groups
    ((2, 3, 2, 3), (4, 3, 5, 4), (1, 1), (2, 3), (1, 1), 1),  # a kernel larger than the input
    ((2, 9, 2, 3), (9, 9, 5, 4), (1, 1), (2, 3), (1, 1), 1),
    ((2, 3, 4, 5), (6, 3, 2, 1), (1, 1), (5, 7), (1, 1), 1),  # outputs that see padding only
    ((2, 3, 4, 5), (2, 3, 2, 1), (2, 1), (5, 7), (1, 1), 1),
    ((2, 3, 17, 19), (7, 3, 2, 1), (5, 7), (0, 0), (1, 1), 1),  # a stride that steps over elements
    ((2, 3, 17, 19), (2, 3, 2, 1), (5, 7), (1, 0), (1, 1), 1),
    ((1, 4, 9, 40), (12, 2, 3, 3), (1, 1), (4, 4), (4, 4), 2),
    ((1, 4, 9, 40), (4, 2, 3, 3), (1, 2), (4, 4), (4, 4), 2),
    ((3, 17, 5, 6), (33, 17, 1, 1), (1, 1), (0, 0), (1, 1), 1),  # no multiples of a vector
    ((70, 5, 3, 3), (6, 5, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((70, 3, 3, 3), (3, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    (
        (1, 3, 90, 31),
        (6, 3, 3, 3),
        (1, 1),
        (1, 1),
        (1, 1),
        1,
    ),  # several blocks of an image, the last one cut off
    ((1, 3, 90, 31), (3, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 3, 3, 1300), (2, 3, 1, 3), (1, 2), (0, 1), (1, 1), 1),  # lines of several blocks
    ((1, 3, 3, 1300), (9, 3, 1, 3), (1, 2), (0, 1), (1, 1), 1),
    ((3, 4, 50), (6, 4, 7), (1,), (3,), (1,), 1),
    ((3, 4, 50), (4, 1, 7), (2,), (6,), (2,), 4),
    ((2, 4, 5, 6, 7), (10, 2, 3, 2, 3), (1, 2, 3), (2, 1, 0), (1, 1, 2), 2),
    ((2, 4, 5, 6, 21), (4, 1, 3, 2, 3), (2, 3, 2), (2, 1, 3), (2, 1, 1), 4),
    ((2, 9, 1, 9, 10), (8, 9, 1, 3, 3), (1, 1, 1), (0, 1, 2), (1, 1, 1), 1),
    ((5, 6, 7, 8), (8, 6, 3, 3), (2, 3), (1, 1), (1, 1), 1),  # sizes that the stride does not divide
    ((5, 2, 7, 50), (8, 2, 3, 3), (3, 2), (1, 1), (1, 1), 1),
    ((2, 2, 11, 50), (2, 2, 2, 2), (3, 3), (0, 1), (1, 2), 1),
    ((3, 2, 1100), (4, 2, 5), (1,), (0,), (2,), 1),
    ((6, 3, 8, 33), (7, 3, 3, 5), (1, 1), (1, 2), (1, 1), 1),  # several images in a block
    ((2, 3, 20, 34), (5, 3, 2, 3), (2, 2), (0, 1), (1, 3), 1),
    ((2, 3, 17, 32), (5, 3, 3, 4), (1, 2), (2, 3), (2, 1), 1),
    ((2, 3, 18, 31), (5, 3, 4, 3), (2, 1), (3, 1), (1, 2), 1),
    ((1, 9, 3, 16), (2, 9, 1, 7), (1, 1), (0, 5), (1, 1), 1),  # windows that begin outside
    ((1, 2, 90, 90), (3, 2, 1, 1), (2, 2), (0, 0), (1, 1), 1),  # residues without a tap
    ((1, 2, 7, 6, 16), (3, 2, 2, 3, 3), (3, 1, 2), (1, 1, 1), (2, 1, 1), 1),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("x", "w", "stride", "padding", "dilation", "groups"), ODD)
def test_every_method_in_guarded_memory(x, w, stride, padding, dilation, groups, dtype):
    check_methods(x, w, dtype, stride=stride, padding=padding, dilation=dilation, groups=groups)


@settings(max_examples=60, deadline=None)
@given(settings_drawn(), st.sampled_from([np.float32, np.float64]))
def test_every_method_in_guarded_memory_drawn(drawn, dtype):
    x, w, how = drawn
    check_methods(x, w, dtype, **how)


# Narrow lines fill few lanes, few channels fewer.
WIDE, DOTS = ("columns", "columns") if BITS == 512 else ("convolve", "weight_grad")
WEIGHTS = "_weight_winograd_tiles" if BITS == 512 else "_weight_winograd"


@pytest.mark.parametrize(
    ("inputs", "outputs", "stride", "dtype", "forward", "back", "weight"),
    [
        (8, 4, 1, np.float32, "columns", WIDE, "columns"),
        (8, 8, 1, np.float32, "_winograd_tiles", "_winograd_tiles", WEIGHTS),
        (16, 27, 1, np.float32, "_winograd_tiles", "_winograd_tiles", "_weight_winograd"),
        (8, 65, 1, np.float32, "_winograd", "_winograd", "_weight_winograd"),
        (8, 8, 1, np.float64, "convolve", "convolve", "weight_grad"),
        (8, 5, 1, np.float32, WIDE, WIDE, DOTS),
        (4, 8, 1, np.float32, WIDE, "columns", DOTS),
        (4, 4, 2, np.float32, "columns", "columns", "_weight_stencil"),
        (4, 4, 3, np.float32, "convolve", "_stencil", "weight_grad"),
        (5, 4, 2, np.float32, "columns", "convolve", "columns"),
    ],
)
def test_channels_stride_and_dtype_choose_the_method(
    inputs, outputs, stride, dtype, forward, back, weight, monkeypatch
):
    used = []
    ways = itertools.product(("_", "_weight_"), ("stencil", "winograd", "winograd_tiles"))
    places = [(conv_methods, "".join(parts)) for parts in ways]
    places += itertools.product((conv_columns_calls, conv_direct), ("convolve", "weight_grad"))
    for module, name in places:
        method = getattr(module, name)
        known = "columns" if module is conv_columns_calls else name
        monkeypatch.setattr(
            module, name, lambda *given, known=known, method=method: used.append(known) or method(*given)
        )
    how = {**PLAIN, "stride": (stride, stride), "padding": (1, 1)}
    check_family((2, inputs, 7, 9), (outputs, inputs, 3, 3), dtype, **how)
    assert used == [forward, back, weight]


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(3, 3, 1), (3, 4, 2), (16, 20, 1), (16, 20, 2)])
def test_every_method_has_the_same_bits_for_any_number_of_threads(inputs, outputs, stride):
    geo = geometry_of(
        (9, 2 * inputs, 45, 38), (2 * outputs, inputs, 3, 3), (stride, stride), (1, 1), (1, 1), 2
    )
    assert geo.multiply_adds > conv_methods.SERIAL
    x, w, g = (numbers(shape, np.float32).reshape(-1) for shape in (geo.x_shape, geo.w_shape, geo.y_shape))
    ways = {
        "forward": (x, w, g.size, geo, False),
        "input": (g, w, x.size, geo, True),
        "weight": (g, x, w.size, geo),
    }
    before = numba.get_num_threads()
    try:
        for name, way, method in methods(geo, np.float32):
            first, second, size, *rest = ways[way]
            results = []
            for threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1):
                numba.set_num_threads(threads)
                out = np.full(size, np.nan, np.float32)
                method(first, second, out, *rest)
                results.append(out.tobytes())
            assert all(result == results[0] for result in results), (name, way)
    finally:
        numba.set_num_threads(before)


def what_is_not_finite(array):
    return np.isnan(array) * 1 + np.isposinf(array) * 2 + np.isneginf(array) * 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "stride", "padding"),
    [
        ((2, 2, 6, 9), (2, 2, 3, 3), (1, 1), (1, 1)),
        ((2, 2, 6, 9), (2, 2, 3, 3), (1, 1), (0, 0)),
        ((2, 2, 6, 9), (2, 2, 3, 3), (2, 2), (0, 0)),
        ((2, 2, 6, 9), (8, 2, 3, 3), (2, 2), (0, 1)),
        ((2, 9, 6, 9), (8, 9, 3, 3), (1, 1), (0, 0)),
        ((1, 2, 40, 33), (8, 2, 3, 3), (1, 1), (0, 0)),  # several blocks, which compute more than there is
    ],
)
def test_a_number_that_is_not_finite_goes_where_the_sum_takes_it(x_shape, w_shape, stride, padding, bad):
    """Wherever it stands: a result that it is not in stays what it is. Padding is zeros, and 0 · ∞ is NaN."""
    how = {**PLAIN, "stride": stride}
    back = {**how, "padding": padding}
    x, w = numbers(x_shape, np.float32), numbers(w_shape, np.float32, 1)
    g = numbers(conv.conv_forward(x, w, **back).shape, np.float32, 2)
    wide = [(0, 0), (0, 0), *((p, p) for p in padding)]

    def check(found, wanted):
        np.testing.assert_array_equal(what_is_not_finite(found), what_is_not_finite(wanted))
        finite = np.isfinite(wanted)
        agree(found[finite], wanted[finite])

    with np.errstate(invalid="ignore"):
        for place in [(0, 0), (0, -1), (-1, 0), (-1, -1), (2, 4), (3, 0), (2, -1), (1, 1), (-2, -2)]:
            broken = x.copy()
            broken[(-1, 1, *place)] = bad
            padded = np.pad(broken, wide)
            check(conv.conv_forward(broken, w, **back), naive.conv_forward(padded, w, **how))
            check(
                conv.conv_weight_grad(g, broken, kernel=w_shape[2:], **back),
                naive.conv_weight_grad(g, padded, kernel=w_shape[2:], **how),
            )
        for place in [(0, 0), (0, -1), (-1, 0), (-1, -1), (1, 2)]:
            broken = g.copy()
            broken[(-1, 1, *place)] = bad
            check(
                conv.conv_input_grad(broken, w, spatial=x_shape[2:], **back),
                naive.conv_input_grad(broken, w, spatial=x_shape[2:], **back),
            )
            check(
                conv.conv_weight_grad(broken, x, kernel=w_shape[2:], **back),
                naive.conv_weight_grad(broken, np.pad(x, wide), kernel=w_shape[2:], **how),
            )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(
    ("x", "w", "groups"),
    [
        ((2, 3, 9, 20), (16, 3, 3, 3), 1),  # columns
        ((2, 4, 9, 20), (4, 1, 3, 3), 4),  # strips
        ((1, 24, 11, 12), (40, 24, 5, 5), 1),  # windows
        ((2, 8, 9, 12), (8, 8, 3, 3), 1),  # Winograd's
    ],
)
def test_a_gradient_has_nothing_of_a_weight_that_it_does_not_meet(x, w, groups, padding, bad):
    how = {"stride": (1, 1), "padding": (padding,) * 2, "dilation": (1, 1), "groups": groups}
    weights = numbers(w, np.float32)
    weights[0, 0, 0, 0] = weights[-1, -1, -1, -1] = bad
    g = numbers(conv.conv_forward(numbers(x, np.float32), weights, **how).shape, np.float32, 2)
    with np.errstate(invalid="ignore"):
        wanted = naive.conv_input_grad(g, weights, spatial=x[2:], **how)
    found = conv.conv_input_grad(g, weights, spatial=x[2:], **how)
    np.testing.assert_array_equal(what_is_not_finite(found), what_is_not_finite(wanted))
    agree(found[np.isfinite(wanted)], wanted[np.isfinite(wanted)])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("width", [5, 13, 20, 37])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_number_that_is_not_finite_stays_in_its_plane(stride, width, bad):
    """Where strips overlap, at edges and in corners, and in no plane beside."""
    how = {"stride": (stride, stride), "padding": (1, 1), "dilation": (1, 1), "groups": 3}
    x, w = numbers((2, 3, 6, width), np.float32), numbers((3, 1, 3, 3), np.float32, 1)
    g = numbers(conv.conv_forward(x, w, **how).shape, np.float32, 2)

    def check(found, wanted):
        np.testing.assert_array_equal(what_is_not_finite(found), what_is_not_finite(wanted))
        finite = np.isfinite(wanted)
        agree(found[finite], wanted[finite])

    for place in [(0, 0), (0, -1), (-1, 0), (-1, -1), (2, 2), (1, -2)]:
        broken, slopes = x.copy(), g.copy()
        broken[(1, 1, *place)] = slopes[(0, 1, *place)] = bad
        check(conv.conv_forward(broken, w, **how), naive.conv_forward(broken, w, **how))
        check(
            conv.conv_input_grad(slopes, w, spatial=x.shape[2:], **how),
            naive.conv_input_grad(slopes, w, spatial=x.shape[2:], **how),
        )


def test_an_image_without_pixels():
    """Padding alone gives outputs; going back there is nothing to give."""
    x, w = np.ones((2, 3, 0, 5), np.float32), np.ones((4, 3, 2, 2), np.float32)
    how = {**PLAIN, "padding": (1, 1)}
    y = conv.conv_forward(x, w, **how)
    assert y.shape == (2, 4, 1, 6)
    assert not y.any()
    assert not conv.conv_weight_grad(y + 1, x, kernel=(2, 2), **how).any()
    assert conv.conv_input_grad(y + 1, w, spatial=(0, 5), **how).shape == x.shape


def test_a_window_that_does_not_fit_in_memory_is_an_error():
    """Little comes in and little goes out, but the window between them would take four terabytes."""
    far = {**PLAIN, "padding": (1 << 19, 1 << 19), "dilation": (1 << 20, 1 << 20)}
    x = np.ones((1, 1, 8, 8), np.float32)
    w = np.ones((8, 1, 2, 2), np.float32)
    geo = geometry_of(x.shape, w.shape, **far)
    with pytest.raises(MemoryError, match=r"conv: .* numbers, 4,.* GB: give it less dilation"):
        conv_direct.windowed(x.reshape(-1), w.reshape(-1), np.empty(8, np.float32), geo, False)
    assert not conv.conv_forward(x, w, **far).any()  # in place there is none


def test_few_channels_need_no_window():
    far = {**PLAIN, "padding": (1 << 19, 1 << 19), "dilation": (1 << 20, 1 << 20)}
    x = np.ones((1, 1, 8, 8), np.float32)
    assert not conv.conv_forward(x, np.ones((1, 1, 2, 2), np.float32), **far).any()


def test_a_large_stride_makes_no_more_passes_than_there_are_positions():
    geo = geometry_of((1, 8, 8, 8), (8, 8, 1, 1), (64, 64), (0, 0), (1, 1), 1)
    assert plan(geo, True, 4).passes.size // 4 <= 64


# The doors ----------------------------------------------------------------------------------------------------------


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


ENDED = [  # x, w, stride, padding, groups: of stencils, of BLAS, of Winograd twice, of the direct sum, of no channels
    ((2, 6, 9, 8), (6, 1, 3, 3), (1, 1), (1, 1), 6),
    ((2, 7, 5, 6), (9, 7, 1, 1), (1, 1), (0, 0), 1),
    ((3, 8, 9, 10), (17, 8, 3, 3), (1, 1), (1, 1), 1),
    ((3, 8, 9, 10), (65, 8, 3, 3), (1, 1), (1, 1), 1),
    ((3, 4, 9, 10), (34, 2, 3, 3), (2, 1), (1, 0), 2),
    ((2, 0, 5, 5), (3, 0, 3, 3), (1, 1), (1, 1), 1),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("x_shape", "w_shape", "stride", "padding", "groups"), ENDED)
def test_bias_and_relu_are_done_before_the_result_is_stored(x_shape, w_shape, stride, padding, groups, dtype):
    how = {"stride": stride, "padding": padding, "dilation": (1, 1), "groups": groups}
    x, w, bias = numbers(x_shape, dtype), numbers(w_shape, dtype, 1), numbers(w_shape[:1], dtype, 2)
    plain = naive.conv_forward(x, w, **how)
    shifted = plain + bias[:, None, None]
    agree(conv.conv_forward(x, w, bias, **how), shifted)
    agree(conv.conv_forward(x, w, bias, rectified=True, **how), np.maximum(shifted, 0))
    agree(conv.conv_forward(x, w, rectified=True, **how), np.maximum(plain, 0))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("x_shape", "w_shape", "stride", "padding", "groups"), ENDED[:5])
def test_what_is_not_finite_passes_through_bias_and_relu(x_shape, w_shape, stride, padding, groups, bad):
    how = {"stride": stride, "padding": padding, "dilation": (1, 1), "groups": groups}
    x, w, bias = (numbers(shape, np.float32, k) for k, shape in enumerate((x_shape, w_shape, w_shape[:1])))
    x[1, 0, 3, 4] = bad
    with np.errstate(invalid="ignore"):
        plain = naive.conv_forward(
            np.pad(x, [(0, 0)] * 2 + [(p, p) for p in padding]), w, **{**how, "padding": (0, 0)}
        )
        wanted = np.maximum(plain + bias[:, None, None], 0)
        found = conv.conv_forward(x, w, bias, rectified=True, **how)
    np.testing.assert_array_equal(what_is_not_finite(found), what_is_not_finite(wanted))
    agree(found[np.isfinite(wanted)], wanted[np.isfinite(wanted)])


def test_a_bias_of_another_length_says_what_it_should_be():
    x, w = numbers((1, 2, 5, 5), np.float32), numbers((3, 2, 3, 3), np.float32)
    with pytest.raises(ValueError, match=r"bias has the shape \(2,\) but w has 3 output channels"):
        conv.conv_forward(x, w, np.zeros(2, np.float32), **PLAIN)
