"""Winograd's method: every size that it takes, its error, and what it leaves to the direct sum."""

from __future__ import annotations

import numpy as np
import pytest
from kernels import naive
from kernels.test_kernels_conv import PLAIN, agree, check_methods, numbers, what_is_not_finite

from autograd_core.kernels import conv, conv_direct, conv_methods, winograd_tiles_calls
from autograd_core.kernels.conv_geometry import geometry
from autograd_core.kernels.vector import VECTORS, width_of
from autograd_core.kernels.winograd import aligned_points, stride_of
from autograd_core.kernels.winograd_plan import fits, winograd_plan
from autograd_core.kernels.winograd_tiles_plan import tiles_plan

ALL = {("winograd", "forward"), ("winograd", "input"), ("winograd", "weight")}
PLANE = ALL | {("tiles", "forward"), ("tiles", "input"), ("tiles", "weight")}  # of two dimensions
FLOAT32 = np.dtype(np.float32)


def geometry_of(x_shape, outputs, padding=(1, 1), groups=1):
    w_shape = (outputs, x_shape[1] // groups, 3, 3)
    return geometry(x_shape, w_shape, (1, 1), padding, (1, 1), groups)


def blocks_of(geo, of_input=False):
    width = width_of(FLOAT32)
    return winograd_plan(geo, of_input, width // VECTORS, width).blocks


def check(x_shape, outputs, padding, groups=1):
    how = {**PLAIN, "padding": padding, "groups": groups}
    assert check_methods(x_shape, (outputs, x_shape[1] // groups, 3, 3), np.float32, **how) >= PLANE


@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 2), (0, 2), (2, 1)])
def test_heights_and_widths_that_are_no_multiples_of_a_tile(padding):
    least = [max(4, 6 - 2 * p) for p in padding]
    for more in range(6):
        check((1, 8, least[0] + more, least[1] + (5 * more + 1) % 6), 8, padding)
    check((1, 8, least[0], 37), 8, padding)
    check((1, 8, 38, least[1]), 8, padding)


@pytest.mark.parametrize(
    ("inputs", "outputs", "groups"), [(8, 9, 1), (9, 8, 1), (17, 33, 1), (33, 17, 1), (11, 10, 3)]
)
def test_channels_that_are_no_multiples_of_a_vector(inputs, outputs, groups):
    check((2, inputs * groups, 6, 7), outputs * groups, (1, 1), groups)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 7, 9, 17])
def test_the_last_block_of_a_batch_may_hold_fewer_images(batch):
    check((batch, 8, 7, 9), 8, (1, 1))


def test_some_of_these_batches_end_with_part_of_a_block():
    for of_input in (False, True):
        images = [
            (batch, blocks_of(geometry_of((batch, 8, 7, 9), 8), of_input).images) for batch in (5, 7, 17)
        ]
        assert any(batch % each for batch, each in images)


@pytest.mark.parametrize("size", [(290, 6), (120, 13), (9, 263), (30, 70)])
def test_an_image_of_several_blocks(size):
    for batch in (1, 2):
        geo = geometry_of((batch, 8, *size), 8)
        assert blocks_of(geo).spatial > 1
        assert blocks_of(geo, of_input=True).spatial > 1
        check((batch, 8, *size), 8, (1, 1))


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "padding", "groups"),
    [
        ((2, 8, 5, 9, 10), (8, 8, 3, 3, 3), (1, 1, 1), 1),
        ((1, 17, 4, 6, 7), (9, 17, 3, 3, 3), (0, 1, 2), 1),  # several vectors of channels, no margin in depth
        ((1, 16, 4, 6, 7), (34, 8, 2, 3, 3), (1, 1, 1), 2),
        ((3, 8, 1, 6, 7), (8, 8, 3, 3, 3), (1, 1, 1), 1),  # outer taps meet the margin only
        ((1, 8, 5, 6, 7), (8, 8, 5, 3, 3), (4, 1, 1), 1),  # more margin than the kernel reaches going back
        ((2, 8, 3, 6, 7), (8, 8, 1, 3, 3), (2, 1, 1), 1),
    ],
)
def test_three_dimensions(x_shape, w_shape, padding, groups):
    how = {"stride": (1, 1, 1), "padding": padding, "dilation": (1, 1, 1), "groups": groups}
    assert check_methods(x_shape, w_shape, np.float32, **how) >= ALL


