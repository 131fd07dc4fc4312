"""The convolution's weight-gradient on the same register tile.

dw[o, c, k] = Σ_n Σ_p g[n, o, p] · x[n, c, p·stride + k·dilation − padding]: lanes run over output channels o, the
tile's rows over (c, k), the sum over positions p. Only g is rearranged (channels side by side); x is read in place or,
where that would leave many rows of tiles empty, from padded windows (`conv_weight_plan`). The blocks are cut into a
fixed number of chunks whose sums are added in order, so the threads' number does not change a bit.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.conv_tile import aligned_zeros, channels_last, clear, fill_window, turn
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
    task: int, g: Floats, x: Floats, sums: Floats, blocks: Ints, passes: Ints, rows: Ints, targets: Ints, steps: Ints,
    places: Ints, reads: Ints, first_read: Ints, writes: Ints, first_write: Ints, batch: int, groups: int, inner: int,
    outer: int, terms: int, box: int, positions: int, size: int, x_plane: int, g_plane: int, width: int, chunks: int,
    parts: int,
) -> None:  # fmt: skip
    """sums (chunk, group, block of output channels, term, width), each summed over the chunk's blocks of positions.

    g (batch, groups·outer, g_plane), x (batch, groups·inner, x_plane), read in windows of `size` or, where that is 0,
    in place; rows: offset of each (channel, tap), steps: of each position. A task is a chunk of the blocks, for a part
    of the output channels of a group.
    """
    wide = (outer + width - 1) // width
    spatial = first_write.size - 1
    all_blocks = (batch + box - 1) // box * spatial
    part, group, chunk = task % parts, task // parts % groups, task // parts // groups
    window = aligned_zeros(inner * box * size, g)
    slopes = aligned_zeros(box * positions * width, g)
    first, past = chunk * all_blocks // chunks, (chunk + 1) * all_blocks // chunks
    for index in range(first, past):
        image, block = index // spatial * box, index % spatial
        images = min(box, batch - image)
        at = (image * groups + group) * inner * x_plane
        source = x[at + blocks[4 * block + 2] :]
        if size:
            if index > first and (spatial > 1 or images < box):  # else the same places are filled again
                clear(window)
                clear(slopes)
            fill_window(x, at, groups * inner * x_plane, x_plane,
                        inner, images, reads, first_read[block], first_read[block + 1], window, size, box)  # fmt: skip
            source = window
        begin = blocks[4 * block + 3]
        for b in range(part * wide // parts, (part + 1) * wide // parts):
            channels = min(width, outer - b * width)
            if channels < width:
                clear(slopes)
            for n in range(images):
                here = (((image + n) * groups + group) * outer + b * width) * g_plane
                channels_last(g, here, g_plane, channels, writes, first_write[block], first_write[block + 1], slopes, 0,
                              places[begin + n * positions :])  # fmt: skip
            into = sums[((chunk * groups + group) * wide + b) * terms * width :]
            for p in range(5 * blocks[4 * block], 5 * blocks[4 * block + 1], 5):
                fresh = index == first and passes[p + 4] == 0
                for r in range(passes[p], passes[p + 1], ROWS):
                    tile(into, targets, fresh, source, rows, r,
                         slopes, -begin * width, steps, passes[p + 2], passes[p + 3], width)  # fmt: skip


@kernel
def add_chunks(
    task: int, sums: Floats, dw: Floats, outer: int, terms: int, filled: int, chunks: int, width: int
) -> None:
    """dw (group, channel, term) from sums, the chunks added in their order. A task is a block of output channels."""
    wide = (outer + width - 1) // width
    each = filled * width
    total = aligned_zeros(each, dw)
    for chunk in range(chunks):
        at = np.uint64((chunk * (sums.size // (chunks * each)) + task) * each)
        for i in range(np.uint64(each)):
            total[i] += sums[at + i]
    group, first = task // wide, task % wide * width
    turn(total, 0, width, terms, min(width, outer - first), dw, (group * outer + first) * terms, terms)
