"""Convolution as a product of register tiles over padded windows: forward and input-gradient.

Lanes run over output channels and the tile's rows over output positions, whose source elements are broadcast:
nothing is rearranged but the weights, and any stride, dilation and width runs at the same rate. A block's sums over
(channel, tap) gather in a scratch block, which is turned into the output at the end.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.jit import jit
from autograd_core.kernels.launch import Floats, Ints, kernel
from autograd_core.kernels.vector import (
    AHEAD,
    ROWS,
    lanes_of,
    move,
    prefetch_read,
    prefetch_write,
    shift_lines,
    tile,
    transpose,
    transpose_to,
)

# Most bytes of weights, for some terms (channel, tap), of one go: they are read again for each tile of a block of
# positions, so they must stay in the first-level cache beside the window's lines.
WEIGHT_BYTES = 24 << 10


@jit(inner=True)
def aligned(count, like):
    """Memory for `count` numbers of like's dtype that begins at a cache line, where vectors cross none."""
    line = 64 // like.itemsize
    memory = np.empty(count + line, like.dtype)
    first = -(memory.ctypes.data // like.itemsize) % line
    return memory[first : first + count]


@jit(inner=True)
def clear(memory):
    """Fill it with 0."""
    for i in range(np.uint64(memory.size)):
        memory[i] = 0


@jit(inner=True)
def aligned_zeros(count, like):
    """The same, filled with 0."""
    memory = aligned(count, like)
    clear(memory)
    return memory


@jit(inner=True)
def copy_run(out, to, source, at, count):
    """count elements; the last vector overlaps the one before it, so that only short runs go one by one."""
    lanes, _ = lanes_of(out)
    if count < lanes:
        for i in range(count):
            out[to + i] = source[at + i]
    else:
        for i in range(0, count, lanes):
            here = min(i, count - lanes)
            prefetch_read(source, at + here + 4 * AHEAD)
            move(out, to + here, source, at + here)


@jit(inner=True)
def fill_window(source, at, image_step, plane, channels, images, reads, first, past, window, size, box):
    """Windows (channel, image of the box, size) of a block; what lies outside the source stays as it is."""
    for c in range(channels):
        for n in range(images):
            to, begin = (c * box + n) * size, at + n * image_step + c * plane
            for r in range(first, past):
                copy_run(window, to + reads[3 * r], source, begin + reads[3 * r + 1], reads[3 * r + 2])


@jit(inner=True)
def turn(scratch, at, width, count, channels, out, to, plane):
    """scratch (positions, width) into out[channel, position] for a run of positions."""
    lanes, _ = lanes_of(out)
    full = channels // lanes * lanes if count >= lanes else 0
    for c in range(0, full, lanes):
        for i in range(0, count, lanes):
            j = min(i, count - lanes)
            for k in range(lanes):
                prefetch_write(out, to + (c + k) * plane + j + AHEAD)
            transpose(scratch, (at + j) * width + c, width, out, to + c * plane + j, plane)
    for c in range(full, channels):
        for j in range(count):
            out[to + c * plane + j] = scratch[(at + j) * width + c]


@jit(inner=True)
def channels_last(source, at, plane, channels, reads, first, past, window, to, places):
    """The runs of source[channel, position], into window[to + places[place] + channel]."""
    lanes, _ = lanes_of(window)
    for r in range(first, past):
        place, begin, count = reads[3 * r], at + reads[3 * r + 1], reads[3 * r + 2]
        full = channels // lanes * lanes if count >= lanes else 0
        for c in range(0, full, lanes):
            for i in range(0, count, lanes):
                f = min(i, count - lanes)
                for k in range(lanes):
                    prefetch_read(source, begin + (c + k) * plane + f + AHEAD)
                transpose_to(source, begin + c * plane + f, plane, window, to + c, places, place + f)
        for c in range(full, channels):
            for f in range(count):
                window[to + places[place + f] + c] = source[begin + c * plane + f]


@jit(inner=True)
def finish(scratch, rows, width, channels, bias, first, rectified):
    """Add the bias of some channels to scratch (rows, width), and put 0 for what is not above it if `rectified`."""
    lanes, _ = lanes_of(scratch)
    shift = aligned_zeros(width, scratch)
    if bias.size:
        for c in range(channels):  # a slice's assignment takes numba a second to compile
            shift[c] = bias[first + c]
    for v in range(0, width, lanes):
        shift_lines(scratch, v, rows, width, shift, v, rectified)


@jit(inner=True)
def write_images(scratch, images, positions, width, writes, first, past, bias, rectified, out, image, all_channels,
                 channel, count, plane):  # fmt: skip
    """scratch (image, position, width) into some images of out from `image` on, `count` channels from `channel` on.

    Boxes are written where they lie inside, and ended with bias and ReLU.
    """
    if bias.size or rectified:
        finish(scratch, images * positions, width, count, bias, channel, rectified)
    for n in range(images):
        at = ((image + n) * all_channels + channel) * plane
        for r in range(first, past):
            turn(scratch, n * positions + writes[3 * r], width, writes[3 * r + 2], count,
                 out, at + writes[3 * r + 1], plane)  # fmt: skip


@kernel
def convolve(
    task: int, source: Floats, packed: Floats, out: Floats, bias: Floats, rectified: int, passes: Ints, rows: Ints,
    targets: Ints, steps: Ints, reads: Ints, first_read: Ints, writes: Ints, first_write: Ints, batch: int, groups: int,
    inner: int, outer: int, box: int, positions: int, size: int, source_plane: int, out_plane: int, width: int,
    terms: int, parts: int,
) -> None:  # fmt: skip
    """out (batch, groups·outer, out_plane) from source (batch, groups·inner, source_plane).

    packed (group, block of output channels, term, width), read `terms` at a go; bias (groups·outer) or nothing; box
    images of `positions` outputs and windows of `size`. A task is a part of the output channels of a group, for one
    block of positions.
    """
    wide = (outer + width - 1) // width
    spatial = first_read.size - 1
    part, group, block = task % parts, task // parts % groups, task // parts // groups
    image, block = block // spatial * box, block % spatial
    images = min(box, batch - image)
    window = aligned_zeros(inner * box * size, out)
    fill_window(source, (image * groups + group) * inner * source_plane, groups * inner * source_plane, source_plane,
                inner, images, reads, first_read[block], first_read[block + 1], window, size, box)  # fmt: skip
    scratch = aligned(box * positions * width, out)
    for b in range(part * wide // parts, (part + 1) * wide // parts):
        weights = (group * wide + b) * steps.size * width
        for p in range(0, passes.size, 4):
            begin, end = passes[p + 2], passes[p + 3]
            for k in range(begin, max(end, begin + 1), terms):
                for j in range(passes[p], passes[p + 1], ROWS):
                    tile(scratch, targets, k == begin, window, rows, j,
                         packed, weights, steps, k, min(end, k + terms), width)  # fmt: skip
        write_images(scratch, images, positions, width, writes, first_write[block], first_write[block + 1], bias,
                     rectified != 0, out, image, groups * outer, group * outer + b * width,
                     min(width, outer - b * width), out_plane)  # fmt: skip


@kernel
def finish_planes(task: int, out: Floats, bias: Floats, rectified: int, plane: int) -> None:
    """The same for results that other methods have written. A task is a channel of an image."""
    shift = bias[task % bias.size] if bias.size else out.dtype.type(0)
    floor = out.dtype.type(0) if rectified else out.dtype.type(-np.inf)
    for i in range(np.uint64(task * plane), np.uint64((task + 1) * plane)):
        value = out[i] + shift
        out[i] = floor if value <= floor else value
