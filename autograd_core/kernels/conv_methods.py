"""Which method computes a convolution, and its call: strips, stencils, BLAS, Winograd's, or the register tile.

Arrays come flat. What depends on the shapes alone, tables, sizes, number of tasks, is made once for each geometry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import (
    conv_inplace,
    conv_meet,
    conv_product,
    conv_stencil,
    conv_tile,
    conv_tile_weight,
    strip_calls,
    winograd,
    winograd_tiles_calls,
)
from autograd_core.kernels.conv_geometry import Geometry
from autograd_core.kernels.conv_pack import pack
from autograd_core.kernels.conv_plan import LEAST_BLOCKS, MOST_TASKS, SERIAL, Table, evenly, plan
from autograd_core.kernels.launch import Constants, all_finite, any_set, scratch, table
from autograd_core.kernels.products import MOST_X, blas, function_of
from autograd_core.kernels.stencil_plan import SEGMENT, StencilPlan, stencil_plan
from autograd_core.kernels.vector import BITS, ROWS, vector_lanes, width_of
from autograd_core.kernels.winograd_plan import fits, winograd_plan

Array = npt.NDArray

# A task of the weight-gradient takes that many (output channel, tap): fewer, and copying its window would show.
LEAST_SHARE = 288
# A product's images are cut until there are that many tasks, of that many positions at least.
LEAST_IMAGES, LEAST_POSITIONS = 8, 256
# Positions from which a product sums a weight-gradient faster than the register tile: in 512 bits any number (18 shapes
# of 1 to 784 positions: 0.43–0.94 of the time, by the own product or BLAS), on Zen 3 a thousand.
LONG_PRODUCT = 0 if BITS == 512 else 1024


class Call(NamedTuple):
    """A kernel's call for one geometry."""

    constants: Constants
    tasks: int
    size: int  # elements of its weights or sums
    rest: tuple[Any, ...]  # what else the method needs


class Ending(NamedTuple):
    """What is done to the sums before they are stored."""

    bias: Array  # of the output's channels, or empty
    rectified: bool = False


@cache
def no_bias(dtype: np.dtype) -> Array:
    """A bias of no channels."""
    return table(np.empty(0, dtype.newbyteorder("=")))


def _given(ending: Ending | None, w: Array) -> Ending:
    return ending or Ending(no_bias(w.dtype))


