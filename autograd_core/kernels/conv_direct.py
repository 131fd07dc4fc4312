"""The direct sum on the register tile: its calls, from the source where it lies or from padded windows."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from autograd_core.kernels import conv_inplace, conv_meet, conv_tile, conv_tile_weight, conv_weight_plan
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
from autograd_core.kernels.conv_plan import LEAST_BLOCKS, SERIAL, evenly, plan
from autograd_core.kernels.conv_weight_plan import place_plan, window_plan
from autograd_core.kernels.launch import Constants, all_finite, scratch
from autograd_core.kernels.vector import width_of

# A task of the weight-gradient takes that many (output channel, tap): fewer, and copying its window would show.
LEAST_SHARE = 288


@lru_cache(maxsize=256)
def _windowed_call(geo: Geometry, of_input: bool, dtype: np.dtype) -> Call:
    how = plan(geo, of_input, dtype.itemsize)
    blocks = how.blocks
    inner, outer, source_plane, out_plane = ends_of(geo, of_input)
    width = width_of(dtype, outer)
    parts = parts_of(-(-outer // width), blocks.count * geo.groups)
    terms = max(1, *(inner * taps.size for taps in how.taps))
    terms = evenly(terms, conv_tile.WEIGHT_BYTES // (width * dtype.itemsize))
    constants = Constants(
        conv_tile.convolve, how.passes, how.rows, how.targets, how.steps, *blocks.reads, *blocks.writes, geo.batch,
        geo.groups, inner, outer, blocks.images, blocks.positions, blocks.window, source_plane, out_plane, width,
        terms, parts,
    )  # fmt: skip
    return Call(constants, blocks.count * geo.groups * parts, 0, (Packing.of(how.taps), width))


def windowed(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> None:
    """Forward or, of_input, the input-gradient, from windows with the padding in them."""
    call = _windowed_call(geo, of_input, w.dtype)
    packed = packed_weights(w, geo, of_input, *call.rest)
    conv_tile.convolve(
        source, packed, out, *given(ending, w), call.constants, tasks=call.tasks, serial=geo.multiply_adds < SERIAL
    )  # fmt: skip


@lru_cache(maxsize=256)
def _in_place_call(geo: Geometry, of_input: bool, dtype: np.dtype) -> Call:
    how = conv_meet.meet_plan(geo, of_input)
    inner, outer, source_plane, out_plane = ends_of(geo, of_input)
    width = width_of(dtype, outer)
    parts = parts_of(-(-outer // width), how.count * geo.groups)
    constants = Constants(
        conv_inplace.convolve, how.blocks, how.passes, how.rows, how.targets, how.steps, *how.writes, geo.groups, inner,
        outer, how.images, how.positions, source_plane, out_plane, width,
        evenly(how.terms, conv_tile.WEIGHT_BYTES // (width * dtype.itemsize)), parts,
    )  # fmt: skip
    return Call(constants, how.count * geo.groups * parts, 0, (Packing.of(how.taps), width))


def in_place(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> None:
    """The same from the source where it lies."""
    call = _in_place_call(geo, of_input, w.dtype)
    packed = packed_weights(w, geo, of_input, *call.rest)
    conv_inplace.convolve(
        source, packed, out, *given(ending, w), call.constants, tasks=call.tasks, serial=geo.multiply_adds < SERIAL
    )  # fmt: skip


def skips_nan(w: Array, geo: Geometry, of_input: bool) -> bool:
    """Whether a method that leaves out the padding would miss a NaN: that of a weight which is not finite, times 0."""
    return not of_input and any(geo.padding) and not all_finite(w)


def convolve(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> None:
    """Whichever is the faster one; going back from a window, an infinite weight would spoil what it has no part in."""
    if conv_meet.suits(geo, of_input):
        placed = not skips_nan(w, geo, of_input)
    else:
        placed = of_input and not all_finite(w)
    (in_place if placed else windowed)(source, w, out, geo, of_input, ending)


@lru_cache(maxsize=256)
def _weight_call(geo: Geometry, dtype: np.dtype, windows: bool) -> Call:
    width = width_of(dtype, geo.outputs)
    most = conv_tile_weight.SLOPE_BYTES // (width * dtype.itemsize)
    how = window_plan(geo, dtype.itemsize, most) if windows else place_plan(geo, most)
    wide = -(-geo.outputs // width)
    inner, outer, x_plane, g_plane = ends_of(geo, of_input=False)
    # A task copies its windows anew: it takes so many output channels that this does not show.
    parts = min(wide, -(-geo.outputs * geo.taps // LEAST_SHARE))
    chunks = min(how.count, -(-LEAST_BLOCKS // (geo.groups * parts)))
    terms = inner * geo.taps
    constants = Constants(
        conv_tile_weight.sum_chunks, how.blocks, how.passes, how.rows, how.targets, how.steps, how.places * width,
        *how.reads, *how.writes, geo.batch, geo.groups, inner, outer, terms, how.images, how.positions, how.window,
        x_plane, g_plane, width, chunks, parts,
    )  # fmt: skip
    size = chunks * geo.groups * wide * terms * width
    return Call(constants, chunks * geo.groups * parts, size, (terms, chunks, width, geo.groups * wide))


def weight_grad(g: Array, x: Array, dw: Array, geo: Geometry) -> None:
    """dw from g and x, read in whichever way is the faster one."""
    weight_sum(g, x, dw, geo, windows=not conv_weight_plan.suits(geo))


def weight_sum(g: Array, x: Array, dw: Array, geo: Geometry, windows: bool) -> None:
    """The same from windows or in place."""
    call = _weight_call(geo, g.dtype, windows)
    sums, serial = scratch(call.size, g.dtype), geo.multiply_adds < SERIAL
    conv_tile_weight.sum_chunks(g, x, sums, call.constants, tasks=call.tasks, serial=serial)
    add_chunks(sums, dw, geo, call)
