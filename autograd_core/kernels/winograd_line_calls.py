"""The calls of `winograd_line`, one for each geometry."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from autograd_core.kernels import winograd_line
from autograd_core.kernels.conv_call import Array, Call, Ending, Packing, ends_of, given, packed_weights
from autograd_core.kernels.conv_geometry import Geometry
from autograd_core.kernels.conv_plan import LEAST_BLOCKS, SERIAL
from autograd_core.kernels.launch import Constants, any_set, scratch
from autograd_core.kernels.vector import vector_lanes
from autograd_core.kernels.winograd_line_plan import line_plan
from autograd_core.kernels.winograd_tiles_plan import LEAST_PART, filter_width
from autograd_core.kernels.winograd_transform import SIZE, TAPS


@lru_cache(maxsize=256)
def _call(geo: Geometry, of_input: bool, dtype: np.dtype) -> Call:
    lanes = vector_lanes(dtype)
    how, width = line_plan(geo, of_input, lanes), filter_width(lanes)
    inner, outer, size, out_size = ends_of(geo, of_input)
    low = TAPS - 1 - geo.padding[2] if of_input else geo.padding[2]
    blocks, filter_step = geo.groups * -(-outer // width), (inner + 1) * width
    # Output channels are cut into parts where there are few blocks: each transforms its source anew.
    parts = max(1, min(outer // LEAST_PART, -(-LEAST_BLOCKS // (how.count * geo.groups))))
    constants = Constants(
        winograd_line.convolve, geo.batch, geo.groups, inner, outer, how.box, how.span, how.spatial, low, size,
        out_size, filter_step, width, parts,
    )  # fmt: skip
    taps = np.arange(TAPS)[::-1] if of_input else np.arange(TAPS)
    return Call(
        constants, how.count * geo.groups * parts, blocks * SIZE * filter_step,
        (Packing.of([taps]), inner, filter_step, width, blocks),
    )  # fmt: skip


def convolve(
    source: Array, w: Array, out: Array, geo: Geometry, of_input: bool, ending: Ending | None = None
) -> bool:
    """Forward or input-gradient. False where the result is not finite, and another method is to be taken."""
    call, serial = _call(geo, of_input, w.dtype), geo.multiply_adds < SERIAL
    packing, inner, filter_step, width, blocks = call.rest
    packed = packed_weights(w, geo, of_input, packing, width)
    points, bad = scratch(call.size, w.dtype), scratch(call.tasks, np.uint8)
    winograd_line.filter_points(
        packed, points, inner, filter_step, width, tasks=blocks, serial=points.size < SERIAL
    )
    winograd_line.convolve(
        source, points, out, *given(ending, w), bad, call.constants, tasks=call.tasks, serial=serial
    )
    return not any_set(bad)
