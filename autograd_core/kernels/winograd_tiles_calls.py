"""The calls of `winograd_tiles`, one for each geometry, and when they are taken."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import conv_tile_weight, winograd, winograd_tiles
from autograd_core.kernels.conv_geometry import Geometry
from autograd_core.kernels.conv_plan import LEAST_BLOCKS, SERIAL
from autograd_core.kernels.launch import Constants, all_finite, any_set, scratch
from autograd_core.kernels.vector import BITS, vector_lanes
from autograd_core.kernels.winograd_tiles_plan import (
    LEAST_PART,
    SLOPE_VECTORS,
    TILES,
    filter_width,
    takes,
    tiles_plan,
)
from autograd_core.kernels.winograd_transform import OUTPUTS

Array = npt.NDArray


class Call(NamedTuple):
    """A kernel's call for one geometry."""

    constants: Constants
    tasks: int
    size: int  # elements of its filters' points, or of its sums
    rest: tuple[int, ...]  # arguments of the kernel before or behind it, the last its number of tasks


def suits(geo: Geometry, dtype: np.dtype) -> bool:
    """Forward and input-gradient were measured to win over lanes along channels.

    Of 4×4 pixels half a register is empty: 0.75 of the speed. 256 bits and 64 channels on 56×56: 0.91, on 8×8 1.36.
    """
    most = 64 if BITS == 512 or geo.out[2] <= 16 else 32
    return (
        takes(geo, dtype) and max(geo.inputs, geo.outputs) <= most and min(geo.size[2], geo.out[2]) > OUTPUTS
    )


def suits_weight(geo: Geometry, dtype: np.dtype) -> bool:
    """The weight-gradient was: its sums run across registers. 32 channels on 56×56 have 0.84 of the speed.

    Where two lines or more fill a register it is level, 0.99–1.09 with 32 channels on 16×16, 0.89–0.94 with 64 on 8×8,
    and a network that begins with few channels need not compile the other kernel, which takes 1.3 s. With 256 bits and
    16 channels on 32×32 it was 0.93, 0.94 and 1.13 in three runs.
    """
    most = 64 if geo.out[2] in (8, 16) else 24
    return BITS == 512 and suits(geo, dtype) and max(geo.inputs, geo.outputs) <= most


def _parts(outer: int, blocks: int) -> int:
    """Into how many parts the output channels are cut where there are few blocks: each transforms its source anew."""
    return max(1, min(outer // LEAST_PART, -(-LEAST_BLOCKS // blocks)))


@lru_cache(maxsize=256)
def _call(geo: Geometry, of_input: bool, dtype: np.dtype) -> Call:
    lanes = vector_lanes(dtype)
    how, width = tiles_plan(geo, of_input, lanes, TILES), filter_width(lanes)
    inner, outer = (geo.outputs, geo.inputs) if of_input else (geo.inputs, geo.outputs)
    (high, wide), out = (geo.out[1:], geo.size[1:]) if of_input else (geo.size[1:], geo.out[1:])
    blocks, filter_step = -(-outer // width), (inner + 1) * width
    parts = _parts(outer, how.count * geo.groups)
    constants = Constants(
        winograd_tiles.convolve, how.ends, how.places, geo.batch, geo.groups, inner, outer, how.box, how.rows,
        how.spatial, how.tiles, how.pitch, how.lead, how.low, high, wide, *out, filter_step, width, parts,
    )  # fmt: skip
    size = geo.groups * blocks * winograd.POINTS * filter_step
    return Call(
        constants, how.count * geo.groups * parts, size,
        (inner, outer, 1, inner, filter_step, width, int(of_input), geo.groups * blocks),
    )  # fmt: skip


def convolve(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, bias: Array, rectified: bool
) -> bool:
    """False where the result is not finite, and the direct sum is to be taken."""
    call, serial = _call(geo, of_input, w.dtype), geo.multiply_adds < SERIAL
    *rest, blocks = call.rest
    points = scratch(call.size, w.dtype)
    winograd.filter_points(w, points, *rest, tasks=blocks, serial=points.size < SERIAL)
    bad = scratch(call.tasks, np.uint8)
    winograd_tiles.convolve(
        source, points, out, bias, rectified, bad, call.constants, tasks=call.tasks, serial=serial
    )
    return not any_set(bad)


@lru_cache(maxsize=256)
def _weight_call(geo: Geometry, dtype: np.dtype) -> Call:
    lanes = vector_lanes(dtype)
    how, width = tiles_plan(geo, False, lanes, SLOPE_VECTORS * lanes), filter_width(lanes)
    blocks = -(-geo.outputs // width)
    chunks = min(how.count, -(-LEAST_BLOCKS // geo.groups))
    parts = _parts(geo.outputs, geo.groups * chunks)
    constants = Constants(
        winograd_tiles.sum_chunks, how.ends, geo.batch, geo.groups, geo.inputs, geo.outputs, how.box, how.rows,
        how.spatial, how.tiles, how.pitch, how.lead, how.slope_lead, how.low, *geo.size[1:], *geo.out[1:], width,
        chunks, parts,
    )  # fmt: skip
    terms = geo.inputs * geo.taps
    return Call(
        constants, chunks * geo.groups * parts, chunks * geo.groups * blocks * terms * width,
        (geo.outputs, terms, terms, chunks, width, geo.groups * blocks),
    )  # fmt: skip


def weight_grad(g: Array, x: Array, dw: Array, geo: Geometry) -> bool:
    """False where the result is not finite, and the direct sum is to be taken."""
    call, serial = _weight_call(geo, g.dtype), geo.multiply_adds < SERIAL
    *rest, blocks = call.rest
    sums = scratch(call.size, g.dtype)
    winograd_tiles.sum_chunks(g, x, sums, call.constants, tasks=call.tasks, serial=serial)
    conv_tile_weight.add_chunks(sums, dw, *rest, tasks=blocks, serial=sums.size < SERIAL)
    return all_finite(dw)
