"""Convolution with lanes along the output's columns: forward and input-gradient.

As in `conv_tile` a block reads a padded window; but the weights are broadcast, as they lie, and the sums are lines of
the result: nothing is packed and nothing turned.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.column_lines import copy_lines, unzip_lines, zip_lines
from autograd_core.kernels.columns import ROWS, VECTORS, column_tile
from autograd_core.kernels.conv_tile import aligned, aligned_zeros
from autograd_core.kernels.jit import jit
from autograd_core.kernels.launch import Floats, Ints, kernel
from autograd_core.kernels.vector import lanes_of


@jit(inner=True)
def fill_windows(source, first, image_step, plane, line, window, channels, images, size, pitch, unzipped, reads, block,
                 spatial):  # fmt: skip
    """Windows (channel, image of a block, size), what lies outside the source left as it is, from plane `first` on.

    reads has, block by block, what of each plane of the window lies in the source: the first line's place there, how
    many there are, `line` apart, their length, the places in the window of the first element and of the second, whose
    column has another residue.
    """
    entries = reads.size // spatial
    for c in range(channels):
        for n in range(images):
            at, to = (first + n * image_step + c) * plane, (c * images + n) * size
            for e in range(block * entries, (block + 1) * entries, 5):
                begin, lines, count, here = at + reads[e], reads[e + 1], reads[e + 2], to + reads[e + 3]
                if unzipped:
                    unzip_lines(window, here, to + reads[e + 4], pitch, source, begin, line, lines, count)
                else:
                    copy_lines(window, here, pitch, source, begin, line, lines, count)


@kernel
def convolve(
    task: int, source: Floats, weights: Floats, out: Floats, shift: Floats, rectified: int, starts: Ints, targets: Ints,
    counts: Ints, steps: Ints, taps: Ints, past: Ints, begins: Ints, reads: Ints, writes: Ints, groups: int, inner: int,
    outer: int, images: int, size: int, pitch: int, unzipped: int, source_line: int, out_line: int, source_plane: int,
    out_plane: int, each: int, room: int, row: int, weight_step: int, parts: int,
) -> None:  # fmt: skip
    """out (batch, groups·outer, out_plane) from source (batch, groups·inner, source_plane) and a shift (groups·outer).

    weights (groups, …) with weight_step from one output channel to the next; windows of `size`. A task is a part of the
    output channels of a group, for one block of some images.

    writes has, block by block, the lines of the result that come from sums: the first one's place, how many there are,
    out_line apart, their length, the first one's sums, `row` apart; odd columns lie `each` further.
    """
    part, group, block = task % parts, task // parts % groups, task // parts // groups
    tiles, spatial = (outer + ROWS - 1) // ROWS, begins.size
    image, block = block // spatial * images, block % spatial
    lanes, _ = lanes_of(out)
    window = aligned_zeros(inner * images * size + lanes, out)
    lines = writes.size // spatial
    fill_windows(source, (image * groups + group) * inner, groups * inner, source_plane, source_line, window, inner,
                 images, size, pitch, unzipped, reads, block, spatial)  # fmt: skip
    first_channel, past_channel = part * tiles // parts * ROWS, min(outer, (part + 1) * tiles // parts * ROWS)
    sums = aligned((past_channel - first_channel + ROWS) * room, out)
    into, channel_step = (sums, room) if room else (out, out_plane)
    floor = out.dtype.type(0) if rectified else out.dtype.type(-np.inf)
    kept = 0 if room else block * (counts.size // spatial)
    for v in range(0, starts.size, VECTORS):
        for channel in range(first_channel, past_channel, ROWS):
            number, first = group * outer + channel, 0
            at = (image * groups * outer + number) * out_plane + begins[block]
            if room:
                at = (channel - first_channel) * room
            for p in range(past.size):
                here = p * starts.size + v
                column_tile(into, at, channel_step, targets, here, counts, kept + here, window, starts, v, steps,
                            weights, group * (weights.size // groups) + channel * weight_step, weight_step, taps,
                            first, past[p], shift, number, floor, min(ROWS, outer - channel))  # fmt: skip
                first = past[p]
    for plane in range((past_channel - first_channel) * images if room else 0):
        c, n = plane // images, plane % images
        at, to = (
            c * room + n * each // images,
            (((image + n) * groups + group) * outer + first_channel + c) * out_plane,
        )
        for e in range(block * lines, (block + 1) * lines, 4):
            begin = at + writes[e + 3]
            zip_lines(out, to + writes[e], out_line, sums, begin, begin + each, row,
                      writes[e + 1], writes[e + 2])  # fmt: skip
