"""Which taps meet the source at each output position: convolution with neither padding nor a window. Plain Python.

Along an axis, positions that meet the same taps form a class: inside all taps, near an edge fewer, and going back those
that a residue of the stride leaves. A pass sums the taps of a class of depths, of lines and of columns over the
positions that lie in all three, reading the source where it lies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autograd_core.kernels.conv_geometry import Geometry, Three, three
from autograd_core.kernels.conv_plan import (
    LEAST_BLOCKS,
    Four,
    Runs,
    Table,
    axes_of,
    choose_box,
    runs,
    strides,
)
from autograd_core.kernels.launch import table
from autograd_core.kernels.vector import ROWS

# Most positions of a block: 1,024 are no faster (seven shapes), 256 up to 12 % slower.
POSITIONS = (512, 256)
# With more of both, channels that lie far apart meet in the first-level cache: 7×7 from 64 channels took three times as
# long as from a window, 5×5 from 64 as long or 5 % longer; 3×3 and fewer channels 0.6–0.95 of the time.
MOST_TAPS, MOST_CHANNELS, MOST_TAPS_OF_FEW = 9, 16, 64


class Class(NamedTuple):
    """Positions of an axis that meet the same taps."""

    taps: tuple[int, ...]
    positions: Table
    origins: Table  # where in the source a tap of offset 0 would be


Parts = Sequence[Sequence[Class]]  # of each axis, what lies in a block


class Meeting(NamedTuple):
    """An axis: how far its taps reach, in which order those of a class lie side by side, and its classes."""

    offsets: list[int]
    order: list[int]
    classes: list[Class]


class MeetPlan(NamedTuple):
    """The tables of one convolution."""

    images: int  # in a block; they divide the batch
    positions: int  # of an image in a block
    count: int  # blocks of the batch
    blocks: Table  # for each block of an image: its first and past-last pass, and where its source begins
    passes: Table  # first and past-last entry of rows and targets, of steps, and whether it adds to a sum
    rows: Table  # source offset of each position, passes filled up to whole tiles
    targets: Table  # position in the block that it is for
    steps: Table  # offset of each term (depth and line of the filter, inner channel, column), for each class of columns
    taps: tuple[Table, ...]  # the taps' numbers, in that order
    terms: int  # of the longest pass
    writes: Runs  # of the block to the output plane


def suits(geo: Geometry, of_input: bool) -> bool:
    """Whether reading the source in place was measured to be as fast as copying windows."""
    inner = geo.outputs if of_input else geo.inputs
    return geo.taps <= (MOST_TAPS_OF_FEW if inner <= MOST_CHANNELS else MOST_TAPS)


def _meeting(
    sizes: tuple[int, int], kernel: int, stride: int, padding: int, dilation: int, back: bool
) -> Meeting:
    """y[o] = Σ_k w[k] · x[o·stride + k·dilation − padding], or `back`: which o meet an x; sizes are x's and y's."""
    (size, out), step = sizes, stride if back else 1
    taps = range(kernel)
    offsets = [-(k * dilation // step) if back else k * dilation for k in taps]
    found: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for i in range(size if back else out):
        origin, residue = divmod(i + padding, step) if back else (i * stride - padding, 0)
        inside = out if back else size
        met = (k for k in taps if k * dilation % step == residue and 0 <= origin + offsets[k] < inside)
        found.setdefault(tuple(met), []).append((i, origin))
    classes = [Class(met, *np.array(places, np.int64).T) for met, places in found.items()]
    return Meeting(offsets, sorted(taps, key=lambda k: (k * dilation % step, k)), classes)


def meetings(geo: Geometry, of_input: bool) -> list[Meeting]:
    """The three axes of the forward convolution or of its input-gradient."""
    settings = zip(zip(geo.size, geo.out), geo.kernel, geo.stride, geo.padding, geo.dilation)
    return [_meeting(*setting, back=of_input) for setting in settings]


def _box(geo: Geometry, of_input: bool) -> Four:
    """Whole lines, planes and images of about so many positions, that leave enough blocks to share out."""
    axes = axes_of(geo, of_input)

    def dividing(most: int) -> Four:
        images, *box = choose_box(axes, geo.batch, most)
        return max(n for n in range(1, images + 1) if geo.batch % n == 0), box[0], box[1], box[2]

    def blocks(box: Four) -> int:
        return (
            geo.groups * geo.batch // box[0] * math.prod(-(-axis.out // b) for axis, b in zip(axes, box[1:]))
        )

    large, small = map(dividing, POSITIONS)
    return large if blocks(large) >= LEAST_BLOCKS else small


class _Terms:
    """The terms of all classes of columns, one after the other, and where each pass finds its own."""

    def __init__(self, geo: Geometry, axes: list[Meeting], inner: int, source: Three) -> None:
        depth, height, width = axes
        self.lines = {line: i for i, line in enumerate(itertools.product(depth.order, height.order))}
        self.inner, self.first = inner, {}
        self.steps: list[npt.NDArray] = []
        self.taps: list[npt.NDArray] = []
        unit, channels, total = strides(source), np.arange(inner) * math.prod(source), 0
        for columns in width.classes:
            self.first[columns.taps] = total
            across = np.array([width.offsets[k] for k in columns.taps], np.int64)
            for d, h in self.lines:
                line = depth.offsets[d] * unit[0] + height.offsets[h] * unit[1]
                self.steps.append(np.add.outer(channels, line + across).ravel())
                tap = (d * geo.kernel[1] + h) * geo.kernel[2]
                self.taps.append(tap + np.array(columns.taps, np.int64))
                total += self.steps[-1].size

    def of(self, depths: Class, heights: Class, columns: Class) -> list[tuple[int, int]]:
        """The stretches of terms that a pass sums; an empty one where nothing is met."""
        each, first = self.inner * len(columns.taps), self.first[columns.taps]
        lines = sorted(self.lines[line] for line in itertools.product(depths.taps, heights.taps))
        stretches: list[tuple[int, int]] = []
        for line in lines if each else []:
            begin, end = first + line * each, first + (line + 1) * each
            if stretches and stretches[-1][1] == begin:
                begin = stretches.pop()[0]
            stretches.append((begin, end))
        return stretches or [(0, 0)]


@lru_cache(maxsize=256)
def meet_plan(geo: Geometry, of_input: bool) -> MeetPlan:
    """The tables of the forward convolution or of its input-gradient. Blocks that look the same share their passes."""
    source, out = (geo.out, geo.size) if of_input else (geo.size, geo.out)
    inner = geo.outputs if of_input else geo.inputs
    axes = meetings(geo, of_input)
    terms = _Terms(geo, axes, inner, source)
    images, *box = _box(geo, of_input)
    starts = list(itertools.product(*(range(0, n, b) for n, b in zip(out, box))))
    image_step = geo.groups * inner * math.prod(source)
    known: dict[object, list[int]] = {}
    blocks, passes, rows, targets = [], [], [], []
    filled = 0
    for start in starts:
        parts = [part(axis.classes, at, at + length) for axis, at, length in zip(axes, start, box)]
        corner = corner_of(parts, source)
        kind = look_of(parts, start, corner)
        if kind not in known:
            begin = len(passes)
            for classes in itertools.product(*parts):
                origins, positions = ([each[i] for each in classes] for i in (2, 1))
                row = whole_tiles(spread(images, image_step, strides(source), origins, corner))
                rows.append(row)
                targets.append(
                    whole_tiles(spread(images, math.prod(box), strides(three(box)), positions, start))
                )
                for i, (first, past) in enumerate(terms.of(*classes)):
                    passes.append([filled, filled + row.size, first, past, min(i, 1)])
                filled += row.size
            known[kind] = [begin, len(passes)]
        blocks.append([*known[kind], sum(o * u for o, u in zip(corner, strides(source)))])
    longest = max(1, *(past - first for _, _, first, past, _ in passes))
    return MeetPlan(
        images, math.prod(box), len(starts) * geo.batch // images, flat(blocks), flat(passes), flat(rows),
        flat(targets), flat(terms.steps), tuple(terms.taps), longest, runs(three(box), starts, out),
    )  # fmt: skip


def part(classes: Iterable[Class], low: int, high: int) -> list[Class]:
    """What of an axis's classes lies in a block."""
    found = []
    for each in classes:
        inside = (low <= each.positions) & (each.positions < high)
        if inside.any():
            found.append(Class(each.taps, each.positions[inside], each.origins[inside]))
    return found


