"""Which convolutions take lanes along columns, and their calls."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from autograd_core.kernels import conv_columns, conv_columns_weight
from autograd_core.kernels.columns import ROWS
from autograd_core.kernels.conv_call import Array, Call, Ending, ends_of, given, parts_of
from autograd_core.kernels.conv_columns_plan import columns_plan, window_bytes
from autograd_core.kernels.conv_geometry import Geometry
from autograd_core.kernels.conv_plan import LEAST_BLOCKS, SERIAL
from autograd_core.kernels.conv_stencil import add_chunks
from autograd_core.kernels.launch import Constants, scratch, table
from autograd_core.kernels.vector import vector_lanes, width_of
from autograd_core.kernels.winograd_plan import fits

# Rates beside that of a register tile of two vectors, as measured (see docs/performance.md): of this one, at a stride,
# where the window is unzipped, and of the other with one vector a row, or with so few channels to sum that a position's
# tables and window show.
COLUMNS, STRIDED, SINGLE, SMALL = 0.9, 0.85, 0.8, 0.75
# The weight-gradient's, and what is left of the other where vectors of channels, which it turns, are not all whole.
DOTS, WEIGHTS, RAGGED = 0.5, 0.65, 0.6
FEW = 4  # channels
MOST_BYTES = 1 << 20  # of a window, which dilation can make large
LEAST = 2  # output channels; for fewer there are stencils


@lru_cache(maxsize=1024)
def suits(geo: Geometry, of_input: bool, dtype: np.dtype) -> bool:
    """Whether it is expected to win, by how much is kept of its work and of the register tile's."""
    inner, outer, _, _ = ends_of(geo, of_input)
    few = inner <= FEW
    if (
        outer < LEAST
        or geo.taps == 1
        or max(geo.stride[1:]) > 2
        or (fits(geo, dtype) and not (few or outer <= FEW))
    ):
        return False
    if window_bytes(geo, of_input, dtype.itemsize) > MOST_BYTES:
        return False
    strided = max(geo.stride) > 1
    lanes = vector_lanes(dtype)
    columns = -(-geo.size[2] // geo.stride[2]) if of_input else geo.out[2]
    kept = (
        COLUMNS
        * _filled(columns, lanes)
        * _filled(outer, ROWS)
        * (STRIDED if strided and not of_input else 1)
    )
    width = width_of(dtype, outer)
    other = _filled(outer, width) * (SINGLE if width == lanes else 1)
    return kept > other * (SMALL if few and not (strided and of_input) else 1)


@lru_cache(maxsize=1024)
def suits_weight(geo: Geometry, dtype: np.dtype) -> bool:
    """The same for the weight-gradient."""
    inner, outer, lanes = geo.inputs, geo.outputs, vector_lanes(dtype)
    if geo.taps == 1 or max(geo.stride[1:]) > 2 or (fits(geo, dtype) and min(inner, outer) > FEW):
        return False
    width = width_of(dtype, outer)
    kept = DOTS * _filled(geo.out[2], lanes) * _filled(outer, lanes // 2)
    other = WEIGHTS * _filled(outer, width) * (SINGLE if width == lanes else 1)
    if outer % lanes:
        other *= RAGGED
    return kept > other and window_bytes(geo, False, dtype.itemsize) <= MOST_BYTES


def _filled(count: int, units: int) -> float:
    """The part that is used of whole pieces of so many units."""
    return count / (-(-count // units) * units)


@lru_cache(maxsize=256)
def _call(geo: Geometry, of_input: bool, dtype: np.dtype) -> Call:
    inner, outer, source_plane, out_plane = ends_of(geo, of_input)
    how = columns_plan(geo, of_input, dtype.itemsize, vector_lanes(dtype))
    window, blocks = how.window, how.begins.size * geo.batch // how.images * geo.groups
    parts = parts_of(-(-outer // ROWS), blocks)
    source_line, out_line = (
        (geo.out[2], geo.size[2] * geo.stride[1]) if of_input else (geo.size[2] * geo.stride[1], geo.out[2])
    )
    constants = Constants(
        conv_columns.convolve, how.starts, how.targets, how.counts, how.steps, how.taps, how.past, how.begins,
        how.reads, how.writes, geo.groups, inner, outer, how.images, window.size, window.pitch, window.rates[1] - 1,
        source_line, out_line, source_plane, out_plane, how.each, how.room, how.row,
        geo.taps * (1 if of_input else inner), parts,
    )  # fmt: skip
    return Call(constants, blocks * parts, 0, ())


def convolve(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> None:
    """Forward (x, w → y) or, of_input, the input-gradient (g, w → dx)."""
    call = _call(geo, of_input, w.dtype)
    bias, rectified = given(ending, w)
    shift = bias if bias.size else _zeros(geo.groups * ends_of(geo, of_input)[1], w.dtype)
    conv_columns.convolve(
        source, w, out, shift, rectified, call.constants, tasks=call.tasks, serial=geo.multiply_adds < SERIAL
    )


@lru_cache(maxsize=64)
def _zeros(count: int, dtype: np.dtype) -> Array:
    return table(np.zeros(count, dtype))


@lru_cache(maxsize=256)
def _weight_call(geo: Geometry, dtype: np.dtype) -> Call:
    lanes = vector_lanes(dtype)
    how = columns_plan(geo, False, dtype.itemsize, lanes)
    inner, outer, x_plane, g_plane = ends_of(geo, of_input=False)
    window, count, terms = how.window, how.begins.size * geo.batch // how.images, inner * geo.taps
    chunks = min(count, -(-LEAST_BLOCKS // geo.groups))
    constants = Constants(
        conv_columns_weight.sum_chunks, how.starts[: how.each // lanes], table(np.append(how.steps, how.steps[-1:])),
        how.reads, how.writes, geo.groups, inner, outer, how.images, count, how.begins.size, window.size, window.pitch,
        window.rates[1] - 1, geo.size[2] * geo.stride[1], geo.out[2], x_plane, g_plane, how.row, terms, chunks,
    )  # fmt: skip
    rows = geo.groups * outer
    return Call(
        constants, chunks * geo.groups, chunks * rows * terms, (table(np.arange(terms)), rows, chunks)
    )


def weight_grad(g: Array, x: Array, dw: Array, geo: Geometry) -> None:
    """dw from g and x."""
    call = _weight_call(geo, g.dtype)
    sums = scratch(call.size, g.dtype)
    conv_columns_weight.sum_chunks(
        g, x, sums, call.constants, tasks=call.tasks, serial=geo.multiply_adds < SERIAL
    )
    add_chunks(sums, dw, *call.rest, tasks=1, serial=True)