def test_the_longest_lines():
    geo = geometry_of((1, 8, 4, 1024), 8)
    assert fits(geo, FLOAT32)
    x, w, g = (numbers(shape, np.float32) for shape in (geo.x_shape, geo.w_shape, geo.y_shape))
    for source, of_input in ((x, False), (g, True)):
        found, wanted = np.empty(g.size, np.float32), np.empty(g.size, np.float32)
        conv_direct.convolve(source.reshape(-1), w.reshape(-1), wanted, geo, of_input)
        for method in (conv_methods._winograd, conv_methods._winograd_tiles):
            assert method(source.reshape(-1), w.reshape(-1), found, geo, of_input)
            agree(found, wanted)


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        ({}, np.float64),
        ({"stride": (1, 2)}, np.float32),
        ({"dilation": (2, 1)}, np.float32),
        ({"padding": (1, 3)}, np.float32),
        ({"w_shape": (8, 8, 3, 5)}, np.float32),
        ({"w_shape": (7, 8, 3, 3)}, np.float32),
        ({"x_shape": (2, 7, 9, 9), "w_shape": (8, 7, 3, 3)}, np.float32),
        ({"x_shape": (2, 8, 3, 9)}, np.float32),
        ({"x_shape": (2, 8, 5, 9), "padding": (0, 0)}, np.float32),
        ({"x_shape": (1, 8, 9, 1025)}, np.float32),
        ({"x_shape": (2, 16, 9, 9), "groups": 2, "w_shape": (14, 8, 3, 3)}, np.float32),
    ],
)  # fmt: skip
def test_what_the_method_does_not_take(change, dtype):
    given = {"x_shape": (2, 8, 9, 9), "w_shape": (8, 8, 3, 3), **PLAIN, "padding": (1, 1)}
    assert fits(geometry(**given), FLOAT32)
    assert not fits(geometry(**{**given, **change}), np.dtype(dtype))


def both_ways(geo, x, w, g):
    """(way, direct, winograd, sources, size of the result): calls on flat arrays."""
    for method in (conv_methods._winograd, conv_methods._winograd_tiles):
        yield "forward", conv_direct.convolve, method, (x, w), g.size, (geo, False)
        yield "input", conv_direct.convolve, method, (g, w), x.size, (geo, True)
    for method in (conv_methods._weight_winograd, conv_methods._weight_winograd_tiles):
        yield "weight", conv_direct.weight_grad, method, (g, x), w.size, (geo,)


