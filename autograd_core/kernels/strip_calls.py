"""Which convolutions strips take, and their calls."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import conv_strip
from autograd_core.kernels.conv_geometry import Geometry
from autograd_core.kernels.conv_plan import LEAST_BLOCKS, MOST_TASKS, SERIAL
from autograd_core.kernels.conv_stencil import add_chunks
from autograd_core.kernels.launch import scratch, table
from autograd_core.kernels.strip import TAPS

Array = npt.NDArray

# Elements of the larger plane in a band. Depthwise on 8·64·56² took 585 µs in 2 bands, 508 in 4 and 525 in 7; on
# 8·32·112² 1,142 in 2, 1,095 in 4 and 1,063 in 7 (copies: 450 and 938).
BAND = 1024
_ORDER = table(np.arange(TAPS))


def suits(geo: Geometry, of_input: bool) -> bool:
    """One input channel in a group, 3 × 3 with padding 1, stride 1 or 2; going back, one output channel, too."""
    return (
        geo.inputs == 1
        and (geo.outputs == 1 or not of_input)
        and geo.size[0] == geo.kernel[0] == geo.out[0] == 1
        and geo.kernel[1:] == (3, 3)
        and geo.padding[1:] == geo.dilation[1:] == (1, 1)
        and geo.stride[1:] in ((1, 1), (2, 2))
    )


def _rows(geo: Geometry) -> int:
    """The output's rows (the smaller plane's) in a band."""
    bands = -(-math.prod(geo.size) // BAND)
    return -(-geo.out[1] // bands)


def convolve(source: Array, w: Array, out: Array, geo: Geometry, of_input: bool) -> None:
    channels, rows = geo.groups * geo.outputs, _rows(geo)
    planes = geo.batch * channels
    tasks = min(planes * -(-geo.out[1] // rows), MOST_TASKS)
    high, wide, small = *geo.size[1:], geo.out[1:]
    how = {"tasks": tasks, "serial": geo.multiply_adds < SERIAL}
    if geo.stride[1] == 1:
        conv_strip.correlate(
            source, w, out, planes, channels, geo.outputs, high, wide, rows, int(of_input), tasks, **how
        )
    elif of_input:
        conv_strip.spread(source, w, out, planes, channels, high, wide, *small, rows, tasks, **how)
    else:
        conv_strip.correlate_seconds(
            source, w, out, planes, channels, geo.outputs, high, wide, *small, rows, tasks, **how
        )


def weight_grad(g: Array, x: Array, dw: Array, geo: Geometry) -> None:
    channels = geo.groups * geo.outputs
    blocks = -(-channels // conv_strip.CHANNELS)
    chunks = min(geo.batch, -(-LEAST_BLOCKS // blocks))
    sums = scratch(chunks * channels * TAPS, g.dtype)
    conv_strip.weight_sums(
        g, x, sums, geo.batch, channels, geo.outputs, *geo.size[1:], *geo.out[1:], geo.stride[1], _rows(geo), chunks,
        tasks=blocks * chunks, serial=geo.multiply_adds < SERIAL,
    )  # fmt: skip
    add_chunks(sums, dw, _ORDER, channels, chunks, tasks=1, serial=True)
