"""Convolution of lines with 3 taps at stride 1 by Winograd's F(4, 3): half of the multiplications of the direct sum.

Four neighbouring outputs of a line, a tile, are made of 6 products instead of 12, at 6 points. As in `winograd_tiles`
lanes run along the tiles and weights are broadcast, so lines are read and written where they lie.

Source: S. Winograd, "Arithmetic complexity of computations", 1980; A. Lavin, S. Gray, "Fast algorithms for
convolutional neural networks", 2016.
"""

from __future__ import annotations

from autograd_core.kernels.conv_tile import aligned, aligned_zeros
from autograd_core.kernels.launch import Bytes, Floats, kernel
from autograd_core.kernels.vector import ROWS, lanes_of, tile_lines
from autograd_core.kernels.winograd_line_lanes import line_filter, line_outputs, line_points
from autograd_core.kernels.winograd_transform import OUTPUTS, SIZE, TAPS

MARGIN = 16  # elements that keep channels off multiples of 4 KB, where they would share cache lines


@kernel
def filter_points(task: int, packed: Floats, points: Floats, inner: int, step: int, width: int) -> None:
    """points (block of output channels, 6, inner channel, width) of weights as `conv_pack.pack` leaves them.

    Planes of points are `step` apart. A task is a block.
    """
    lanes, _ = lanes_of(packed)
    for c in range(inner):
        for v in range(0, width, lanes):
            line_filter(packed, (task * inner + c) * TAPS * width + v, width, points,
                        task * SIZE * step + c * width + v, step)  # fmt: skip


@kernel
def convolve(
    task: int, source: Floats, weights: Floats, out: Floats, bias: Floats, rectified: int, bad: Bytes, batch: int,
    groups: int, inner: int, outer: int, box: int, span: int, spatial: int, low: int, size: int, out_size: int,
    filter_step: int, width: int, parts: int,
) -> None:  # fmt: skip
    """out (batch, groups·outer, out_size) from source (batch, groups·inner, size), `low` zeros before it, and the
    weights' points; bias (groups·outer) or nothing.

    A task is a part of the output channels of a group for one block: `span` tiles of a line, in each of `box` images.
    bad[task] is 1 where a result is not finite.
    """
    lanes, tile_width = lanes_of(out)
    blocks = (outer + width - 1) // width
    part, group, block = task % parts, task // parts % groups, task // parts // groups
    image, first = block // spatial * box, block % spatial * span
    images, length = min(box, batch - image), min(span, (out_size + OUTPUTS - 1) // OUTPUTS - first)
    begin, end = part * blocks // parts, (part + 1) * blocks // parts
    # An image's tiles follow the one's before. The last vector of these reaches beyond, and is written over.
    tiles = (images * length + lanes - 1) // lanes * lanes
    plane = tiles + lanes
    step = (SIZE + 1) * plane + MARGIN
    points = aligned(max(inner, (end - begin) * width) * step, out)
    for c in range(inner):
        for n in range(images):
            at = ((image + n) * groups + group) * inner + c
            for t in range(0, length if n < images - 1 else tiles - n * length, lanes):
                line_points(source, at * size, OUTPUTS * (first + t) - low, size, points,
                            c * step + plane + n * length + t, plane)  # fmt: skip
    # A point's sums take the place of the point before it, which is done with.
    for p in range(SIZE):
        for b in range(begin, end):
            for o in range(0, min(width, outer - b * width), ROWS):
                for t in range(0, tiles, tile_width):
                    tile_lines(points, ((b - begin) * width + o) * step + p * plane + t, step, True, weights,
                               ((group * blocks + b) * SIZE + p) * filter_step + o, 1, width, points,
                               (p + 1) * plane + t, step, inner, min(tile_width, tiles - t))  # fmt: skip
    doubt = aligned_zeros(lanes, out)
    for o in range(begin * width, min(end * width, outer)):
        shift = bias[group * outer + o] if bias.size else out.dtype.type(0)
        for n in range(images):
            at = ((image + n) * groups + group) * outer + o
            for t in range(0, length, lanes):
                line_outputs(points, (o - begin * width) * step + n * length + t, plane, out, at * out_size,
                             OUTPUTS * (first + t), out_size, shift, rectified != 0, doubt)  # fmt: skip
    wrong = out.dtype.type(0)
    for lane in range(lanes):
        wrong += doubt[lane]
    bad[task] = wrong != 0
