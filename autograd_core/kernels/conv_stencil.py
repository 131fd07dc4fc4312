"""Convolution with few output channels in a group: depthwise, a first layer's input-gradient, a last layer.

Lanes run along the image's lines, over the segments and stencils of stencil_plan. Going back with a stride, the outputs
of each residue are computed as lines of their own and put in between each other: in registers, or after all are summed.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.conv_tile import copy_run
from autograd_core.kernels.jit import jit
from autograd_core.kernels.lanes import interleave, lanes_of, load, piece, store
from autograd_core.kernels.launch import Floats, Ints, kernel
from autograd_core.kernels.stencil import stencil, stencil_dots, stencil_pairs
from autograd_core.kernels.stencil_plan import SEGMENT, STENCIL
from autograd_core.kernels.vector import lanes_of as vector_lanes

OUTER = 4  # most output channels in a group


@jit(inner=True)
def put_between(out, to, pitch, step, source, size, across, width, lines):
    """out[to + l·pitch + i·step + r] = source[r·size + l·across + i], where i·step + r is under width.

    The lines of all residues r become one.
    """
    lanes, pairs = lanes_of(out), width // 2
    for line in range(lines):
        into, at = to + line * pitch, line * across
        if step == 1:
            copy_run(out, into, source, at, width)
        elif step == 2 and pairs >= lanes:
            for i in range(0, pairs, lanes):
                j = min(i, pairs - lanes)
                low, high = interleave(load(source, at + j), load(source, at + size + j))
                store(out, into + 2 * j, low)
                store(out, into + 2 * j + lanes, high)
            if width % 2:
                out[into + width - 1] = source[at + pairs]
        else:
            for r in range(step):
                for i in range((width - r + step - 1) // step):
                    out[into + i * step + r] = source[at + r * size + i]


@jit(inner=True)
def copy_inside(window, source, begin, end):
    """source[begin : end] to the window's beginning, 0 where that is outside of the source."""
    window[:] = 0
    first, past = max(begin, 0), min(end, source.size)
    copy_run(window, first - begin, source, first, past - first)


@piece
def sum_stencils(
    out, to, size, exact, source, at, weights, weight_at, masks, passes, here, stencils, steps, fresh, step_w, wrap,
    mask_pitch, loops, count, across, every, pitch,
):  # fmt: skip
    """The stencils of a segment: out[to + p·size + …] (+)= those of residue p.

    The last vector of a line reaches over its end, into the next one, which is written later. `exact`: not so on the
    last line, which is made by a single stencil.
    """
    lanes, _ = vector_lanes(out)
    for p in range(step_w):
        begin, end = passes[here + 2 * p], passes[here + 2 * p + 1]
        for s in range(begin, end):
            i = STENCIL * s
            for part in range(3 if exact else 1):
                # All lines; or all but the last, its whole vectors, and its last one to end where the line does.
                line = loops - 1 if part else 0
                first = count - lanes if part == 2 else 0
                long = lanes if part == 2 else count // lanes * lanes if part else count
                stencil(stencils[i], stencils[i + 1], every, out, to + p * size + line * across + first, across,
                        fresh and s == begin, weights, weight_at + stencils[i + 2], source,
                        at + stencils[i + 4] + line * pitch + first * every, pitch, steps, stencils[i + 3], masks,
                        stencils[i + 5] * mask_pitch + first % wrap, mask_pitch, wrap, 1 if part else loops - exact,
                        long)  # fmt: skip
        if begin == end and fresh:
            out[to + p * size : to + p * size + loops * count] = 0


@piece
def sum_pairs(
    out, to, out_pitch, source, at, weights, weight_at, masks, passes, here, stencils, steps, mask_pitch, lines, count,
    pitch,
):  # fmt: skip
    """A segment's two residues, each of them a single stencil, as whole lines of out."""
    i, j = STENCIL * passes[here], STENCIL * passes[here + 2]
    stencil_pairs(stencils[i], stencils[i + 1], stencils[j + 1], out, to, out_pitch, weights,
                  weight_at + stencils[i + 2], weight_at + stencils[j + 2], source, at + stencils[i + 4],
                  at + stencils[j + 4], pitch, steps, stencils[i + 3], masks, stencils[i + 5] * mask_pitch,
                  stencils[j + 5] * mask_pitch, mask_pitch, lines, count)  # fmt: skip


