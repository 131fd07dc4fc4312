"""Convolution of single channels with 3 × 3 taps and padding 1 at strides 1 and 2: depthwise, and of grey images.

Planes are cut into bands of rows, and these into strips: a band's source and output stay in the first-level cache
while its strips pass over them. A row that is shorter than a register is one strip, which reaches over the rows behind
it, written afterwards; the last strip of a longer one ends where the row does, over what is done already.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.jit import jit
from autograd_core.kernels.launch import Floats, kernel
from autograd_core.kernels.strip import TAPS
from autograd_core.kernels.strip_dots import strip_dots, strip_dots_seconds, sum_lanes
from autograd_core.kernels.strip_sums import strip_spread, strip_sums, strip_sums_seconds
from autograd_core.kernels.vector import lanes_of

CHANNELS = 16  # of a task of the weight-gradient: 16 · 9 vectors of sums


@jit(inner=True)
def blocks_of(task, tasks, planes, bands):
    """A task's first and past-last block, a plane's band."""
    return task * planes * bands // tasks, (task + 1) * planes * bands // tasks


@jit(inner=True)
def end_of(blocks, bands, rows, high, wide):
    """Where so many blocks end, of bands of so many rows, in an array of planes of high × wide."""
    return (blocks // bands * high + blocks % bands * rows) * wide


@jit(inner=True)
def column_of(i, wide, lanes):
    """Where the strip begins that is to begin at i."""
    return max(min(i, wide - lanes), 0)


@jit(inner=True)
def weight_at(plane, channels):
    return np.int64(np.uint64(plane) % np.uint64(channels)) * TAPS


@jit(inner=True)
def plane_at(plane, outer, size):
    """Where the source plane begins that `outer` planes of the output are made of."""
    return np.int64(np.uint64(plane) // np.uint64(outer)) * size


@kernel
def correlate(
    task: int, source: Floats, w: Floats, out: Floats, planes: int, channels: int, outer: int, high: int, wide: int,
    rows: int, turned: int, tasks: int,
) -> None:  # fmt: skip
    """out (planes, high, wide) from source (planes / outer, high, wide), by w (channels, 9), turned or not."""
    lanes, _ = lanes_of(out)
    bands = -(-high // rows)
    first, past = blocks_of(task, tasks, planes, bands)
    plane, top = first // bands, first % bands * rows
    end = end_of(past, bands, rows, high, wide) if wide < lanes else out.size
    for _ in range(past - first):
        bottom = min(top + rows, high)
        for i in range(0, wide, lanes):
            strip_sums(out, plane * high * wide, end, w, weight_at(plane, channels), turned != 0, source,
                       plane_at(plane, outer, high * wide), high, wide, column_of(i, wide, lanes), top, bottom,
                       2 * wide <= lanes)  # fmt: skip
        plane, top = (plane, bottom) if bottom < high else (plane + 1, 0)


@kernel
def correlate_seconds(
    task: int, source: Floats, w: Floats, out: Floats, planes: int, channels: int, outer: int, high: int, wide: int,
    out_high: int, out_wide: int, rows: int, tasks: int,
) -> None:  # fmt: skip
    """The same at stride 2: out has planes of out_high × out_wide."""
    lanes, _ = lanes_of(out)
    bands = -(-out_high // rows)
    first, past = blocks_of(task, tasks, planes, bands)
    plane, top = first // bands, first % bands * rows
    end = end_of(past, bands, rows, out_high, out_wide) if out_wide < lanes else out.size
    for _ in range(past - first):
        bottom = min(top + rows, out_high)
        for i in range(0, out_wide, lanes):
            strip_sums_seconds(out, plane * out_high * out_wide, end, out_wide, w, weight_at(plane, channels), source,
                               plane_at(plane, outer, high * wide), high, wide, column_of(i, out_wide, lanes), top,
                               bottom, 2 * out_wide <= lanes)  # fmt: skip
        plane, top = (plane, bottom) if bottom < out_high else (plane + 1, 0)


@kernel
def spread(
    task: int, g: Floats, w: Floats, out: Floats, planes: int, channels: int, high: int, wide: int, g_high: int,
    g_wide: int, rows: int, tasks: int,
) -> None:  # fmt: skip
    """The transpose of `correlate_seconds`: out (planes, high, wide) from g (planes, g_high, g_wide)."""
    lanes, _ = lanes_of(out)
    bands = -(-g_high // rows)
    first, past = blocks_of(task, tasks, planes, bands)
    plane, top = first // bands, first % bands * rows
    # Two strips of an odd row end behind it: there all that is outside must stay as it is.
    end = end_of(past, bands, 2 * rows, high, wide) if g_wide < lanes else 0 if wide % 2 else out.size
    for _ in range(past - first):
        bottom = min(top + rows, g_high)
        for i in range(0, g_wide, lanes):
            strip_spread(out, plane * high * wide, end, high, wide, w, weight_at(plane, channels), g,
                         plane * g_high * g_wide, g_high, g_wide, column_of(i, g_wide, lanes), top, bottom,
                         2 * g_wide <= lanes)  # fmt: skip
        plane, top = (plane, bottom) if bottom < g_high else (plane + 1, 0)


@kernel
def weight_sums(
    task: int, g: Floats, x: Floats, sums: Floats, batch: int, channels: int, outer: int, high: int, wide: int,
    g_high: int, g_wide: int, every: int, rows: int, chunks: int,
) -> None:  # fmt: skip
    """sums (chunk, channel, 9) from g (batch, channels, g_high, g_wide) and x (batch, channels / outer, high, wide).

    A task is a chunk of the images, for CHANNELS channels: side by side they lie in the order of memory.
    """
    lanes, _ = lanes_of(g)
    chunk, begin = task % chunks, task // chunks * CHANNELS
    past = min(begin + CHANNELS, channels)
    parts = np.zeros(CHANNELS * TAPS * lanes, g.dtype)
    for image in range(chunk * batch // chunks, (chunk + 1) * batch // chunks):
        for channel in range(begin, past):
            to, at = (
                (channel - begin) * TAPS * lanes,
                plane_at(image * channels + channel, outer, high * wide),
            )
            g_at, narrow = (image * channels + channel) * g_high * g_wide, 2 * g_wide <= lanes
            for top in range(0, g_high, rows):
                bottom = min(top + rows, g_high)
                for i in range(0, g_wide, lanes):
                    if every == 1:
                        strip_dots(parts, to, g, g_at, x, at, high, wide, i, top, bottom, narrow)
                    else:
                        strip_dots_seconds(parts, to, g, g_at, g_high, g_wide, x, at, high, wide, i, top, bottom,
                                           narrow)  # fmt: skip
    sum_lanes(sums, (chunk * channels + begin) * TAPS, parts, 0, (past - begin) * TAPS)
