"""The convolution's weight-gradient on the same register tile.

dw[o, c, k] = Σ_n Σ_p g[n, o, p] · x[n, c, p·stride + k·dilation − padding]: lanes run over output channels o, the
tile's rows over (c, k), the sum over positions p. Only g is rearranged (channels side by side). The blocks are cut
into a fixed number of chunks whose sums are added in order, so the threads' number does not change a bit.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.conv_tile import aligned_zeros, fill_window, turn
from autograd_core.kernels.jit import jit
from autograd_core.kernels.launch import Floats, Ints, kernel
from autograd_core.kernels.vector import ROWS, lanes_of, tile, transpose

# Bytes of a block's slopes: they are streamed for each tile of rows.
SLOPE_BYTES = 32 << 10


@jit(inner=True)
def turn_back(source, at, plane, channels, count, scratch, to, width):
    """source[channel, position] into scratch (positions, width) for a run of positions."""
    lanes, _ = lanes_of(scratch)
    full = channels // lanes * lanes if count >= lanes else 0
    for c in range(0, full, lanes):
        for i in range(0, count, lanes):
            j = min(i, count - lanes)
            transpose(source, at + c * plane + j, plane, scratch, (to + j) * width + c, width)
    for c in range(full, channels):
        for j in range(count):
            scratch[(to + j) * width + c] = source[at + c * plane + j]


@kernel
def sum_chunks(
    task: int, g: Floats, x: Floats, sums: Floats, rows: Ints, places: Ints, steps: Ints, reads: Ints,
    first_read: Ints, writes: Ints, first_write: Ints, batch: int, groups: int, inner: int, outer: int, box: int,
    positions: int, size: int, x_plane: int, g_plane: int, width: int, chunks: int, parts: int,
) -> None:  # fmt: skip
    """sums (chunk, group, block of output channels, row, width), each summed over the chunk's blocks of positions.

    g (batch, groups·outer, g_plane), x (batch, groups·inner, x_plane); rows: window offset of each (channel, tap),
    steps: of each position. A task is a chunk of the blocks, for a part of the output channels of a group.
    """
    wide = (outer + width - 1) // width
    spatial = first_read.size - 1
    blocks = (batch + box - 1) // box * spatial
    part, group, chunk = task % parts, task // parts % groups, task // parts // groups
    window = np.zeros(inner * box * size, g.dtype)
    slopes = aligned_zeros(box * positions * width, g)
    first, past = chunk * blocks // chunks, (chunk + 1) * blocks // chunks
    for index in range(first, past):
        image, block = index // spatial * box, index % spatial
        images = min(box, batch - image)
        if index > first and (spatial > 1 or images < box):  # else the same places are filled again
            window[:] = 0
            slopes[:] = 0
        fill_window(x, (image * groups + group) * inner * x_plane, groups * inner * x_plane, x_plane,
                    inner, images, reads, first_read[block], first_read[block + 1], window, size, box)  # fmt: skip
        for b in range(part * wide // parts, (part + 1) * wide // parts):
            channels = min(width, outer - b * width)
            if channels < width:
                slopes[:] = 0
            for n in range(images):
                at = (((image + n) * groups + group) * outer + b * width) * g_plane
                for r in range(first_write[block], first_write[block + 1]):
                    turn_back(g, at + writes[3 * r + 1], g_plane, channels, writes[3 * r + 2],
                              slopes, n * positions + writes[3 * r], width)  # fmt: skip
            into = sums[((chunk * groups + group) * wide + b) * rows.size * width :]
            for r in range(0, rows.size, ROWS):
                tile(into, places, index == first, window, rows, r, slopes, 0, steps, 0, steps.size, width)


@kernel
def add_chunks(
    task: int, sums: Floats, dw: Floats, outer: int, terms: int, filled: int, chunks: int, width: int
) -> None:
    """dw (group, channel, term) from sums, the chunks added in their order. A task is a block of output channels."""
    wide = (outer + width - 1) // width
    each = filled * width
    total = np.zeros(each, dw.dtype)
    for chunk in range(chunks):
        at = np.uint64((chunk * (sums.size // (chunks * each)) + task) * each)
        for i in range(np.uint64(each)):
            total[i] += sums[at + i]
    group, first = task // wide, task % wide * width
    turn(total, 0, width, terms, min(width, outer - first), dw, (group * outer + first) * terms, terms)
