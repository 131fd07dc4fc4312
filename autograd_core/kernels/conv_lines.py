"""Convolution with few output channels in a group: depthwise, a first layer's input-gradient, a last layer.

Lanes run along the lines of the image, over the windows of conv_plan. Going back with a stride, the outputs of each
residue are computed as lines of their own, and then put in between each other.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.conv_tile import copy_run, fill_window
from autograd_core.kernels.jit import jit
from autograd_core.kernels.lanes import interleave, load, store
from autograd_core.kernels.launch import Floats, Ints, kernel
from autograd_core.kernels.vector import lanes_of, line_dots, line_tile

ROWS = 4  # output channels of a tile, where there is more than one
LINES, VECTORS = 4, 3  # most lines of a tile, and most vectors of one; a tile holds 8 to 12 registers of sums
TAPS, UNROLL = 5, 2  # the weight-gradient's taps of one go, and vectors of each: 10 registers of sums

_channels, _channels_every_second = line_tile(ROWS, 1, VECTORS, 1), line_tile(ROWS, 1, VECTORS, 2)
_long_lines, _short_lines, _lines_every_second = (
    line_tile(1, 2, 4, 1),
    line_tile(1, 4, 2, 1),
    line_tile(1, 4, 2, 2),
)
_dots, _dots_every_second = line_dots(TAPS, UNROLL, 1), line_dots(TAPS, UNROLL, 2)


@jit(inner=True)
def sum_lines(
    out, lines, width, out_step, rows, weights, weight_at, source, at, pitch, every, steps, begin, end
):
    """Lines of one residue's outputs, one behind the other in `out`.

    A tile may reach beyond the end of its line: so tiles go from right to left, and the next line's first tile writes
    over that. What lies behind the last line is lost.
    """
    lanes, _ = lanes_of(out)
    if rows > 1:
        across, down = VECTORS * lanes, 1
    elif every == 1 and width > 2 * lanes:
        across, down = 4 * lanes, 2
    else:
        across, down = 2 * lanes, LINES
    for y in range(0, lines, down):
        for x in range((width - 1) // across * across, -1, -across):
            to, here = y * width + x, at + y * pitch + x * every
            if rows > 1 and every == 1:
                _channels(
                    out, to, out_step, width, weights, weight_at, source, here, pitch, steps, begin, end
                )
            elif rows > 1:
                _channels_every_second(
                    out, to, out_step, width, weights, weight_at, source, here, pitch, steps, begin, end
                )
            elif every == 2:
                _lines_every_second(
                    out, to, 0, width, weights, weight_at, source, here, pitch, steps, begin, end
                )
            elif down == 2:
                _long_lines(out, to, 0, width, weights, weight_at, source, here, pitch, steps, begin, end)
            else:
                _short_lines(out, to, 0, width, weights, weight_at, source, here, pitch, steps, begin, end)


@jit(inner=True)
def put_between(out, to, step, source, at, size, count):
    """out[to + i·step + r] = source[at + r·size + i]: the lines of all residues r into one."""
    lanes, _ = lanes_of(out)
    if step == 1:
        copy_run(out, to, source, at, count)
    elif step == 2 and count >= lanes:
        for i in range(0, count, lanes):
            j = min(i, count - lanes)
            low, high = interleave(load(source, at + j), load(source, at + size + j))
            store(out, to + 2 * j, low)
            store(out, to + 2 * j + lanes, high)
    else:
        for r in range(step):
            for i in range(count):
                out[to + i * step + r] = source[at + r * size + i]


@kernel
def convolve(
    task: int, source: Floats, weights: Floats, out: Floats, passes: Ints, steps: Ints, reads: Ints, first_read: Ints,
    writes: Ints, first_write: Ints, batch: int, groups: int, inner: int, outer: int, box: int, depth: int, height: int,
    width: int, step_d: int, step_h: int, step_w: int, rate_d: int, rate_h: int, every: int, size: int,
    source_plane: int, out_plane: int, tasks: int,
) -> None:  # fmt: skip
    """out (batch, groups·outer, out_plane) from source (batch, groups·inner, source_plane), outer at most ROWS.

    weights (group, term, row), one row where outer is 1; box images of depth × height × width outputs, of which the
    residue (step_d, step_h, step_w) has a line for every rate_d, rate_h source elements, reading each or every second
    one. A task is some of the blocks of all groups.
    """
    spatial, rows = first_read.size - 1, 1 if outer == 1 else ROWS
    residues = step_d * step_h * step_w
    lines, run = height // step_h, width // step_w
    overhang = LINES * run + 256
    window = np.zeros(inner * box * size + 8 * rate_h + 1024, out.dtype)
    residue = depth // step_d * lines * run + overhang
    parts = np.empty(rows * step_w * residue, out.dtype)
    sums = np.empty(rows * depth * height * width, out.dtype)
    blocks = (batch + box - 1) // box * spatial * groups
    for index in range(task * blocks // tasks, (task + 1) * blocks // tasks):
        group, block, image = index % groups, index // groups % spatial, index // groups // spatial * box
        images = min(box, batch - image)
        if spatial > 1:
            window[:] = 0
        fill_window(source, (image * groups + group) * inner * source_plane, groups * inner * source_plane,
                    source_plane, inner, images, reads, first_read[block], first_read[block + 1], window, size,
                    box)  # fmt: skip
        for n in range(images):
            for p in range(step_d * step_h):
                for w in range(step_w):
                    at = 4 * (p * step_w + w)
                    for d in range(depth // step_d):
                        sum_lines(parts[w * residue + d * lines * run :], lines, run, step_w * residue, rows, weights,
                                  group * steps.size * rows, window, n * size + d * rate_d, rate_h, every, steps,
                                  passes[at + 2], passes[at + 3])  # fmt: skip
                for o in range(outer if residues > 1 else 0):
                    for d in range(depth // step_d):
                        for h in range(lines):
                            line = (d * step_d + p // step_h) * height + h * step_h + p % step_h
                            put_between(sums, (o * depth * height + line) * width, step_w, parts,
                                        o * step_w * residue + (d * lines + h) * run, residue, run)  # fmt: skip
            for o in range(outer):
                to = (((image + n) * groups + group) * outer + o) * out_plane
                for r in range(first_write[block], first_write[block + 1]):
                    if residues > 1:
                        copy_run(out, to + writes[3 * r + 1], sums, o * depth * height * width + writes[3 * r],
                                 writes[3 * r + 2])  # fmt: skip
                    else:
                        copy_run(
                            out, to + writes[3 * r + 1], parts, o * residue + writes[3 * r], writes[3 * r + 2]
                        )


@kernel
def weight_grad(
    task: int, g: Floats, x: Floats, sums: Floats, steps: Ints, reads: Ints, first_read: Ints, writes: Ints,
    first_write: Ints, batch: int, groups: int, inner: int, outer: int, box: int, depth: int, height: int, width: int,
    rate_d: int, rate_h: int, every: int, size: int, x_plane: int, g_plane: int, chunks: int,
) -> None:  # fmt: skip
    """sums (chunk, group, outer, inner·taps filled up to whole goes), 0 on entry.

    A task is a group's chunk of blocks.
    """
    lanes, _ = lanes_of(g)
    spatial, terms = first_read.size - 1, steps.size
    group, chunk = task % groups, task // groups
    pitch = (width + UNROLL * lanes - 1) // (UNROLL * lanes) * (UNROLL * lanes)
    window = np.zeros(inner * box * size + 8 * rate_h + 1024, g.dtype)
    slopes = np.zeros(depth * height * pitch, g.dtype)
    blocks = (batch + box - 1) // box * spatial
    for index in range(chunk * blocks // chunks, (chunk + 1) * blocks // chunks):
        block, image = index % spatial, index // spatial * box
        images = min(box, batch - image)
        if spatial > 1:
            window[:] = 0
            slopes[:] = 0
        fill_window(x, (image * groups + group) * inner * x_plane, groups * inner * x_plane, x_plane, inner, images,
                    reads, first_read[block], first_read[block + 1], window, size, box)  # fmt: skip
        for n in range(images):
            for o in range(outer):
                at = (((image + n) * groups + group) * outer + o) * g_plane
                for r in range(first_write[block], first_write[block + 1]):
                    for i in range(0, writes[3 * r + 2], width):  # a run holds whole lines, or a piece of one
                        line, column = (writes[3 * r] + i) // width, (writes[3 * r] + i) % width
                        copy_run(slopes, line * pitch + column, g, at + writes[3 * r + 1] + i,
                                 min(width, writes[3 * r + 2]))  # fmt: skip
                for t in range(0, terms, TAPS):
                    to = ((chunk * groups + group) * outer + o) * terms + t
                    for d in range(depth):
                        if every == 1:
                            _dots(sums, to, slopes[d * height * pitch :], pitch, window, n * size + d * rate_d, rate_h,
                                  steps, t, height, width)  # fmt: skip
                        else:
                            _dots_every_second(sums, to, slopes[d * height * pitch :], pitch, window,
                                               n * size + d * rate_d, rate_h, steps, t, height, width)  # fmt: skip
