"""3×3 convolution by Winograd's F(4×4, 3×3), as `winograd`, with lanes along tiles instead of channels.

Nothing is turned: images are read and written as they lie, channel by channel, and the weights are what is broadcast.
A block's tiles lie one behind the other, line after line and image after image; where a line of tiles is longer than
the image, to fill half registers, its last ones are computed and not stored.
"""

from __future__ import annotations

from autograd_core.kernels.conv_tile import aligned, aligned_zeros
from autograd_core.kernels.jit import jit
from autograd_core.kernels.launch import Bytes, Floats, Ints, kernel
from autograd_core.kernels.vector import ROWS, lanes_of, tile_lines
from autograd_core.kernels.winograd_dots import lane_products
from autograd_core.kernels.winograd_lanes import (
    along_input,
    along_slopes,
    down_input,
    down_slopes,
    store_outputs,
)  # fmt: skip
from autograd_core.kernels.winograd_transform import OUTPUTS, transform_gradient

SIDE, POINTS, TAPS = 6, 36, 9
MARGIN = 16  # elements that keep planes of points off multiples of 4 KB, where they would share cache lines
PLACES = 8 * OUTPUTS  # numbers of the table of places for a register of tiles


@jit(inner=True)
def _fill(of_slopes, source, at, image_step, plane, channels, images, rows, top, high, wide, lines, pitch, lead, ends,
          points, first, channel_step, point_step, tiles):  # fmt: skip
    """points[first + c·channel_step + point·point_step + tile] of some images' planes of high · wide, input or slopes.

    A block has `rows` lines of tiles of an image, from its line `top` on. They are `pitch` pixels long, and the image's
    begin at pixel `lead`. `lines` is scratch of zeros: what is not written stays so.
    """
    lanes, _ = lanes_of(points)
    span = lines.size // SIDE
    for c in range(channels):
        for n in range(images):
            for r in range(rows):
                for column in range(0, wide, lanes):
                    begin, here = at + n * image_step + c * plane, top + OUTPUTS * r
                    to = lanes + (n * rows + r) * pitch + lead + column
                    if of_slopes:
                        down_slopes(source, begin, here, column, high, wide, lines, to, span)
                    else:
                        down_input(source, begin, here, column, high, wide, lines, to, span)
        for t in range(0, tiles, lanes):
            begin, to = lanes + OUTPUTS * t, first + c * channel_step + t
            if of_slopes:
                along_slopes(lines, begin, span, ends, t, tiles, points, to, point_step)
            else:
                along_input(lines, begin, span, ends, t, tiles, points, to, point_step)


@jit(inner=True)
def _lines(tiles, like):
    """Scratch for the lines of so many tiles: pixels, with a register before them and one behind."""
    lanes, _ = lanes_of(like)
    return aligned_zeros(SIDE * (OUTPUTS * tiles + 2 * lanes), like)