@kernel
def convolve(
    task: int, source: Floats, weights: Floats, out: Floats, masks: Floats, segments: Ints, passes: Ints,
    stencils: Ints, steps: Ints, images: int, groups: int, inner: int, outer: int, wrap: int, span: int, size: int,
    flat: int, across: int, every: int, pitch: int, width: int, step_h: int, step_w: int, mask_pitch: int,
    source_plane: int, out_plane: int, tasks: int,
) -> None:  # fmt: skip
    """out (images, outer, out_plane) from source (images, inner, source_plane), an image for each group of a batch's.

    weights (group, outer, inner, tap in the stencils' order). A task is some of the segments of all images.
    """
    lanes, _ = vector_lanes(out)
    taps = weights.size // (groups * outer * inner)
    window, sums = np.empty(span, out.dtype), np.empty(step_w * size, out.dtype)
    count = segments.size // SEGMENT
    first, past = task * images * count // tasks, (task + 1) * images * count // tasks
    image, s = first // count, first % count
    group = image % groups
    for left in range(past - first, 0, -1):
        at_s, here = s * SEGMENT, s * 2 * step_w
        lines, low, high = segments[at_s + 2], segments[at_s + 3], segments[at_s + 4]
        loops, long = (1, lines * across) if flat else (lines, across)
        # One stencil that makes whole lines writes them where they belong; all else is summed first.
        single = inner == 1 and passes[here + 1] - passes[here] == 1
        exact = left == 1 or (outer > 1 and s + 1 == count) or segments[at_s + 5] < lanes
        straight = single and step_w == step_h == 1 and long >= lanes
        # So do two residues of one stencil each, which are put between each other in registers.
        twice = single and step_w == 2 and passes[here + 3] - passes[here + 2] == 1
        paired = twice and width == 2 * across and across >= lanes
        for o in range(outer):
            to = (image * outer + o) * out_plane + segments[at_s + 1]
            direct = paired or straight
            for c in range(inner):
                data, at = source, (image * inner + c) * source_plane + segments[at_s]
                weight = ((group * outer + o) * inner + c) * taps
                if at + low < 0 or at + high > source.size:
                    copy_inside(window, source, at + low, at + high)
                    data, at, direct = window, -low, paired
                if paired:
                    sum_pairs(out, to, step_h * width, data, at, weights, weight, masks, passes, here, stencils,
                              steps, mask_pitch, lines, across, pitch)  # fmt: skip
                elif direct:
                    sum_stencils(out, to, 0, exact, data, at, weights, weight, masks, passes, here, stencils, steps,
                                 True, 1, wrap, mask_pitch, loops, long, across, every, pitch)  # fmt: skip
                else:
                    sum_stencils(sums, 0, size, False, data, at, weights, weight, masks, passes, here, stencils,
                                 steps, c == 0, step_w, wrap, mask_pitch, loops, long, across, every,
                                 pitch)  # fmt: skip
            if not direct:
                put_between(out, to, step_h * width, step_w, sums, size, across, width, lines)
        s += 1
        if s == count:
            s, image = 0, image + 1
            group = group + 1 if group + 1 < groups else 0


@jit(inner=True)
def add_lanes(parts, lanes, sums, at):
    """sums[at + i] = Σ parts[i·lanes : (i + 1)·lanes]."""
    for i in range(parts.size // lanes):
        sums[at + i] = parts[i * lanes : (i + 1) * lanes].sum()


@kernel
def weight_grad(
    task: int, g: Floats, x: Floats, sums: Floats, masks: Floats, segments: Ints, passes: Ints, stencils: Ints,
    steps: Ints, images: int, groups: int, inner: int, outer: int, wrap: int, span: int, size: int, flat: int,
    across: int, every: int, pitch: int, mask_pitch: int, x_plane: int, g_plane: int, chunks: int,
) -> None:  # fmt: skip
    """sums (chunk, group, outer, inner, tap in the stencils' order). A task is a group's chunk of segments."""
    lanes, _ = vector_lanes(g)
    terms = sums.size // (chunks * groups * outer * inner)
    parts = np.zeros(outer * inner * terms * lanes, g.dtype)  # each sum's lanes
    group, chunk = task % groups, task // groups
    window, slopes = np.zeros(span, g.dtype), np.zeros(size, g.dtype)
    count = segments.size // SEGMENT
    blocks = images // groups * count
    for index in range(chunk * blocks // chunks, (chunk + 1) * blocks // chunks):
        segment, image = index % count * SEGMENT, index // count * groups + group
        lines, low, high = segments[segment + 2], segments[segment + 3], segments[segment + 4]
        loops, long = (1, lines * across) if flat else (lines, across)
        own = passes[2 * (index % count) :]
        for o in range(outer):
            g_at = (image * outer + o) * g_plane + segments[segment + 1]
            whole = long // lanes * lanes if flat else long
            if whole < long:
                copy_inside(slopes[:lanes], g[: g_at + long], g_at + whole, g_at + whole + lanes)
            beyond = not flat and g_at + lines * across + lanes > g.size
            if beyond:
                copy_inside(slopes, g, g_at, g_at + lines * across)
            slope, slope_at = (slopes, 0) if beyond else (g, g_at)
            for c in range(inner):
                data, at = x, (image * inner + c) * x_plane + segments[segment]
                if at + low < 0 or at + high > x.size:
                    copy_inside(window, x, at + low, at + high)
                    data, at = window, -low
                to = (o * inner + c) * terms
                for s in range(STENCIL * own[0], STENCIL * own[1], STENCIL):
                    mask, here, first = (
                        stencils[s + 5] * mask_pitch,
                        at + stencils[s + 4],
                        (to + stencils[s + 2]) * lanes,
                    )
                    stencil_dots(stencils[s], stencils[s + 1], every, parts, first, slope, slope_at, across, data, here,
                                 pitch, steps, stencils[s + 3], masks, mask, mask_pitch, wrap, loops,
                                 whole)  # fmt: skip
                    if whole < long:
                        stencil_dots(stencils[s], stencils[s + 1], every, parts, first, slopes, 0, across, data,
                                     here + whole, pitch, steps, stencils[s + 3], masks, mask + whole % wrap,
                                     mask_pitch, wrap, 1, lanes)  # fmt: skip
    add_lanes(parts, lanes, sums, (chunk * groups + group) * outer * inner * terms)


@kernel
def add_chunks(task: int, sums: Floats, dw: Floats, order: Ints, rows: int, chunks: int) -> None:
    """dw (row, tap), the sum of sums (chunk, row, place), where order[place] is the tap that stands there."""
    taps = order.size
    for row in range(rows):
        for place in range(taps):
            total = dw.dtype.type(0)
            for chunk in range(chunks):
                total += sums[(chunk * rows + row) * taps + place]
            dw[row * taps + order[place]] = total
