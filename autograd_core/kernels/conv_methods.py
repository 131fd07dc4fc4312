"""Which method computes a convolution, and its call.

Strips, lanes along columns, stencils, products, Winograd's, or the register tile with lanes along channels.

Arrays come flat.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from autograd_core.kernels import (
    conv_columns_calls,
    conv_direct,
    conv_product,
    conv_stencil,
    conv_tile,
    strip_calls,
    winograd,
    winograd_line_calls,
    winograd_line_plan,
    winograd_tiles_calls,
)
from autograd_core.kernels.conv_call import (
    Array,
    Call,
    Ending,
    Packing,
    add_chunks,
    ends_of,
    given,
    packed_weights,
    parts_of,
)
from autograd_core.kernels.conv_geometry import Geometry
from autograd_core.kernels.conv_plan import LEAST_BLOCKS, MOST_TASKS, SERIAL, evenly
from autograd_core.kernels.launch import Constants, all_finite, any_set, scratch, table
from autograd_core.kernels.products import MOST_X, blas, function_of, suits_own
from autograd_core.kernels.stencil_plan import SEGMENT, StencilPlan, stencil_plan
from autograd_core.kernels.vector import BITS, vector_lanes, width_of
from autograd_core.kernels.winograd_plan import fits, winograd_plan

# A product's images are cut until there are that many tasks, of that many positions at least.
LEAST_IMAGES, LEAST_POSITIONS = 8, 256
# Positions from which a product sums a weight-gradient faster than the register tile: in 512 bits the tile takes
# 0.26–0.94 of the time for fewer (8 shapes of 1 to 49), 0.79–1.19 for 64, on Zen 3 a thousand.
LONG_PRODUCT = 64 if BITS == 512 else 1024
# Most output channels for which a weight-gradient is x · gᵀ, its transpose, for the own product packs the right one:
# 0.87–0.94 of the time for 64 and 128 (7 shapes with more input channels), 1.08 for 256.
MOST_PACKED = 128


def convolve(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> None:
    """Forward (x, w → y) or, of_input, the input-gradient (g, w → dx).

    Of weights that are not finite, every method gives what the plain sum gives: forward, the padding's zeros are
    multiplied too, and 0 · ∞ is NaN; the input-gradient sums only products that the forward convolution has.
    """
    lines = winograd_line_plan.suits(geo, of_input, w.dtype)
    if lines and winograd_line_calls.convolve(source, w, out, geo, of_input, ending):
        return
    strips, columns = strip_calls.suits(geo, of_input), conv_columns_calls.suits(geo, of_input, w.dtype)
    if of_input and (strips or columns) and not all_finite(w):  # zeros stand around g, and 0 · ∞ is NaN
        return conv_direct.in_place(source, w, out, geo, of_input, ending)
    stencil = not strips and not columns and _suits_stencil(geo, of_input)
    if (strips or stencil) and conv_direct.skips_nan(w, geo, of_input):
        return conv_direct.windowed(source, w, out, geo, of_input, ending)
    if strips:
        strip_calls.convolve(source, w, out, geo, of_input)
    elif columns:
        return conv_columns_calls.convolve(source, w, out, geo, of_input, ending)
    elif stencil:
        _stencil(source, w, out, geo, of_input)
    elif _suits_product(geo) and blas() is not None:
        _product(source, w, out, geo, of_input)
    else:
        winograd_of = _winograd_tiles if winograd_tiles_calls.suits(geo, w.dtype) else _winograd
        if not (fits(geo, w.dtype) and winograd_of(source, w, out, geo, of_input, ending)):
            conv_direct.convolve(source, w, out, geo, of_input, ending)
        return
    if ending is not None:
        _, outer, _, plane = ends_of(geo, of_input)
        tasks = geo.batch * geo.groups * outer
        conv_tile.finish_planes(out, *ending, plane, tasks=tasks, serial=geo.multiply_adds < SERIAL)


def weight_grad(g: Array, x: Array, dw: Array, geo: Geometry) -> None:
    """dw from g and x."""
    if strip_calls.suits(geo, of_input=False):
        strip_calls.weight_grad(g, x, dw, geo)
    elif _suits_stencil(geo, of_input=False) and geo.inputs <= conv_stencil.OUTER:
        _weight_stencil(g, x, dw, geo)
    elif conv_columns_calls.suits_weight(geo, g.dtype):
        conv_columns_calls.weight_grad(g, x, dw, geo)
    elif _suits_product(geo) and math.prod(geo.out) >= LONG_PRODUCT and blas() is not None:
        return _weight_product(g, x, dw, geo)
    else:
        winograd_of = (
            _weight_winograd_tiles if winograd_tiles_calls.suits_weight(geo, g.dtype) else _weight_winograd
        )
        if fits(geo, g.dtype) and winograd_of(g, x, dw, geo):
            return
        conv_direct.weight_grad(g, x, dw, geo)
    if not all_finite(dw):
        _weight_by_tap(g, x, dw, geo)


def _weight_by_tap(g: Array, x: Array, dw: Array, geo: Geometry) -> None:
    """The same, of numbers that are not all finite: each tap's sum over the pairs of g and x that it multiplies.

    The fast kernels run over whole blocks, and multiply what lies outside by 0; ∞ and NaN would show in taps that never
    touch them.
    """
    around = [(p, p) for p in geo.padding]
    x = np.pad(x.reshape(geo.batch, geo.groups, geo.inputs, *geo.size), [(0, 0)] * 3 + around)
    slopes = np.moveaxis(g.reshape(geo.batch, geo.groups, geo.outputs, -1), 0, 2)
    slopes = slopes.reshape(geo.groups, geo.outputs, -1)
    by_tap = dw.reshape(geo.groups, geo.outputs, geo.inputs, *geo.kernel)
    for tap in np.ndindex(*geo.kernel):
        starts = [k * d for k, d in zip(tap, geo.dilation)]
        ends = [at + (out - 1) * s + 1 for at, out, s in zip(starts, geo.out, geo.stride)]
        met = x[:, :, :, *map(slice, starts, ends, geo.stride)]
        values = np.moveaxis(met, 0, 2).reshape(geo.groups, geo.inputs, -1)
        by_tap[:, :, :, *tap] = slopes @ values.swapaxes(1, 2)


# Stencils -------------------------------------------------------------------------------------------------------


def _suits_stencil(geo: Geometry, of_input: bool) -> bool:
    """Few output channels in a group. A stencil takes each source element of a line or every second one."""
    return (geo.inputs if of_input else geo.outputs) <= conv_stencil.OUTER and (
        of_input or geo.stride[2] <= 2
    )


def _stencil_constants(how: StencilPlan, geo: Geometry, of_input: bool, dtype: np.dtype) -> tuple[Any, ...]:
    """What both kernels need to know; the masks as their floats see them."""
    inner, outer, _, _ = ends_of(geo, of_input)
    masks = how.masks.astype(f"i{dtype.itemsize}").view(dtype).reshape(-1)
    return (
        masks, how.segments, how.passes, how.stencils, how.steps, geo.batch * geo.groups, geo.groups, inner, outer,
        how.wrap, how.span, how.sums, int(how.flat), how.across, how.every, how.pitch,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _stencil_call(geo: Geometry, of_input: bool, dtype: np.dtype) -> Call:
    how = stencil_plan(geo, of_input)
    _, _, source_plane, out_plane = ends_of(geo, of_input)
    tasks = min(geo.batch * geo.groups * (how.segments.size // SEGMENT), MOST_TASKS)
    constants = Constants(
        conv_stencil.convolve, *_stencil_constants(how, geo, of_input, dtype), how.width, how.step_h, how.step_w,
        how.masks.shape[1], source_plane, out_plane, tasks,
    )  # fmt: skip
    return Call(constants, tasks, 0, (Packing.of([how.order]),))


def _stencil(source: Array, w: Array, out: Array, geo: Geometry, of_input: bool) -> None:
    call = _stencil_call(geo, of_input, w.dtype)
    weights = packed_weights(w, geo, of_input, call.rest[0], 1)
    conv_stencil.convolve(
        source, weights, out, call.constants, tasks=call.tasks, serial=geo.multiply_adds < SERIAL
    )


@lru_cache(maxsize=256)
def _weight_stencil_call(geo: Geometry, dtype: np.dtype) -> Call:
    how = stencil_plan(geo, False)
    inner, outer, x_plane, g_plane = ends_of(geo, of_input=False)
    chunks = min(geo.batch * (how.segments.size // SEGMENT), -(-LEAST_BLOCKS // geo.groups))
    constants = Constants(
        conv_stencil.weight_grad, *_stencil_constants(how, geo, False, dtype), how.masks.shape[1], x_plane, g_plane,
        chunks,
    )  # fmt: skip
    rows = geo.groups * outer * inner
    return Call(
        constants, geo.groups * chunks, chunks * rows * how.order.size, (table(how.order), rows, chunks)
    )


def _weight_stencil(g: Array, x: Array, dw: Array, geo: Geometry) -> None:
    call = _weight_stencil_call(geo, g.dtype)
    sums = scratch(call.size, g.dtype)
    conv_stencil.weight_grad(g, x, sums, call.constants, tasks=call.tasks, serial=geo.multiply_adds < SERIAL)
    conv_stencil.add_chunks(sums, dw, *call.rest, tasks=1, serial=True)


# Matrix products ------------------------------------------------------------------------------------------------


def _suits_product(geo: Geometry) -> bool:
    """1×1, with nothing around or between: images are matrices as they lie."""
    return geo.taps == 1 and geo.groups == 1 and set(geo.stride) == {1} and set(geo.padding) == {0}


def _product(source: Array, w: Array, out: Array, geo: Geometry, of_input: bool) -> None:
    inner, outer, plane, _ = ends_of(geo, of_input)
    parts = max(1, min(-(-LEAST_IMAGES // geo.batch), plane // LEAST_POSITIONS))
    function = function_of(outer, inner, -(-plane // parts), 0, 0, w.dtype)
    if of_input:
        turned = scratch(w.size, w.dtype)
        conv_product.turn_weights(w, turned, inner, outer, tasks=1, serial=True)
        w = turned
    conv_product.convolve(
        source, w, out, function, w.itemsize, inner, outer, plane, parts,
        tasks=geo.batch * parts, serial=geo.multiply_adds < SERIAL,
    )  # fmt: skip


def _weight_product(g: Array, x: Array, dw: Array, geo: Geometry) -> None:
    inputs, outputs, plane, _ = ends_of(geo, of_input=False)
    chunks = min(geo.batch, LEAST_IMAGES)
    sums = scratch(chunks * outputs * inputs, g.dtype)
    turned = outputs < inputs and outputs <= MOST_PACKED and suits_own(inputs, plane, outputs, 0, 1, g.dtype)
    left, right, rows, columns = (x, g, inputs, outputs) if turned else (g, x, outputs, inputs)
    terms = evenly(plane, max(1, MOST_X // rows))
    function = function_of(rows, terms, columns, 0, 1, g.dtype)
    conv_product.sum_chunks(
        left, right, sums, function, g.itemsize, geo.batch, columns, rows, plane, terms, chunks,
        tasks=chunks, serial=geo.multiply_adds < SERIAL,
    )  # fmt: skip
    added = scratch(dw.size, dw.dtype) if turned else dw
    conv_product.add_chunks(sums, added, chunks, tasks=1, serial=True)
    if turned:
        conv_product.turn_weights(added, dw, inputs, outputs, tasks=1, serial=True)


# Winograd's -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _winograd_call(geo: Geometry, of_input: bool, dtype: np.dtype) -> Call:
    inner, outer, source_plane, out_plane = ends_of(geo, of_input)
    width = width_of(dtype, outer)
    how = winograd_plan(geo, of_input, vector_lanes(dtype), width)
    blocks = how.blocks
    wide = -(-outer // width)
    parts = parts_of(wide, blocks.count * geo.groups)
    constants = Constants(
        winograd.convolve, how.places, how.inputs, how.outputs, *blocks.reads, *blocks.writes, how.images, geo.groups,
        inner, outer, how.channels, blocks.images, blocks.positions, blocks.window, how.breadth,
        (geo.size if of_input else geo.out)[2], how.overhang, source_plane // how.depths[1], out_plane // how.depths[0],
        *how.depths, how.filter_step, width, parts,
    )  # fmt: skip
    size = geo.groups * wide * winograd.POINTS * how.filter_step
    return Call(
        constants, blocks.count * geo.groups * parts, size,
        (inner, outer, geo.kernel[0], how.channels, how.filter_step, width, geo.groups * wide),
    )  # fmt: skip


def _winograd(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> bool:
    """False where the result is not finite, and the direct sum is to be taken."""
    call = _winograd_call(geo, of_input, w.dtype)
    *rest, blocks = call.rest
    serial = geo.multiply_adds < SERIAL
    points = scratch(call.size, w.dtype)
    winograd.filter_points(w, points, *rest, int(of_input), tasks=blocks, serial=points.size < SERIAL)
    bad = scratch(call.tasks, np.uint8)
    winograd.convolve(
        source, points, out, *given(ending, w), bad, call.constants, tasks=call.tasks, serial=serial
    )
    return not any_set(bad)


@lru_cache(maxsize=256)
def _weight_winograd_call(geo: Geometry, dtype: np.dtype) -> Call:
    width = width_of(dtype, geo.outputs)
    how = winograd_plan(geo, False, vector_lanes(dtype), width)
    blocks, wide = how.blocks, -(-geo.outputs // width)
    inner, outer, x_plane, g_plane = ends_of(geo, of_input=False)
    chunks = min(blocks.count, -(-LEAST_BLOCKS // geo.groups))
    parts = parts_of(wide, geo.groups * chunks)
    constants = Constants(
        winograd.sum_chunks, how.places, how.inputs, how.slope_places, how.slope_inputs, *blocks.reads, *blocks.writes,
        how.images, geo.groups, inner, outer, how.channels, blocks.images, blocks.window, how.breadth,
        how.slopes, how.pitch, x_plane // how.depths[1], g_plane // how.depths[0], *how.depths, width, chunks, parts,
    )  # fmt: skip
    terms = inner * geo.taps
    return Call(
        constants, chunks * geo.groups * parts, chunks * geo.groups * wide * terms * width,
        (terms, chunks, width, geo.groups * wide),
    )  # fmt: skip


def _weight_winograd(g: Array, x: Array, dw: Array, geo: Geometry) -> bool:
    """False where the result is not finite, and the direct sum is to be taken."""
    call = _weight_winograd_call(geo, g.dtype)
    sums, serial = scratch(call.size, g.dtype), geo.multiply_adds < SERIAL
    winograd.sum_chunks(g, x, sums, call.constants, tasks=call.tasks, serial=serial)
    add_chunks(sums, dw, geo, call)
    return all_finite(dw)


def _winograd_tiles(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> bool:
    """_winograd with lanes along tiles."""
    return winograd_tiles_calls.convolve(source, w, out, geo, of_input, *given(ending, w))


def _weight_winograd_tiles(g: Array, x: Array, dw: Array, geo: Geometry) -> bool:
    """The same for the weight-gradient."""
    return winograd_tiles_calls.weight_grad(g, x, dw, geo)