@kernel
def convolve(
    task: int, source: Floats, weights: Floats, out: Floats, bias: Floats, rectified: int, bad: Bytes, ends: Floats,
    places: Ints, batch: int, groups: int, inner: int, outer: int, box: int, rows: int, spatial: int, tiles: int,
    pitch: int, lead: int, low: int, high: int, wide: int, out_high: int, out_wide: int, filter_step: int, width: int,
    parts: int,
) -> None:  # fmt: skip
    """out (batch, groups·outer, out_high, out_wide) from source (batch, groups·inner, high, wide) and the weights'
    points, as `winograd.filter_points` makes them; bias (groups·outer) or nothing.

    A task is a part of the output channels of a group for one block: `box` images of `rows` lines of tiles, `tiles` in
    all. bad[task] is 1 where a result is not finite.
    """
    lanes, tile_width = lanes_of(out)
    blocks = (outer + width - 1) // width
    part, group, block = task % parts, task // parts % groups, task // parts // groups
    image, block = block // spatial * box, block % spatial
    images = min(box, batch - image)
    begin, end = part * blocks // parts, (part + 1) * blocks // parts
    source_plane, plane = high * wide, out_high * out_wide
    step = (POINTS + 1) * tiles + MARGIN
    points = aligned(max(inner, (end - begin) * width) * step, out)
    _fill(False, source, (image * groups + group) * inner * source_plane, groups * inner * source_plane, source_plane,
                  inner, images, rows, OUTPUTS * block * rows - low, high, wide, _lines(tiles, out), pitch, lead, ends,
                  points, tiles, step, tiles, tiles)  # fmt: skip
    # A point's sums take the place of the point before it, which is done with.
    for p in range(POINTS):
        for b in range(begin, end):
            for o in range(0, min(width, outer - b * width), ROWS):
                for t in range(0, tiles, tile_width):
                    tile_lines(points, ((b - begin) * width + o) * step + p * tiles + t, step, True, weights,
                               ((group * blocks + b) * POINTS + p) * filter_step + o, 1, width, points,
                               (p + 1) * tiles + t, step, inner, tile_width)  # fmt: skip
    doubt = aligned_zeros(lanes, out)
    for o in range(begin * width, min(end * width, outer)):
        shift = bias[group * outer + o] if bias.size else out.dtype.type(0)
        for t in range(0, tiles, lanes):
            store_outputs(points, (o - begin * width) * step + t, tiles, out,
                          ((image * groups + group) * outer + o) * plane, images * groups * outer * plane, out_wide,
                          places, (block * tiles + t) // lanes * PLACES, shift, rectified != 0, doubt)  # fmt: skip
    wrong = out.dtype.type(0)
    for lane in range(lanes):
        wrong += doubt[lane]
    bad[task] = wrong != 0


@kernel
def sum_chunks(
    task: int, g: Floats, x: Floats, sums: Floats, ends: Floats, batch: int, groups: int, inner: int, outer: int,
    box: int, rows: int, spatial: int, tiles: int, pitch: int, lead: int, slope_lead: int, low: int, high: int,
    wide: int, out_high: int, out_wide: int, width: int, chunks: int, parts: int,
) -> None:  # fmt: skip
    """sums (chunk, group, block of output channels, (channel, tap), width) as conv_tile_weight.sum_chunks."""
    lanes, _ = lanes_of(g)
    blocks = (outer + width - 1) // width
    part, group, chunk = task % parts, task // parts % groups, task // parts // groups
    begin, end = part * blocks // parts, (part + 1) * blocks // parts
    x_plane, g_plane, pairs = high * wide, out_high * out_wide, inner + inner % 2
    step, slope_step, sum_step = pairs * tiles + MARGIN, width * tiles + MARGIN, pairs * width
    points, slopes = aligned(POINTS * step, g), aligned(POINTS * slope_step, g)
    for p in range(POINTS):  # channels that fill up a register tile
        for i in range(p * step + inner * tiles, (p + 1) * step):
            points[i] = 0
        for i in range(p * slope_step + min(width, outer) * tiles, (p + 1) * slope_step):
            slopes[i] = 0
    lines, slope_lines = _lines(tiles, g), _lines(tiles, g)
    totals = aligned_zeros((end - begin) * POINTS * sum_step, g)
    count = (batch + box - 1) // box * spatial
    for index in range(chunk * count // chunks, (chunk + 1) * count // chunks):
        image, block = index // spatial * box, index % spatial
        images = min(box, batch - image)
        if images < box:  # what the block before has left of its last images
            for i in range(lines.size):
                lines[i] = slope_lines[i] = 0
        _fill(False, x, (image * groups + group) * inner * x_plane, groups * inner * x_plane, x_plane, inner, images,
                      rows, OUTPUTS * block * rows - low, high, wide, lines, pitch, lead, ends, points, 0, tiles, step,
                      tiles)  # fmt: skip
        for b in range(begin, end):
            filled = min(width, outer - b * width)
            _fill(True, g, ((image * groups + group) * outer + b * width) * g_plane, groups * outer * g_plane,
                          g_plane, filled, images, rows, OUTPUTS * block * rows, out_high, out_wide, slope_lines, pitch,
                          slope_lead, ends, slopes, 0, tiles, slope_step, tiles)  # fmt: skip
            for p in range(POINTS):
                for c in range(0, inner, 2):
                    for o in range(0, filled, lanes // 2):
                        lane_products(totals, ((b - begin) * POINTS + p) * sum_step + c * width + o, width,
                                      points, p * step + c * tiles, tiles, slopes, p * slope_step + o * tiles, tiles,
                                      tiles)  # fmt: skip
    for b in range(begin, end):
        at = ((chunk * groups + group) * blocks + b) * inner * TAPS * width
        for c in range(inner):
            for v in range(0, width, lanes):
                transform_gradient(totals, (b - begin) * POINTS * sum_step + c * width + v, SIDE * sum_step, sum_step,
                                   sums, at + c * TAPS * width + v, 3 * width, width)  # fmt: skip
