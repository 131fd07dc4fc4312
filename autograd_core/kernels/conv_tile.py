"""Convolution as a product of register tiles, read straight from the padded image: forward and input-gradient.

Lanes run over output channels and the tile's rows over output positions, whose input elements are broadcast:
nothing is rearranged but the weights, and any stride, dilation and width runs at the same rate. For each block of
positions and of channels the sums over (channel, tap) gather in a scratch block, turned into y at the end.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from autograd_core.kernels.conv_plan import GRID, OUT_START, OUT_STEP, START, STEP, TAP, TAPS
from autograd_core.kernels.jit import jit
from autograd_core.kernels.vector import BITS, ROWS, VECTORS, tile, transpose

# Positions of a block: with 16 channels its scratch is 15 KB, half of a 32 KB first-level cache.
POSITIONS = 240
# Terms (channel, tap) of a block: 288 × 16 weights are 18 KB, read once for each tile of a block of positions.
TERMS = 288


@jit(inner=True)
def lanes_of(array):
    """(lanes of a vector, lanes of a tile's row) for the array's dtype."""
    lanes = BITS // 8 // array.itemsize
    return lanes, VECTORS * lanes


@jit(inner=True)
def copy_run(out, out_at, source, source_at, count):
    """Unsigned indices: a signed one is tested for counting from the end, and LLVM does not vectorise the copy."""
    into, begin = np.uint64(out_at), np.uint64(source_at)
    for i in range(np.uint64(count)):
        out[into + i] = source[begin + i]


@jit(inner=True)
def pad_plane(source, size, out, out_at, low, padded):
    """Copy a (D, H, W) plane into its place inside the zero margins."""
    for d in range(size[0]):
        for h in range(size[1]):
            into = out_at + ((d + low[0]) * padded[1] + h + low[1]) * padded[2] + low[2]
            begin = (d * size[1] + h) * size[2]
            copy_run(out, into, source, begin, size[2])


@jit(parallel=True)
def pad_all(source, size, out, low, padded):
    """source (planes, D·H·W) into out (planes, padded plane), zeros on entry."""
    for p in prange(source.shape[0]):
        pad_plane(source[p], size, out[p], 0, low, padded)


@jit
def pack_weights(w, sizes, of_input, passes, tap_weight):
    """w (O, C/groups, taps) as (pass, group, block of `outer` channels, inner channel, tap of the pass, lane).

    Lanes are output channels going forward and input channels (of_input) going back; missing ones are 0.
    """
    groups, inner, outer = sizes
    _, width = lanes_of(w)
    blocks = (outer + width - 1) // width
    packed = np.zeros(tap_weight.size * groups * blocks * inner * width, w.dtype)
    at = 0
    for p in range(passes.shape[0]):
        taps = passes[p, TAPS]
        for block in range(groups * blocks):
            group, first = block // blocks, block % blocks * width
            for lane in range(min(width, outer - first)):
                for i in range(inner):
                    source = (
                        w[group * inner + i, first + lane] if of_input else w[group * outer + first + lane, i]
                    )
                    for t in range(taps):
                        packed[at + (i * taps + t) * width + lane] = source[tap_weight[passes[p, TAP] + t]]
            at += inner * taps * width
    return packed


@jit
def list_terms(inner, plane, passes, tap_source):
    """Offset of each term (channel, tap) in the padded source, for all passes after each other."""
    terms = np.empty(inner * tap_source.size, np.int64)
    at = 0
    for p in range(passes.shape[0]):
        for i in range(inner):
            for t in range(passes[p, TAP], passes[p, TAP] + passes[p, TAPS]):
                terms[at] = i * plane + tap_source[t]
                at += 1
    return terms


@jit(inner=True)
def list_positions(row, first, count, rows, targets):
    """Source and output offsets of positions first … first+count−1 of a pass, filled up to whole tiles."""
    for j in range(count):
        q = first + j
        w = q % row[GRID + 2]
        h = q // row[GRID + 2] % row[GRID + 1]
        d = q // (row[GRID + 2] * row[GRID + 1])
        rows[j] = row[START] + d * row[STEP] + h * row[STEP + 1] + w * row[STEP + 2]
        targets[j] = row[OUT_START] + d * row[OUT_STEP] + h * row[OUT_STEP + 1] + w * row[OUT_STEP + 2]
    filled = (count + ROWS - 1) // ROWS * ROWS
    for j in range(count, filled):
        rows[j] = rows[count - 1]
    return filled


@jit(inner=True)
def write_block(block, count, channels, out, out_at, out_plane, targets, whole):
    """block (positions, lanes) into out[channel, target of the position]."""
    lanes, width = lanes_of(block)
    if not whole:
        for c in range(channels):
            into = out_at + c * out_plane
            for j in range(count):
                out[into + targets[j]] = block[j * width + c]
        return
    first = out_at + targets[0]
    squares, full = count // lanes * lanes, channels // lanes * lanes
    for c in range(0, full, lanes):
        for j in range(0, squares, lanes):
            transpose(block, j * width + c, width, out, first + c * out_plane + j, out_plane)
    for c in range(channels):
        for j in range(squares if c < full else 0, count):
            out[first + c * out_plane + j] = block[j * width + c]


@jit(inner=True)
def one_image(source, source_at, plane, packed, terms, out, out_at, out_plane, sizes, passes, whole, part, parts,
              block, rows, targets):  # fmt: skip
    """All passes of one image; `part` takes every parts-th block of positions from the part-th on."""
    groups, inner, outer = sizes
    _, width = lanes_of(out)
    blocks = (outer + width - 1) // width
    term_at, weight_at, turn = 0, 0, 0
    for p in range(passes.shape[0]):
        row = passes[p]
        count = inner * row[TAPS]
        positions = row[GRID] * row[GRID + 1] * row[GRID + 2]
        steps = terms[term_at : term_at + count]
        for first in range(0, positions, POSITIONS):
            turn += 1
            if turn % parts != part:
                continue
            here = min(POSITIONS, positions - first)
            filled = list_positions(row, first, here, rows, targets)
            for b in range(groups * blocks):
                group, channel = b // blocks, b % blocks * width
                for k in range(0, count, TERMS):
                    for j in range(0, filled, ROWS):
                        tile(block, j * width, k == 0, source, source_at + group * inner * plane, rows, j,
                             packed, weight_at + b * count * width, steps, k, min(count, k + TERMS))  # fmt: skip
                write_block(block, here, min(width, outer - channel), out,
                            out_at + (group * outer + channel) * out_plane, out_plane, targets, whole)  # fmt: skip
        term_at += count
        weight_at += groups * blocks * count * width


@jit(parallel=True)
def convolve(x, size, low, padded, packed, terms, out, sizes, passes, whole, batch, tasks, parts):
    """out (batch·outer channels, plane) from x (batch·inner channels, plane); sizes: groups, inner, outer per group.

    tasks × parts pieces of work, the same for any number of threads: images shared out, each split into parts.
    """
    plane = padded[0] * padded[1] * padded[2]
    _, width = lanes_of(out)
    channels, out_channels = sizes[0] * sizes[1], sizes[0] * sizes[2]
    direct = x.shape[1] == plane
    for piece in prange(tasks * parts):
        task = piece // parts
        block = np.empty((POSITIONS + ROWS) * width, out.dtype)
        rows = np.empty(POSITIONS + ROWS, np.int64)
        targets = np.empty(POSITIONS + ROWS, np.int64)
        image = x.reshape(-1) if direct else np.zeros(channels * plane, out.dtype)
        for n in range(task * batch // tasks, (task + 1) * batch // tasks):
            if not direct:
                for c in range(channels):
                    pad_plane(x[n * channels + c], size, image, c * plane, low, padded)
            one_image(image, n * channels * plane if direct else 0, plane, packed, terms, out.reshape(-1),
                      n * out_channels * out.shape[1], out.shape[1], sizes, passes, whole, piece % parts, parts,
                      block, rows, targets)  # fmt: skip