def corner_of(parts: Parts, source: Three) -> list[int]:
    """Where in the source a block begins: a place inside, so that it begins in the array."""
    lowest = (min(int(each.origins.min()) for each in classes) for classes in parts)
    return [min(max(at, 0), size - 1) for at, size in zip(lowest, source)]


def look_of(parts: Parts, start: Sequence[int], corner: Sequence[int]) -> object:
    """What blocks have in common that look the same."""
    return tuple(
        (each.taps, *(each.positions - at).tolist(), *(each.origins - low).tolist())
        for classes, at, low in zip(parts, start, corner) for each in classes
    )  # fmt: skip


def spread(images: int, image_step: int, steps: Three, along: Sequence[Table], begin: Sequence[int]) -> Table:
    """Places of the positions of some images from `begin` on."""
    found = np.arange(images) * image_step
    for each, first, step in zip(along, begin, steps):
        found = np.add.outer(found, (each - first) * step).ravel()
    return found


def whole_tiles(numbers: Table) -> Table:
    """The numbers, the last one repeated to fill whole tiles."""
    return np.append(numbers, numbers[-1:].repeat(-numbers.size % ROWS))


def flat(tables: Iterable[npt.ArrayLike]) -> Table:
    return table(np.concatenate([np.asarray(each, np.int64) for each in tables]))