def convolve(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> None:
    """Forward (x, w → y) or, of_input, the input-gradient (g, w → dx)."""
    if strip_calls.suits(geo, of_input):
        strip_calls.convolve(source, w, out, geo, of_input)
    elif _suits_stencil(geo, of_input):
        _stencil(source, w, out, geo, of_input)
    elif _suits_product(geo) and blas() is not None:
        _product(source, w, out, geo, of_input)
    else:
        winograd_of = _winograd_tiles if winograd_tiles_calls.suits(geo, w.dtype) else _winograd
        if not (fits(geo, w.dtype) and winograd_of(source, w, out, geo, of_input, ending)):
            _direct(source, w, out, geo, of_input, ending)
        return
    if ending is not None:
        _, outer, _, plane = _ends(geo, of_input)
        tasks = geo.batch * geo.groups * outer
        conv_tile.finish_planes(out, *ending, plane, tasks=tasks, serial=geo.multiply_adds < SERIAL)


def weight_grad(g: Array, x: Array, dw: Array, geo: Geometry) -> None:
    """dw from g and x."""
    if strip_calls.suits(geo, of_input=False):
        strip_calls.weight_grad(g, x, dw, geo)
    elif _suits_stencil(geo, of_input=False) and geo.inputs <= conv_stencil.OUTER:
        _weight_stencil(g, x, dw, geo)
    elif _suits_product(geo) and math.prod(geo.out) >= LONG_PRODUCT and blas() is not None:
        return _weight_product(g, x, dw, geo)
    else:
        winograd_of = (
            _weight_winograd_tiles if winograd_tiles_calls.suits_weight(geo, g.dtype) else _weight_winograd
        )
        if fits(geo, g.dtype) and winograd_of(g, x, dw, geo):
            return
        _weight_direct(g, x, dw, geo)
    if not all_finite(dw):
        _weight_by_tap(g, x, dw, geo)


def _ends(geo: Geometry, of_input: bool) -> tuple[int, int, int, int]:
    """Channels of the source and of the output in a group, elements of a channel of each."""
    x, y = math.prod(geo.size), math.prod(geo.out)
    return (geo.outputs, geo.inputs, y, x) if of_input else (geo.inputs, geo.outputs, x, y)


class Packing(NamedTuple):
    """The taps of all passes, one after the other, and where those of each pass begin."""

    taps: Array
    first: Array

    @classmethod
    def of(cls, passes: Sequence[Table]) -> Packing:
        taps = np.concatenate([np.zeros(0, np.int64), *passes])
        return cls(table(taps), table(np.cumsum([0, *(each.size for each in passes)])))


def _packed(w: Array, geo: Geometry, of_input: bool, packing: Packing, width: int) -> Array:
    """The weights as the kernels read them: see `conv_pack.pack`."""
    inner, outer, _, _ = _ends(geo, of_input)
    blocks = geo.groups * -(-outer // width)
    packed = scratch(blocks * inner * packing.taps.size * width, w.dtype)
    pack(
        w, packed, *packing, inner, outer, geo.taps, width, int(of_input), tasks=blocks,
        serial=packed.size < SERIAL // 4,
    )  # fmt: skip
    return packed


# Stencils -------------------------------------------------------------------------------------------------------


def _suits_stencil(geo: Geometry, of_input: bool) -> bool:
    """Few output channels in a group. A stencil takes each source element of a line or every second one."""
    return (geo.inputs if of_input else geo.outputs) <= conv_stencil.OUTER and (
        of_input or geo.stride[2] <= 2
    )


def _stencil_constants(how: StencilPlan, geo: Geometry, of_input: bool, dtype: np.dtype) -> tuple[Any, ...]:
    """What both kernels need to know; the masks as their floats see them."""
    inner, outer, _, _ = _ends(geo, of_input)
    masks = how.masks.astype(f"i{dtype.itemsize}").view(dtype).reshape(-1)
    return (
        masks, how.segments, how.passes, how.stencils, how.steps, geo.batch * geo.groups, geo.groups, inner, outer,
        how.wrap, how.span, how.sums, int(how.flat), how.across, how.every, how.pitch,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _stencil_call(geo: Geometry, of_input: bool, dtype: np.dtype) -> Call:
    how = stencil_plan(geo, of_input)
    _, _, source_plane, out_plane = _ends(geo, of_input)
    tasks = min(geo.batch * geo.groups * (how.segments.size // SEGMENT), MOST_TASKS)
    constants = Constants(
        conv_stencil.convolve, *_stencil_constants(how, geo, of_input, dtype), how.width, how.step_h, how.step_w,
        how.masks.shape[1], source_plane, out_plane, tasks,
    )  # fmt: skip
    return Call(constants, tasks, 0, (Packing.of([how.order]),))


def _stencil(source: Array, w: Array, out: Array, geo: Geometry, of_input: bool) -> None:
    call = _stencil_call(geo, of_input, w.dtype)
    weights = _packed(w, geo, of_input, call.rest[0], 1)
    conv_stencil.convolve(
        source, weights, out, call.constants, tasks=call.tasks, serial=geo.multiply_adds < SERIAL
    )


@lru_cache(maxsize=256)
def _weight_stencil_call(geo: Geometry, dtype: np.dtype) -> Call:
    how = stencil_plan(geo, False)
    inner, outer, x_plane, g_plane = _ends(geo, of_input=False)
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
    inner, outer, plane, _ = _ends(geo, of_input)
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
    inputs, outputs, plane, _ = _ends(geo, of_input=False)
    chunks = min(geo.batch, LEAST_IMAGES)
    sums = scratch(chunks * outputs * inputs, g.dtype)
    terms = evenly(plane, max(1, MOST_X // outputs))
    function = function_of(outputs, terms, inputs, 0, 1, g.dtype)
    conv_product.sum_chunks(
        g, x, sums, function, g.itemsize, geo.batch, inputs, outputs, plane, terms, chunks,
        tasks=chunks, serial=geo.multiply_adds < SERIAL,
    )  # fmt: skip
    conv_product.add_chunks(sums, dw, chunks, tasks=1, serial=True)


# The direct sum -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _windowed_call(geo: Geometry, of_input: bool, dtype: np.dtype) -> Call:
    how = plan(geo, of_input, dtype.itemsize)
    blocks = how.blocks
    inner, outer, source_plane, out_plane = _ends(geo, of_input)
    width = width_of(dtype, outer)
    parts = _parts(-(-outer // width), blocks.count * geo.groups)
    terms = max(1, *(inner * taps.size for taps in how.taps))
    terms = evenly(terms, conv_tile.WEIGHT_BYTES // (width * dtype.itemsize))
    constants = Constants(
        conv_tile.convolve, how.passes, how.rows, how.targets, how.steps, *blocks.reads, *blocks.writes, geo.batch,
        geo.groups, inner, outer, blocks.images, blocks.positions, blocks.window, source_plane, out_plane, width,
        terms, parts,
    )  # fmt: skip
    return Call(constants, blocks.count * geo.groups * parts, 0, (Packing.of(how.taps), width))


def _windowed(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> None:
    call = _windowed_call(geo, of_input, w.dtype)
    packed = _packed(w, geo, of_input, *call.rest)
    conv_tile.convolve(
        source, packed, out, *_given(ending, w), call.constants, tasks=call.tasks, serial=geo.multiply_adds < SERIAL
    )  # fmt: skip


@lru_cache(maxsize=256)
def _in_place_call(geo: Geometry, of_input: bool, dtype: np.dtype) -> Call:
    how = conv_meet.meet_plan(geo, of_input)
    inner, outer, source_plane, out_plane = _ends(geo, of_input)
    width = width_of(dtype, outer)
    parts = _parts(-(-outer // width), how.count * geo.groups)
    constants = Constants(
        conv_inplace.convolve, how.blocks, how.passes, how.rows, how.targets, how.steps, *how.writes, geo.groups, inner,
        outer, how.images, how.positions, source_plane, out_plane, width,
        evenly(how.terms, conv_tile.WEIGHT_BYTES // (width * dtype.itemsize)), parts,
    )  # fmt: skip
    return Call(constants, how.count * geo.groups * parts, 0, (Packing.of(how.taps), width))


def _in_place(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> None:
    call = _in_place_call(geo, of_input, w.dtype)
    packed = _packed(w, geo, of_input, *call.rest)
    conv_inplace.convolve(
        source, packed, out, *_given(ending, w), call.constants, tasks=call.tasks, serial=geo.multiply_adds < SERIAL
    )  # fmt: skip


def _direct(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> None:
    (_in_place if conv_meet.suits(geo, of_input) else _windowed)(source, w, out, geo, of_input, ending)


@lru_cache(maxsize=256)
def _weight_direct_call(geo: Geometry, dtype: np.dtype) -> Call:
    width = width_of(dtype, geo.outputs)
    how = plan(geo, False, dtype.itemsize, conv_tile_weight.SLOPE_BYTES // (width * dtype.itemsize))
    blocks, wide = how.blocks, -(-geo.outputs // width)
    inner, outer, x_plane, g_plane = _ends(geo, of_input=False)
    rows = np.append(how.steps, how.steps[-1:].repeat(-how.steps.size % ROWS))
    # A task copies its windows anew: it takes so many output channels that this does not show.
    parts = min(wide, -(-geo.outputs * geo.taps // LEAST_SHARE))
    chunks = min(blocks.count, -(-LEAST_BLOCKS // (geo.groups * parts)))
    constants = Constants(
        conv_tile_weight.sum_chunks, rows, np.arange(rows.size), how.rows[: blocks.images * blocks.positions],
        *blocks.reads, *blocks.writes, geo.batch, geo.groups, inner, outer, blocks.images, blocks.positions,
        blocks.window, x_plane, g_plane, width, chunks, parts,
    )  # fmt: skip
    size = chunks * geo.groups * wide * rows.size * width
    return Call(constants, chunks * geo.groups * parts, size, (rows.size, chunks, width, geo.groups * wide))


def _weight_direct(g: Array, x: Array, dw: Array, geo: Geometry) -> None:
    call = _weight_direct_call(geo, g.dtype)
    sums, serial = scratch(call.size, g.dtype), geo.multiply_adds < SERIAL
    conv_tile_weight.sum_chunks(g, x, sums, call.constants, tasks=call.tasks, serial=serial)
    _add_chunks(sums, dw, geo, call, serial)


def _add_chunks(sums: Array, dw: Array, geo: Geometry, call: Call, serial: bool) -> None:
    *rest, tasks = call.rest
    conv_tile_weight.add_chunks(
        sums, dw, geo.outputs, geo.inputs * geo.taps, *rest, tasks=tasks, serial=serial
    )


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


# Winograd's -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _winograd_call(geo: Geometry, of_input: bool, dtype: np.dtype) -> Call:
    inner, outer, source_plane, out_plane = _ends(geo, of_input)
    width = width_of(dtype, outer)
    how = winograd_plan(geo, of_input, vector_lanes(dtype), width)
    blocks = how.blocks
    wide = -(-outer // width)
    parts = _parts(wide, blocks.count * geo.groups)
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
    winograd.filter_points(w, points, *rest, int(of_input), tasks=blocks, serial=serial)
    bad = scratch(call.tasks, np.uint8)
    winograd.convolve(
        source, points, out, *_given(ending, w), bad, call.constants, tasks=call.tasks, serial=serial
    )
    return not any_set(bad)


@lru_cache(maxsize=256)
def _weight_winograd_call(geo: Geometry, dtype: np.dtype) -> Call:
    width = width_of(dtype, geo.outputs)
    how = winograd_plan(geo, False, vector_lanes(dtype), width)
    blocks, wide = how.blocks, -(-geo.outputs // width)
    inner, outer, x_plane, g_plane = _ends(geo, of_input=False)
    chunks = min(blocks.count, -(-LEAST_BLOCKS // geo.groups))
    parts = _parts(wide, geo.groups * chunks)
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
    _add_chunks(sums, dw, geo, call, serial)
    return all_finite(dw)


def _winograd_tiles(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> bool:
    """_winograd with lanes along tiles."""
    return winograd_tiles_calls.convolve(source, w, out, geo, of_input, *_given(ending, w))


def _weight_winograd_tiles(g: Array, x: Array, dw: Array, geo: Geometry) -> bool:
    """The same for the weight-gradient."""
    return winograd_tiles_calls.weight_grad(g, x, dw, geo)


def _parts(wide: int, blocks: int) -> int:
    """Into how many parts the output channels are cut where there are few blocks."""
    return min(wide, -(-LEAST_BLOCKS // blocks))
