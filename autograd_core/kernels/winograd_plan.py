"""Which convolutions Winograd's method takes, and how one is cut into blocks of 4×4 tiles. Plain Python."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from autograd_core.kernels.conv_geometry import Geometry
from autograd_core.kernels.conv_plan import Blocks, Table, evenly, runs
from autograd_core.kernels.winograd_transform import OUTPUTS, TAPS

# Tiles of a block: with 64 channels 36 × 32 points of them are 300 KB, in the second-level cache with the weights.
# With 16 channels, 64 tiles take 0.9 of the time that 32 take, and 128 tiles 1.0.
TILES, FEW_CHANNELS = 32, 16
DEPTHS = 5  # most taps of a kernel in depth: for each of them the source is laid out anew
# With fewer the transforms cost more than the products save.
LEAST_CHANNELS = 8


class WinogradPlan(NamedTuple):
    """The tables of one convolution; offsets count elements of windows with their channels side by side."""

    blocks: Blocks  # of full lines; the window counts pixels
    channels: int  # of the window: the group's, filled up to whole vectors, for each of the kernel's depths
    filter_step: (
        int  # from a filter's plane of points to the next: no multiple of 4 KB, where they share cache lines
    )
    images: int  # depths of all examples' outputs
    depths: tuple[int, int, int, int]  # of output, source and kernel, and how far that begins below
    breadth: int  # pixels of a window's line
    places: Table  # of each position of the window's lines of the source, its place in the window
    inputs: Table  # of each tile, its first element in the windows
    outputs: Table  # of each tile, its first element in the box
    overhang: int  # positions that tiles reach beyond the box
    pitch: int  # pixels of a line of slopes, whole tiles
    slopes: int  # pixels of an image's slopes
    slope_places: Table  # as places and inputs, for the slopes
    slope_inputs: Table


def fits(geo: Geometry, dtype: np.dtype) -> bool:
    """Winograd's method applies, and was measured to win. float64 users ask for its digits: they get the direct sum."""
    return (
        dtype == np.float32
        and geo.kernel[1:] == (TAPS, TAPS)
        and geo.kernel[0] <= DEPTHS
        and geo.stride == geo.dilation == (1, 1, 1)
        and max(geo.padding[1:]) < TAPS
        and min(geo.inputs, geo.outputs) >= LEAST_CHANNELS
        and min(*geo.out[1:], *geo.size[1:]) >= OUTPUTS
        and max(geo.out[2], geo.size[2]) <= 1024
    )


@lru_cache(maxsize=256)
def winograd_plan(geo: Geometry, of_input: bool, lanes: int, width: int) -> WinogradPlan:
    """The tables of the forward convolution (the weight-gradient's too) or of the input-gradient.

    The input-gradient is the convolution of the slopes with the kernel turned round, padded by 2 − padding.
    """
    source, out = (geo.out, geo.size) if of_input else (geo.size, geo.out)
    low = [k - 1 - p if of_input else p for k, p in zip(geo.kernel, geo.padding)]
    inner, taps = geo.outputs if of_input else geo.inputs, geo.kernel[0]
    channels, batch = taps * -(-inner // lanes) * lanes, geo.batch * out[0]
    across, down = -(-out[2] // OUTPUTS), -(-out[1] // OUTPUTS)
    most = 2 * TILES if channels <= FEW_CHANNELS else TILES
    rows = evenly(down, max(1, most // across))
    images = evenly(batch, max(1, most // (across * down))) if rows == down else 1
    lines = out[1] if rows == down else rows * OUTPUTS
    height, breadth = rows * OUTPUTS + TAPS - 1, across * OUTPUTS + TAPS - 1
    starts = [(0, h, 0) for h in range(0, out[1], lines)]
    blocks = Blocks(
        images, lines * out[2], height * breadth, len(starts), len(starts) * -(-batch // images),
        runs((1, height, source[2]), [(0, h - low[1], 0) for _, h, _ in starts], source),
        runs((1, lines, out[2]), starts, out),
    )  # fmt: skip
    # From right to left: what a tile writes beyond its line's end, the tile at the next line's start writes over.
    n, i, j = (a.ravel() for a in np.meshgrid(range(images), range(rows), range(across)[::-1], indexing="ij"))
    line, column = OUTPUTS * i, OUTPUTS * j
    pitch, slopes = across * OUTPUTS, across * OUTPUTS * rows * OUTPUTS
    return WinogradPlan(
        blocks, channels, (channels + 1) * width, batch, (out[0], source[0], taps, low[0]), breadth,
        _pixels(height, source[2], breadth, low[2]) * channels,
        (n * blocks.window + line * breadth + column) * channels,
        (n * blocks.positions + line * out[2] + column) * width,
        OUTPUTS * out[2] + OUTPUTS, pitch, slopes,
        _pixels(rows * OUTPUTS, out[2], pitch, 0) * width,
        (n * slopes + line * pitch + column) * width,
    )  # fmt: skip


def _pixels(lines: int, length: int, pitch: int, low: int) -> Table:
    """Where in lines of `pitch` pixels each element of lines of `length` goes."""
    return np.add.outer(np.arange(lines) * pitch, np.arange(length) + low).ravel()
