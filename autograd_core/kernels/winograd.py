"""3×3 convolution at stride 1 by Winograd's F(4×4, 3×3): a quarter of the multiplications of the direct sum.

A block of output tiles of 4×4 reads input tiles of 6×6. The source is laid out with channels side by side, so that
lanes run over channels in the transforms; between them stand 36 matrix products, one for each point of the tile, on
the register tile of the direct method. The weight-gradient is the same with the slopes as its filter.

A number that is not finite spreads over its tile's 16 outputs here, and over 9 in the direct sum. Kernels say
when a result is not finite, and the door then takes the direct method: so NaN and ∞ stay where they belong.

In three dimensions each depth of the output is an image, and the kernel's depths are so many times the channels: a sum
over 3 × 3 windows of planes.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.conv_tile import aligned, aligned_zeros, channels_last, copy_run, finish, turn
from autograd_core.kernels.conv_tile_weight import turn_back
from autograd_core.kernels.jit import jit
from autograd_core.kernels.launch import Bytes, Floats, Ints, kernel
from autograd_core.kernels.vector import (
    ROWS,
    lanes_of,
    tile_lines,
    transpose,
)
from autograd_core.kernels.winograd_transform import (
    transform_filter,
    transform_gradient,
    transform_input,
    transform_output,
    transform_slopes,
)  # fmt: skip

SIDE, POINTS, TAPS = 6, 36, 9


@jit(inner=True)
def fill_windows(source, image, images, depths, group, groups, inner, plane, taps, lowest, reads, first, past, window,
                 size, channels, places):  # fmt: skip
    """The windows of some images: at each pixel the channels of the source's depths that the kernel meets.

    An image is a depth of the output, depths[0] of them an example's; the source has depths[1], and the first of `taps`
    is `lowest` below the output's.
    """
    out_depths, source_depths = depths
    for n in range(images):
        example, depth = (image + n) // out_depths, (image + n) % out_depths
        at = (example * groups + group) * inner * source_depths * plane
        for tap in range(taps):
            here = depth + tap - lowest
            if 0 <= here < source_depths:
                channels_last(source, at + here * plane, source_depths * plane, inner, reads, first, past, window,
                              n * size * channels + tap * (channels // taps), places)  # fmt: skip


@jit(inner=True)
def stride_of(tiles, channels):
    """Elements between two points' planes of `tiles` rows: no multiple of 4 KB, where they would share cache lines."""
    return ((tiles + ROWS - 1) // ROWS * ROWS + 1) * channels


@jit(inner=True)
def aligned_points(tiles, channels, like):
    """Memory for the points of so many tiles, with 0 in the rows that fill up the last register tile.

    Their products are not used, but where chance leaves denormal numbers in memory they take eight times as long.
    """
    step = stride_of(tiles, channels)
    points = aligned(POINTS * step, like)
    for p in range(POINTS):
        for i in range(p * step + tiles * channels, (p + 1) * step):
            points[i] = 0
    return points


@kernel
def filter_points(
    task: int, w: Floats, points: Floats, inner: int, outer: int, depths: int, channels: int, step: int, width: int,
    of_input: int,
) -> None:  # fmt: skip
    """points (group, block of output channels, 36, depth tap, inner channel, width) of w (O, C/groups, depths, 9).

    `channels` counts depth taps times inner channels, these filled up to whole vectors; planes of points are `step`
    apart. A task is a block of output channels of a group.
    """
    lanes, _ = lanes_of(w)
    wide = (outer + width - 1) // width
    group, first = task // wide, task % wide * width
    count, all_taps = min(width, outer - first), depths * TAPS
    padded = channels // depths
    # Taps with output channels side by side; one inner channel's behind the other's.
    taps = aligned_zeros((inner * all_taps + 2 * lanes) * width, w)
    if of_input:
        lines = aligned_zeros(width * all_taps + 2 * lanes, w)
        for i in range(inner):
            copy_run(lines, 0, w, ((group * inner + i) * outer + first) * all_taps, count * all_taps)
            for v in range(0, width, lanes):
                # What vectors hold beyond the last tap is written over by the next inner channel.
                for t in range(0, all_taps, lanes):
                    transpose(lines, v * all_taps + t, all_taps, taps, (i * all_taps + t) * width + v, width)
    else:
        turn_back(w, (group * outer + first) * inner * all_taps, inner * all_taps, count, inner * all_taps, taps, 0,
                  width)  # fmt: skip
    for tap in range(depths):
        for p in range(POINTS):
            at = (task * POINTS + p) * step + tap * padded * width
            for i in range(at + inner * width, at + padded * width):
                points[i] = 0
        # Going back the kernel is turned round.
        begin = all_taps - 1 - tap * TAPS if of_input else tap * TAPS
        down = -width if of_input else width
        for i in range(inner):
            to = task * POINTS * step + (tap * padded + i) * width
            for v in range(0, width, lanes):
                transform_filter(taps, (i * all_taps + begin) * width + v, 3 * down, down,
                                 points, to + v, SIDE * step, step)  # fmt: skip


@kernel
def convolve(
    task: int, source: Floats, weights: Floats, out: Floats, bias: Floats, rectified: int, bad: Bytes, places: Ints,
    inputs: Ints, outputs: Ints, reads: Ints, first_read: Ints, writes: Ints, first_write: Ints, batch: int,
    groups: int, inner: int, outer: int, channels: int, box: int, positions: int, size: int, breadth: int,
    out_line: int, overhang: int, source_plane: int, out_plane: int, out_depths: int, source_depths: int, taps: int,
    lowest: int, filter_step: int, width: int, parts: int,
) -> None:  # fmt: skip
    """out (example, groups·outer, out_depths, out_plane) from source (example, groups·inner, source_depths,
    source_plane) and the weights' points; `batch` images; bias (groups·outer) or nothing.

    A task is a part of the output channels of a group for one block; bad[task] is 1 where a result is not finite.
    """
    lanes, _ = lanes_of(out)
    tiles, spatial, wide = inputs.size, first_read.size - 1, (outer + width - 1) // width
    part, group, block = task % parts, task // parts % groups, task // parts // groups
    image, block = block // spatial * box, block % spatial
    images = min(box, batch - image)
    window = aligned_zeros(box * size * channels, out)
    fill_windows(source, image, images, (out_depths, source_depths), group, groups, inner, source_plane, taps, lowest,
                 reads, first_read[block], first_read[block + 1], window, size, channels, places)  # fmt: skip
    step, sum_step = stride_of(tiles, channels), stride_of(tiles, width)
    points = aligned_points(tiles, channels, out)
    for t in range(tiles):
        for c in range(0, channels, lanes):
            transform_input(window, inputs[t] + c, breadth * channels, channels,
                            points, t * channels + c, SIDE * step, step)  # fmt: skip
    sums = aligned(POINTS * sum_step, out)
    scratch = aligned((box * positions + overhang) * width, out)
    wrong = out.dtype.type(0)
    for b in range(part * wide // parts, (part + 1) * wide // parts):
        for p in range(POINTS):
            at = ((group * wide + b) * POINTS + p) * filter_step
            for j in range(0, tiles, ROWS):
                tile_lines(sums, p * sum_step + j * width, width, True, points, p * step + j * channels, channels, 1,
                           weights, at, width, channels, width)  # fmt: skip
        for t in range(tiles):
            for v in range(0, width, lanes):
                transform_output(sums, t * width + v, SIDE * sum_step, sum_step,
                                 scratch, outputs[t] + v, out_line * width, width)  # fmt: skip
        for i in range(np.uint64(box * positions * width)):
            wrong += scratch[i] * out.dtype.type(0)
        channel, count = group * outer + b * width, min(width, outer - b * width)
        if bias.size or rectified:
            finish(scratch, images * positions, width, count, bias, channel, rectified != 0)
        for n in range(images):
            example, depth = (image + n) // out_depths, (image + n) % out_depths
            at = ((example * groups * outer + channel) * out_depths + depth) * out_plane
            for r in range(first_write[block], first_write[block + 1]):
                turn(scratch, n * positions + writes[3 * r], width, writes[3 * r + 2], count,
                     out, at + writes[3 * r + 1], out_depths * out_plane)  # fmt: skip
    bad[task] = wrong != 0


@kernel
def sum_chunks(
    task: int, g: Floats, x: Floats, sums: Floats, places: Ints, inputs: Ints, slope_places: Ints, slope_inputs: Ints,
    reads: Ints, first_read: Ints, writes: Ints, first_write: Ints, batch: int,
    groups: int, inner: int, outer: int, channels: int, box: int, size: int, breadth: int, slope_size: int, pitch: int,
    x_plane: int, g_plane: int, out_depths: int, source_depths: int, taps: int, lowest: int, width: int, chunks: int,
    parts: int,
) -> None:  # fmt: skip
    """sums (chunk, group, block of output channels, row (channel, tap), width) as conv_tile_weight.sum_chunks."""
    lanes, _ = lanes_of(g)
    tiles, spatial, wide = inputs.size, first_read.size - 1, (outer + width - 1) // width
    blocks = (batch + box - 1) // box * spatial
    part, group, chunk = task % parts, task // parts % groups, task // parts // groups
    begin, end = part * wide // parts, (part + 1) * wide // parts
    step, slope_step, sum_step = (
        stride_of(tiles, channels),
        stride_of(tiles, width),
        stride_of(channels, width),
    )
    window, slopes = aligned(box * size * channels, g), aligned(box * slope_size * width, g)
    points, slope_points = aligned_points(tiles, channels, g), aligned(POINTS * slope_step, g)
    totals = aligned((end - begin) * POINTS * sum_step, g)
    start = chunk * blocks // chunks
    for index in range(start, (chunk + 1) * blocks // chunks):
        image, block = index // spatial * box, index % spatial
        images = min(box, batch - image)
        window[:] = 0
        fill_windows(x, image, images, (out_depths, source_depths), group, groups, inner, x_plane, taps, lowest,
                     reads, first_read[block], first_read[block + 1], window, size, channels, places)  # fmt: skip
        for t in range(tiles):
            for c in range(0, channels, lanes):
                transform_input(window, inputs[t] + c, breadth * channels, channels,
                                points, t * channels + c, SIDE * step, step)  # fmt: skip
        for b in range(begin, end):
            slopes[:] = 0
            for n in range(images):
                example, depth = (image + n) // out_depths, (image + n) % out_depths
                at = (((example * groups + group) * outer + b * width) * out_depths + depth) * g_plane
                channels_last(g, at, out_depths * g_plane, min(width, outer - b * width), writes, first_write[block],
                              first_write[block + 1], slopes, n * slope_size * width, slope_places)  # fmt: skip
            for t in range(tiles):
                for v in range(0, width, lanes):
                    transform_slopes(slopes, slope_inputs[t] + v, pitch * width, width,
                                     slope_points, t * width + v, SIDE * slope_step, slope_step)  # fmt: skip
            for p in range(POINTS):
                into = ((b - begin) * POINTS + p) * sum_step
                for r in range(0, channels, ROWS):
                    tile_lines(totals, into + r * width, width, index == start, points, p * step + r, 1, channels,
                               slope_points, p * slope_step, width, tiles, width)  # fmt: skip
    for b in range(begin, end):
        at = ((chunk * groups + group) * wide + b) * inner * taps * TAPS * width
        for c in range(inner):
            for tap in range(taps):
                row = tap * (channels // taps) + c
                for v in range(0, width, lanes):
                    transform_gradient(totals, ((b - begin) * POINTS * sum_step) + row * width + v, SIDE * sum_step,
                                       sum_step, sums, at + (c * taps + tap) * TAPS * width + v, 3 * width,
                                       width)  # fmt: skip