@pytest.mark.parametrize("kind", ["normal", "relu"])
@pytest.mark.parametrize("channels", [16, 64, 256])
def test_its_error_is_at_most_ten_times_that_of_the_direct_sum(channels, kind, rng):
    geo = geometry_of((1 if channels == 256 else 2, channels, 13, 14), channels)
    x, w, g = (rng.standard_normal(shape).reshape(-1) for shape in (geo.x_shape, geo.w_shape, geo.y_shape))
    if kind == "relu":
        x = np.maximum(x, 0)
    x, w, g = (array.astype(np.float32) for array in (x, w / np.sqrt(channels), g))
    for way, direct, winograd, sources, size, how in both_ways(geo, x, w, g):
        exact, plain, fast = np.empty(size), np.empty(size, np.float32), np.empty(size, np.float32)
        direct(*(array.astype(np.float64) for array in sources), exact, *how)
        direct(*sources, plain, *how)
        assert winograd(*sources, fast, *how)
        for measure in (lambda error: np.abs(error).max(), lambda error: np.sqrt((error**2).mean())):
            assert 0 < measure(fast - exact) < 10 * measure(plain - exact), way


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("outputs", "tiles"), [(9, True), (65, False)])
def test_a_number_that_is_not_finite_goes_where_the_sum_takes_it(outputs, tiles, bad):
    how = {**PLAIN, "padding": (1, 1)}
    geo = geometry_of((2, 8, 9, 10), outputs)
    assert fits(geo, FLOAT32)
    assert winograd_tiles_calls.suits(geo, FLOAT32) == tiles
    x, w, g = (numbers(shape, np.float32) for shape in (geo.x_shape, geo.w_shape, geo.y_shape))

    def check(found, wanted):
        np.testing.assert_array_equal(what_is_not_finite(found), what_is_not_finite(wanted))
        agree(found[np.isfinite(wanted)], wanted[np.isfinite(wanted)])

    with np.errstate(invalid="ignore"):
        for place in [(0, 0), (8, 9), (0, 9), (4, 4), (3, 6), (7, 1)]:
            broken_x, broken_g = x.copy(), g.copy()
            broken_x[(1, 5, *place)] = broken_g[(1, 5, *place)] = bad
            padded = np.pad(broken_x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            check(conv.conv_forward(broken_x, w, **how), naive.conv_forward(padded, w, **PLAIN))
            check(
                conv.conv_input_grad(broken_g, w, spatial=(9, 10), **how),
                naive.conv_input_grad(broken_g, w, spatial=(9, 10), **how),
            )
            check(
                conv.conv_weight_grad(g, broken_x, kernel=(3, 3), **how),
                naive.conv_weight_grad(g, padded, kernel=(3, 3), **PLAIN),
            )


def test_large_numbers_that_overflow_in_the_transform_only_are_summed_directly():
    """Bᵀ d B is up to 16 times as large as d; the outputs are small, since the weights are."""
    geo = geometry_of((1, 8, 9, 10), 8)
    x, g = (np.full(shape, 1e38, np.float32) for shape in (geo.x_shape, geo.y_shape))
    x[..., ::2], g[..., ::2] = -1e38, -1e38
    w, small = numbers(geo.w_shape, np.float32) / 100, np.full_like(g, 0.01)
    how = {**PLAIN, "padding": (1, 1)}
    doors = {
        "forward": lambda: conv.conv_forward(x, w, **how),
        "input": lambda: conv.conv_input_grad(g, w, spatial=(9, 10), **how),
        "weight": lambda: conv.conv_weight_grad(small, x, kernel=(3, 3), **how),
    }
    flat = (x.reshape(-1), w.reshape(-1), g.reshape(-1))
    for way, direct, winograd, (first, second), size, rest in both_ways(geo, *flat):
        if way == "weight":
            first = small.reshape(-1)
        wanted = np.empty(size, np.float32)
        assert not winograd(first, second, wanted.copy(), *rest)
        direct(first, second, wanted, *rest)
        assert np.isfinite(wanted).all()
        np.testing.assert_array_equal(doors[way]().reshape(-1), wanted)


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("tiles", [64, 128])
@pytest.mark.parametrize(
    ("x_shape", "padding"),
    [((5, 8, 7, 9), 1), ((33, 8, 9, 8), 0), ((2, 8, 120, 13), 2), ((1, 8, 30, 301), 1)],
)
def test_blocks_of_tiles_store_each_output_once(x_shape, padding, tiles, lanes):
    for of_input in (False, True):
        geo = geometry_of(x_shape, 8, (padding, padding))
        how = tiles_plan(geo, of_input, lanes, tiles)
        high, wide = (geo.size if of_input else geo.out)[1:]
        stored = np.zeros((x_shape[0] + how.box, high, wide), int)
        places = how.places.reshape(how.spatial, -1, 4)
        for block in range(how.count):
            for image, place, column, lines in places[block % how.spatial]:
                n, first = (
                    block // how.spatial * how.box + image // (8 * high * wide),
                    (place - column) // wide,
                )
                stored[n, first : first + lines, max(column, 0) : max(column + lanes // 2, 0)] += 1
        np.testing.assert_array_equal(stored[: x_shape[0]], 1)


def test_some_blocks_of_tiles_hold_several_images_and_some_a_part_of_one():
    small, large = (tiles_plan(geometry_of((17, 8, *size), 8), False, 16, 64) for size in ((7, 9), (120, 13)))
    assert 17 % small.box
    assert large.spatial > 1


def test_rows_that_fill_up_a_tile_are_zeros():
    """Whatever lies in the memory: products of denormal numbers would take many times as long."""
    import numba

    @numba.njit
    def points(tiles, channels, like):
        return aligned_points(tiles, channels, like), stride_of(tiles, channels)

    like = np.zeros(1, np.float32)
    for tiles, channels in ((28, 64), (5, 16), (8, 32)):
        size = points(tiles, channels, like)[0].size
        for _ in range(8):
            np.full(size + 16, 1e-40, np.float32)
        found, step = points(tiles, channels, like)
        assert (found.reshape(-1, step)[:, tiles * channels :] == 0).all()
