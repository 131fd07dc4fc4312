"""The convolution's weight-gradient on the same register tile.

dw[o, c, k] = Σ_n Σ_p g[n, o, p] · x[n, c, p·stride + k·dilation − padding]: lanes run over output channels o, the
tile's rows over (c, k), the sum over positions p. Only g is rearranged (channels side by side). The batch is cut
into a fixed number of chunks whose sums are added in order, so the threads' number does not change a bit.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from autograd_core.kernels.conv_plan import GRID, STEP
from autograd_core.kernels.conv_tile import lanes_of, pad_plane
from autograd_core.kernels.jit import jit
from autograd_core.kernels.vector import ROWS, tile, transpose

# Positions of a block: 256 × 16 slopes are 16 KB, read once for each tile of rows.
POSITIONS = 256


@jit(inner=True)
def list_steps(row):
    """Source offset of each output position."""
    steps = np.empty(row[GRID] * row[GRID + 1] * row[GRID + 2], np.int64)
    at = 0
    for d in range(row[GRID]):
        for h in range(row[GRID + 1]):
            for w in range(row[GRID + 2]):
                steps[at] = d * row[STEP] + h * row[STEP + 1] + w * row[STEP + 2]
                at += 1
    return steps


@jit(inner=True)
def list_rows(inputs, plane, tap_source, filled):
    """Source offset of each (channel, tap), the last one repeated to fill whole tiles."""
    rows = np.empty(filled, np.int64)
    for r in range(filled):
        last = min(r, inputs * tap_source.size - 1)
        rows[r] = last // tap_source.size * plane + tap_source[last % tap_source.size]
    return rows


@jit(inner=True)
def turn_slopes(g, g_at, plane, channels, first, count, block):
    """g's (channel, position) into block's (position, lane); lanes without a channel stay 0."""
    lanes, width = lanes_of(block)
    squares, full = count // lanes * lanes, channels // lanes * lanes
    for c in range(0, full, lanes):
        for j in range(0, squares, lanes):
            transpose(g, g_at + c * plane + first + j, plane, block, j * width + c, width)
    for c in range(channels):
        for j in range(squares if c < full else 0, count):
            block[j * width + c] = g[g_at + c * plane + first + j]


@jit(inner=True)
def one_chunk(g, x, size, low, padded, sums, sizes, row, tap_source, begin, end):
    """The sums of images begin … end−1 into sums (group, block, row, lane)."""
    groups, inputs, outputs = sizes
    plane = padded[0] * padded[1] * padded[2]
    _, width = lanes_of(g)
    blocks = (outputs + width - 1) // width
    filled = (inputs * tap_source.size + ROWS - 1) // ROWS * ROWS
    rows, steps = list_rows(inputs, plane, tap_source, filled), list_steps(row)
    direct = x.shape[1] == plane
    image = x.reshape(-1) if direct else np.zeros(groups * inputs * plane, x.dtype)
    slopes = g.reshape(-1)
    block = np.empty(POSITIONS * width, g.dtype)
    for n in range(begin, end):
        if not direct:
            for c in range(groups * inputs):
                pad_plane(x[n * groups * inputs + c], size, image, c * plane, low, padded)
        for b in range(groups * blocks):
            group, channel = b // blocks, b % blocks * width
            channels = min(width, outputs - channel)
            if channels < width:
                block[:] = 0
            image_at = ((n * groups if direct else 0) + group) * inputs * plane
            g_at = ((n * groups + group) * outputs + channel) * g.shape[1]
            for first in range(0, steps.size, POSITIONS):
                count = min(POSITIONS, steps.size - first)
                turn_slopes(slopes, g_at, g.shape[1], channels, first, count, block)
                fresh = n == begin and first == 0
                for r in range(0, filled, ROWS):
                    tile(sums, (b * filled + r) * width, fresh, image, image_at, rows, r,
                         block, 0, steps[first:], 0, count)  # fmt: skip


@jit(inner=True)
def add_chunks(sums, dw, o, blocks, filled, outputs):
    """dw[o] = Σ over chunks, in their order."""
    _, width = lanes_of(sums)
    group, j = o // outputs, o % outputs
    at = (group * blocks + j // width) * filled * width + j % width
    for r in range(dw.shape[1]):
        total = sums[0, at + r * width]
        for chunk in range(1, sums.shape[0]):
            total += sums[chunk, at + r * width]
        dw[o, r] = total


@jit(parallel=True)
def weight_grad(g, x, size, low, padded, dw, sizes, row, tap_source, batch, chunks):
    """dw (O, C/groups·taps) from g (batch·O, positions) and x (batch·C, plane); sizes as in conv_tile.convolve."""
    _, width = lanes_of(g)
    blocks = (sizes[2] + width - 1) // width
    filled = (dw.shape[1] + ROWS - 1) // ROWS * ROWS
    sums = np.empty((chunks, sizes[0] * blocks * filled * width), g.dtype)
    for chunk in prange(chunks):
        one_chunk(g, x, size, low, padded, sums[chunk], sizes, row, tap_source,
                  chunk * batch // chunks, (chunk + 1) * batch // chunks)  # fmt: skip
    for o in range(dw.shape[0]):
        add_chunks(sums, dw, o, blocks, filled, sizes[2])
