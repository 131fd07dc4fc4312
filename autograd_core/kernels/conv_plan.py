"""How a convolution is cut into blocks: which output positions, which source window, which taps. Plain Python.

A block is a box of output positions of one or several images. It reads a window of the source: the box with its halo,
copied so that padding is part of it and lines lie close together. Relative to the window every block looks the same,
so one set of tables serves them all; a block at the edge computes the whole box and keeps what is inside.

A pass is Σ_c Σ_taps weight · source over some positions of the box. The forward convolution is one pass. The
input-gradient is one pass for each residue of the position modulo the stride: on such a grid it is a stride-1
convolution with those taps that meet it, so no multiplication by an inserted zero is ever done.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autograd_core.kernels.conv_geometry import Geometry, Three, three
from autograd_core.kernels.vector import ROWS

Four = tuple[int, int, int, int]
Table = npt.NDArray[np.int64]

# Most positions of a block, and most bytes of its window: it is read again for each block of output channels, so it
# must stay in the second-level cache. Fewer than so many blocks would leave cores without work.
POSITIONS = (1024, 512, 256, 128, 64)
WINDOW_BYTES = 192 << 10
LEAST_BLOCKS = 16
MOST_WINDOW_BYTES = 4 << 30  # of a window that dilation or padding make so large
# A parallel region costs some 5 µs: what a core multiplies and adds in that time, or so many points, runs serially.
SERIAL = 400_000
MOST_TASKS = 64  # pieces that many small blocks are gathered to


class Axis(NamedTuple):
    """One spatial axis: output position o·step + r reads the source at o·rate + its taps' offsets − low."""

    out: int  # output positions
    step: int  # residues: 1 going forward, the stride going back
    rate: int  # source positions for `step` output positions
    low: int  # source positions before the first one
    reach: int  # source positions after the one at offset 0
    taps: list[list[tuple[int, int]]]  # for each residue: (offset in the window, number of the tap)

    def window(self, box: int) -> int:
        """Source positions that `box` output positions read; box is a multiple of step."""
        return self.low + (box // self.step - 1) * self.rate + 1 + self.reach


Axes = tuple[Axis, Axis, Axis]


class Runs(NamedTuple):
    """For each block of an image, the runs of positions that it has in common with a plane."""

    table: Table  # (place in the block, position in the plane, length), run after run
    first: Table  # of each block, its first run; then the number of all


class Blocks(NamedTuple):
    """Blocks of positions: boxes of an image, or of several whole images."""

    images: int  # in a block
    positions: int  # of an image in a block
    window: int  # source elements of an image in a block, for one channel
    spatial: int  # blocks of an image
    count: int  # blocks of the batch
    reads: Runs  # of the window from the source plane
    writes: Runs  # of the box to the output plane


class Plan(NamedTuple):
    """The tables of one convolution. Offsets count elements inside the window, or positions inside the box."""

    blocks: Blocks
    passes: Table  # first and past-last entry of rows and targets, first and past-last entry of steps; pass by pass
    rows: Table  # source offset in the window of each position, passes filled up to whole tiles
    targets: Table  # position in the box that it is for
    steps: Table  # offset of each term (inner channel, tap of the pass), pass by pass
    taps: tuple[Table, ...]  # of each pass, its taps' numbers in w's flat kernel
    axes: Axes
    box: Four
    window: Three


def evenly(units: int, most: int) -> int:
    """The size of the pieces when `units` are cut into as few pieces of at most `most` as there can be."""
    pieces = -(-units // min(units, most))
    return -(-units // pieces)


def strides(shape: Three) -> Three:
    return (shape[1] * shape[2], shape[2], 1)


def forward_axis(kernel: int, out: int, stride: int, padding: int, dilation: int) -> Axis:
    """y[o] = Σ_k w[k] · x[o·stride + k·dilation − padding]."""
    taps = [(k * dilation, k) for k in range(kernel)]
    return Axis(out, 1, stride, padding, (kernel - 1) * dilation - padding, [taps])


def input_axis(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
    """dx[i] = Σ_k w[k] · g[(i + padding − k·dilation) / stride], over those k that divide evenly.

    For i = stride·a + r the source position is a + e, with e = (r + padding − k·dilation) / stride.

    A stride past the image leaves one position for each residue, and no more residues than positions.
    """
    meets = []
    for r in range(min(stride, size)):
        offsets = [(r + padding - k * dilation, k) for k in range(kernel)]
        meets.append([(e // stride, k) for e, k in offsets if e % stride == 0])
    low = max([0] + [-e for taps in meets for e, _ in taps])
    reach = max([0] + [e for taps in meets for e, _ in taps])
    return Axis(size, len(meets), 1, low, reach, [[(e + low, k) for e, k in taps] for taps in meets])


def axes_of(geo: Geometry, of_input: bool) -> Axes:
    """The three axes of the forward convolution or of its input-gradient."""
    depth, height, width = (
        input_axis(n, k, s, p, d) if of_input else forward_axis(k, o, s, p, d)
        for n, k, o, s, p, d in zip(geo.size, geo.kernel, geo.out, geo.stride, geo.padding, geo.dilation)
    )
    return depth, height, width


def choose_box(axes: Axes, batch: int, most: int) -> Four:
    """A box of about `most` positions: whole lines, then whole planes, then whole images, as many as there is room for.

    The last axis that is cut is cut evenly, so that little of the last block lies outside.
    """
    steps = (1, *(axis.step for axis in axes))
    limits = (batch, *(axis.out for axis in axes))
    box, room = list(steps), most // math.prod(steps)
    for i in (3, 2, 1, 0):
        units = -(-limits[i] // steps[i])
        each = evenly(units, max(1, room))
        box[i] = each * steps[i]
        room //= each
        if each < units:
            break
    return box[0], box[1], box[2], box[3]


def runs(box: Three, starts: Sequence[Sequence[int]], size: Three) -> Runs:
    """The runs that boxes, one at each of the starts (d, h, w), have in common with a plane of this size."""
    table: list[list[int]] = []
    first = []
    for start in starts:
        first.append(len(table))
        low = [max(0, -s) for s in start]
        high = [min(b, n - s) for b, n, s in zip(box, size, start)]
        count = high[2] - low[2]
        for z, y in itertools.product(range(low[0], high[0]), range(low[1], high[1])):
            place = (z * box[1] + y) * box[2] + low[2]
            at = ((start[0] + z) * size[1] + start[1] + y) * size[2] + start[2] + low[2]
            last = table[-1] if len(table) > first[-1] else None
            if last and last[0] + last[2] == place and last[1] + last[2] == at:
                last[2] += count
            elif count > 0:
                table.append([place, at, count])
    return Runs(np.array(table, np.int64).reshape(-1), np.array([*first, len(table)], np.int64))


def _window(axes: Axes, box: Four) -> Three:
    """What a box of outputs reads of its source."""
    return three(axis.window(b) for axis, b in zip(axes, box[1:]))


def cut(axes: Axes, batch: int, source: Three, box: Four) -> Blocks:
    """The blocks of a convolution with this box, and what each reads and writes."""
    out, window = three(axis.out for axis in axes), _window(axes, box)
    starts = list(itertools.product(*(range(0, n, b) for n, b in zip(out, box[1:]))))
    reads = [[o // axis.step * axis.rate - axis.low for o, axis in zip(start, axes)] for start in starts]
    count = len(starts) * -(-batch // box[0])
    return Blocks(
        box[0], math.prod(box[1:]), math.prod(window), len(starts), count,
        runs(window, reads, source), runs(box[1:], starts, out),
    )  # fmt: skip


@lru_cache(maxsize=256)
def plan(geo: Geometry, of_input: bool, itemsize: int, most: int = POSITIONS[0]) -> Plan:
    """The tables of the forward convolution or of its input-gradient, with blocks of at most `most` positions."""
    axes = axes_of(geo, of_input)
    inner = geo.outputs if of_input else geo.inputs
    box = _fitting_box(axes, geo, inner * itemsize, most)
    blocks = cut(axes, geo.batch, geo.out if of_input else geo.size, box)
    window = _window(axes, box)
    if (size := inner * box[0] * math.prod(window) * itemsize) > MOST_WINDOW_BYTES:
        raise MemoryError(
            f"conv: {math.prod(box[1:])} outputs read a window of {inner} × {' × '.join(map(str, window))} numbers, "
            f"{size / 2**30:,.1f} GB: give it less dilation, less padding or fewer channels"
        )
    passes, rows, targets, steps, taps_of = [], [], [], [], []
    for residues in map(three, itertools.product(*(range(axis.step) for axis in axes))):
        grid, places = _positions(axes, residues, box, window)
        taps = list(itertools.product(*(axis.taps[r] for axis, r in zip(axes, residues))))
        offsets = [sum(offset * u for (offset, _), u in zip(tap, strides(window))) for tap in taps]
        terms = [c * box[0] * math.prod(window) + offset for c in range(inner) for offset in offsets]
        passes.append([len(rows), len(rows) + len(grid), len(steps), len(steps) + len(terms)])
        rows += grid
        targets += places
        steps += terms
        taps_of.append(
            np.array([sum(k * u for (_, k), u in zip(tap, strides(geo.kernel))) for tap in taps], np.int64)
        )
    tables = (np.array(values, np.int64).reshape(-1) for values in (passes, rows, targets, steps))
    return Plan(blocks, *tables, tuple(taps_of), axes, box, window)


def _fitting_box(axes: Axes, geo: Geometry, bytes_of_position: int, most: int) -> Four:
    """The largest box whose window fits the cache and that leaves enough blocks to share out."""
    box = choose_box(axes, geo.batch, most)
    for positions in POSITIONS:
        if positions > most:
            continue
        box = choose_box(axes, geo.batch, positions)
        window = box[0] * math.prod(_window(axes, box))
        limits = (geo.batch, *(axis.out for axis in axes))
        blocks = geo.groups * math.prod(-(-n // b) for n, b in zip(limits, box))
        if window * bytes_of_position <= WINDOW_BYTES and (blocks >= LEAST_BLOCKS or positions <= 256):
            break
    return box


def _positions(axes: Axes, residues: Three, box: Four, window: Three) -> tuple[list[int], list[int]]:
    """Source offset and place in the box of the positions with these residues, filled up to whole tiles."""
    source = np.arange(box[0]) * math.prod(window)
    place = np.arange(box[0]) * math.prod(box[1:])
    for axis, r, size, u, v in zip(axes, residues, box[1:], strides(window), strides(box[1:])):
        along = np.arange(size // axis.step)
        source = np.add.outer(source, along * axis.rate * u)
        place = np.add.outer(place, (along * axis.step + r) * v)
    return _whole_tiles(source), _whole_tiles(place)


def _whole_tiles(grid: npt.NDArray) -> list[int]:
    """The grid's numbers, the last one repeated to fill whole tiles."""
    flat = grid.ravel().tolist()
    return flat + flat[-1:] * (-len(flat) % ROWS)
