"""Convolution with few output channels in a group: depthwise, a first layer's input-gradient, a last layer.

Lanes run along the lines of the image; see conv_lines_plan for the window that makes every tap a fixed offset.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.conv_tile import copy_run
from autograd_core.kernels.jit import jit
from autograd_core.kernels.lanes import load_every, store
from autograd_core.kernels.launch import Floats, Ints, kernel
from autograd_core.kernels.vector import lanes_of, line_dots, line_tile

ROWS, VECTORS = (
    4,
    3,
)  # output channels and vectors of a tile: 12 registers of sums, as one channel's 8 also fit
LONG = 8
MARGIN = 256  # elements that the last tile of a run may read or write beyond it

sum_rows = line_tile(ROWS, VECTORS)
sum_line = line_tile(1, LONG)
TAPS, UNROLL = 5, 2  # the weight-gradient's taps of one go, and vectors of each: 10 registers of sums
dot_lines = line_dots(TAPS, UNROLL)


@jit(inner=True)
def gather(out, to, source, at, step, count):
    """out[to + i] = source[at + i·step]."""
    lanes, _ = lanes_of(out)
    if step == 1:
        copy_run(out, to, source, at, count)
    elif count < lanes:
        for i in range(count):
            out[to + i] = source[at + i * step]
    else:
        for i in range(0, count, lanes):
            here = min(i, count - lanes)
            store(out, to + here, load_every(source, at + here * step, step))


@jit(inner=True)
def spread(out, to, step, source, at, count):
    """out[to + i·step] = source[at + i]."""
    if step == 1:
        copy_run(out, to, source, at, count)
    else:
        for i in range(np.uint64(count)):
            out[np.uint64(to) + i * np.uint64(step)] = source[np.uint64(at) + i]


@jit(inner=True)
def fill(source, at, plane, channels, step, reads, first, past, window, size):
    """The windows of a block's channels; what lies outside the source stays as it is."""
    for c in range(channels):
        for r in range(first, past):
            gather(
                window,
                c * size + reads[3 * r],
                source,
                at + c * plane + reads[3 * r + 1],
                step,
                reads[3 * r + 2],
            )


@kernel
def convolve(
    task: int, source: Floats, weights: Floats, out: Floats, passes: Ints, steps: Ints, reads: Ints, first_read: Ints,
    writes: Ints, first_write: Ints, groups: int, inner: int, outer: int, size: int, length: int, source_plane: int,
    out_plane: int, read_step: int, write_step: int,
) -> None:  # fmt: skip
    """out (batch, groups·outer, out_plane) from source (batch, groups·inner, source_plane), outer at most ROWS.

    weights (group, term, row), one row where outer is 1. A task is a group's block of lines of an image.
    """
    lanes, _ = lanes_of(out)
    spatial, residues, rows = first_read.size - 1, passes.size - 1, 1 if outer == 1 else ROWS
    group, block, image = task % groups, task // groups % spatial, task // groups // spatial
    window = np.zeros(inner * size + MARGIN, out.dtype)
    fill(source, (image * groups + group) * inner * source_plane, source_plane, inner, read_step,
         reads, first_read[block], first_read[block + 1], window, size)  # fmt: skip
    run = np.empty(rows * (length + MARGIN), out.dtype)
    for p in range(residues):
        at = group * steps.size * rows
        if outer == 1:
            for i in range(0, length, LONG * lanes):
                sum_line(run, i, 0, weights, at, window, i, steps, passes[p], passes[p + 1])
        else:
            for i in range(0, length, VECTORS * lanes):
                sum_rows(run, i, length + MARGIN, weights, at, window, i, steps, passes[p], passes[p + 1])
        for o in range(outer):
            to = ((image * groups + group) * outer + o) * out_plane
            for r in range(first_write[block * residues + p], first_write[block * residues + p + 1]):
                spread(out, to + writes[3 * r + 1], write_step, run, o * (length + MARGIN) + writes[3 * r],
                       writes[3 * r + 2])  # fmt: skip


@kernel
def weight_grad(
    task: int, g: Floats, x: Floats, sums: Floats, steps: Ints, reads: Ints, first_read: Ints, writes: Ints,
    first_write: Ints, batch: int, groups: int, inner: int, outer: int, size: int, length: int, x_plane: int,
    g_plane: int, read_step: int, chunks: int,
) -> None:  # fmt: skip
    """sums (chunk, group, outer, inner·taps filled up to whole goes), 0 on entry.

    A task is a group's chunk of images.
    """
    spatial, terms = first_read.size - 1, steps.size
    group, chunk = task % groups, task // groups
    window, slopes = np.zeros(inner * size + MARGIN, g.dtype), np.zeros(length + MARGIN, g.dtype)
    blocks = batch * spatial
    for index in range(chunk * blocks // chunks, (chunk + 1) * blocks // chunks):
        image, block = index // spatial, index % spatial
        if spatial > 1:
            window[:] = 0
            slopes[:] = 0
        fill(x, (image * groups + group) * inner * x_plane, x_plane, inner, read_step,
             reads, first_read[block], first_read[block + 1], window, size)  # fmt: skip
        for o in range(outer):
            at = ((image * groups + group) * outer + o) * g_plane
            for r in range(first_write[block], first_write[block + 1]):
                copy_run(slopes, writes[3 * r], g, at + writes[3 * r + 1], writes[3 * r + 2])
            for t in range(0, terms, TAPS):
                dot_lines(sums, ((chunk * groups + group) * outer + o) * terms + t, slopes, 0, window, 0,
                          steps, t, length)  # fmt: skip
