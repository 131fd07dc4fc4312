"""How the weight-gradient is cut: which positions of which blocks each (channel, tap) sums. Plain Python.

From windows all taps sum all positions. Where x is read in place, those that meet it at the same positions form a
group, whose rows of dw are summed over these. A block's positions lie in the order of their classes (`conv_meet`), so
that a group sums few stretches of them: for 3×3 at stride 2 with padding 1 one each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from autograd_core.kernels.conv_geometry import Geometry, Three, three
from autograd_core.kernels.conv_meet import (
    Class,
    Meeting,
    Parts,
    corner_of,
    flat,
    look_of,
    meetings,
    part,
    spread,
    whole_tiles,
)
from autograd_core.kernels.conv_plan import Four, Runs, Table, axes_of, choose_box, plan, runs, strides
from autograd_core.kernels.launch import table
from autograd_core.kernels.vector import ROWS

# The most rows of tiles for each row of dw; those beyond are computed for nothing. Up to 1.25 in place takes 0.38–0.98
# of the time from windows (16 shapes of 1×1 to 7×7, in 512 and 256 bits), at 1.5 0.94–1.29, at 2.25 1.5.
MOST_ROWS = 1.25

Group = tuple[tuple[int, ...], ...]  # taps of each axis


class WeightPlan(NamedTuple):
    """The tables of one weight-gradient, for x in place or in a window."""

    images: int  # in a block
    positions: int  # of an image in a block
    count: int  # blocks of the batch
    blocks: Table  # for each block of an image: first and past-last pass, where x begins, its first step
    passes: Table  # first and past-last entry of rows and targets, of steps, and whether it adds to a sum
    rows: Table  # offset in x of each (channel, tap), groups filled up to whole tiles
    targets: Table  # its number in dw
    steps: Table  # offset of each position in x, in the order in which their slopes lie
    places: Table  # where in that order each of the block's positions is
    writes: Runs  # of the block's positions in g
    reads: Runs = Runs(np.zeros(0, np.int64), np.zeros(0, np.int64))  # of the windows in x
    window: int = 0  # elements of one, for an image and a channel; 0 in place


def tap_groups(axes: Sequence[Meeting]) -> list[Group]:
    """The taps of an axis that are met in the same classes stand together; a group is one such set of each axis."""
    found = []
    for axis in axes:
        together: dict[tuple[int, ...], list[int]] = {}
        for k in sorted(axis.order):
            together.setdefault(tuple(i for i, each in enumerate(axis.classes) if k in each.taps), []).append(
                k
            )
        found.append([tuple(taps) for taps in together.values()])
    return list(itertools.product(*found))


@lru_cache(maxsize=256)
def suits(geo: Geometry) -> bool:
    """Whether few rows are added to fill tiles, so that reading in place is faster than copying windows."""
    sizes = (geo.inputs * math.prod(map(len, group)) for group in tap_groups(meetings(geo, False)))
    return sum(map(_whole, sizes)) <= MOST_ROWS * _whole(geo.inputs * geo.taps)


def _whole(rows: int) -> int:
    return -(-rows // ROWS) * ROWS


def _snake(parts: Parts) -> Iterator[tuple[Class, ...]]:
    """All classes of an axis, of each those of the next one, there and back in turn: neighbours share all but one."""
    if not parts:
        yield ()
        return
    rest = list(_snake(parts[1:]))
    for i, each in enumerate(parts[0]):
        yield from ((each, *others) for others in (reversed(rest) if i % 2 else rest))


def _box(geo: Geometry, most: int) -> Four:
    """Whole lines, planes and images of about so many positions; the images divide the batch."""
    images, depth, height, width = choose_box(axes_of(geo, False), geo.batch, most)
    return max(n for n in range(1, images + 1) if geo.batch % n == 0), depth, height, width


def _rows(
    geo: Geometry, axes: Sequence[Meeting], groups: list[Group]
) -> tuple[Table, Table, list[tuple[int, int]]]:
    """Rows and targets, and of each group which are its own."""
    channels, rows, targets, ranges = np.arange(geo.inputs)[:, None], [], [], []
    filled = 0
    for group in groups:
        taps, offsets = np.zeros(1, np.int64), np.zeros(1, np.int64)
        for own, axis, tap, step in zip(group, axes, strides(geo.kernel), strides(geo.size)):
            taps = np.add.outer(taps, np.array(own) * tap).ravel()
            offsets = np.add.outer(offsets, np.array([axis.offsets[k] for k in own]) * step).ravel()
        rows.append(whole_tiles((channels * math.prod(geo.size) + offsets).ravel()))
        targets.append(whole_tiles((channels * geo.taps + taps).ravel()))
        ranges.append((filled, filled + rows[-1].size))
        filled += rows[-1].size
    return flat(rows), flat(targets), ranges


def window_plan(geo: Geometry, itemsize: int, most: int) -> WeightPlan:
    """The tables for windows with blocks of at most so many positions; all look the same, so one pass serves them."""
    how = plan(geo, False, itemsize, most)
    blocks = how.blocks
    each, rows = blocks.images * blocks.positions, whole_tiles(how.steps)
    return WeightPlan(
        blocks.images, blocks.positions, blocks.count, table(np.tile([0, 1, 0, 0], blocks.spatial)),
        table(np.array([0, rows.size, 0, each, 0])), rows, whole_tiles(np.arange(how.steps.size)), how.rows[:each],
        np.arange(each), blocks.writes, blocks.reads, blocks.window,
    )  # fmt: skip


def place_plan(geo: Geometry, most: int) -> WeightPlan:
    """The tables for x in place, with blocks of at most so many positions."""
    axes = meetings(geo, False)
    groups = tap_groups(axes)
    rows, targets, ranges = _rows(geo, axes, groups)
    images, *box = _box(geo, most)
    starts = list(itertools.product(*(range(0, n, b) for n, b in zip(geo.out, box))))
    each = images * math.prod(box)
    known: dict[object, list[int]] = {}
    blocks, passes, steps, places = [], [], [], []
    for start in starts:
        parts = [part(axis.classes, at, at + length) for axis, at, length in zip(axes, start, box)]
        corner = corner_of(parts, geo.size)
        kind = look_of(parts, start, corner)
        if kind not in known:
            begin, first = len(passes), len(known) * each
            offsets, order, stretches = _ordered(geo, parts, corner, start, images, three(box), groups)
            for (low, high), met in zip(ranges, stretches, strict=True):
                passes += [[low, high, first + a, first + b, min(i, 1)] for i, (a, b) in enumerate(met)]
            steps.append(np.append(offsets, np.zeros(each - offsets.size, np.int64)))
            places.append(np.zeros(each, np.int64))
            places[-1][order] = np.arange(order.size)
            known[kind] = [begin, len(passes), first]
        begin, past, first = known[kind]
        blocks.append([begin, past, sum(o * u for o, u in zip(corner, strides(geo.size))), first])
    return WeightPlan(
        images, math.prod(box), len(starts) * geo.batch // images, flat(blocks), flat(passes), rows, targets,
        flat(steps), flat(places), runs(three(box), starts, geo.out),
    )  # fmt: skip


def _ordered(
    geo: Geometry, parts: Parts, corner: Sequence[int], start: Sequence[int], images: int,
    box: Three, groups: list[Group],
) -> tuple[Table, Table, list[list[tuple[int, int]]]]:  # fmt: skip
    """A block's positions class by class: offsets in x, places in the box, and the stretches that each group sums."""
    image_step = geo.groups * geo.inputs * math.prod(geo.size)
    offsets, places = [], []
    stretches: list[list[tuple[int, int]]] = [[] for _ in groups]
    end = 0
    for classes in _snake(parts):
        origins, positions = ([each[i] for each in classes] for i in (2, 1))
        offsets.append(spread(images, image_step, strides(geo.size), origins, corner))
        places.append(spread(images, math.prod(box), strides(box), positions, start))
        begin, end = end, end + places[-1].size
        for group, found in zip(groups, stretches, strict=True):
            if all(own[0] in each.taps for own, each in zip(group, classes)):
                found.append((found.pop()[0] if found and found[-1][1] == begin else begin, end))
    return np.concatenate(offsets), np.concatenate(places), [found or [(0, 0)] for found in stretches]
