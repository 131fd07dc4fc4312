"""How a convolution with lanes along columns is cut: windows, vectors of positions, lines of the result. Plain Python.

Along an axis with a stride the window keeps the source's places by their residues, a plane for each, so that neighbours
of the output read neighbours in the window.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autograd_core.kernels.columns import VECTORS
from autograd_core.kernels.conv_geometry import Geometry
from autograd_core.kernels.conv_plan import LEAST_BLOCKS, Axes, Four, Table, axes_of, choose_box, strides
from autograd_core.kernels.launch import table

# Most positions of a block, and most bytes of its window, which is read again for every few output channels.
POSITIONS = (512, 256, 128, 64)
LEAST_POSITIONS = 256  # of a block that is cut for there to be enough
WINDOW_BYTES = 96 << 10


class Window(NamedTuple):
    """What a block reads of one channel of an image: (depth, residue of rows, residue of columns, row, column)."""

    depths: int
    high: int  # rows, of all residues together
    rates: tuple[int, int]  # how many residues of rows, of columns
    rows: int  # of a plane
    pitch: int  # columns of a plane
    wide: int  # columns, of all residues together

    @classmethod
    def of(cls, axes: Axes, box: Sequence[int]) -> Window:
        depths, high, wide = (axis.window(b) for axis, b in zip(axes, box))
        rates = axes[1].rate, axes[2].rate
        return cls(depths, high, rates, -(-high // rates[0]), -(-wide // rates[1]), wide)

    @property
    def plane(self) -> int:
        return self.rows * self.pitch

    @property
    def size(self) -> int:
        return self.depths * math.prod(self.rates) * self.plane

    def place(self, depth: int, row: int, column: int) -> int:
        """Where an element lies; numbers count all rows and columns."""
        (y, p), (x, q) = divmod(row, self.rates[0]), divmod(column, self.rates[1])
        return ((depth * self.rates[0] + p) * self.rates[1] + q) * self.plane + y * self.pitch + x


class ColumnsPlan(NamedTuple):
    """The tables of one convolution; for reads and writes see `conv_columns.convolve`."""

    images: int  # in a block; they divide the batch
    window: Window
    starts: Table  # of each vector of a pass, whole tiles of them, where it begins in the window
    targets: Table  # and in the result, from the block's first position on, or in the sums; pass by pass
    counts: Table  # and how many of its lanes are kept; for the result block by block
    steps: Table  # offset of each term (inner channel, tap) in the window, pass by pass
    taps: Table  # and in the weights
    past: Table  # of each pass, its past-last entry of steps and taps
    begins: Table  # of each block of an image, its first position
    reads: Table
    writes: Table
    each: int  # sums of a pass
    room: int  # sums of an output channel in a block, or 0 where columns have no residues: then they are the result
    row: int  # sums of a line of a pass


@lru_cache(maxsize=256)
def columns_plan(geo: Geometry, of_input: bool, itemsize: int, lanes: int) -> ColumnsPlan:
    """The tables of the forward convolution or of its input-gradient, in vectors of some lanes."""
    cut = _Cut(geo, of_input, itemsize, lanes)
    begins = list(itertools.product(*(range(0, n, b) for n, b in zip(cut.out, cut.box))))
    steps, taps = zip(*map(cut.terms, cut.passes))
    if cut.room:
        targets = [number * cut.each + np.arange(0, cut.each, lanes) for number in range(len(cut.passes))]
        counts = [np.full(cut.starts.size, lanes)] * len(cut.passes)
    else:
        targets = [cut.targets(residues) for residues in cut.passes]
        counts = [cut.counts(begin, residues) for begin in begins for residues in cut.passes]
    return ColumnsPlan(
        cut.images, cut.window, table(_whole(cut.starts)), _flat(map(_whole, targets)), _flat(map(_whole, counts)),
        _flat(steps), _flat(taps), table(np.cumsum([each.size for each in steps])),
        _flat(_sums(*np.multiply(begin, strides(cut.out))) for begin in begins), _flat(map(cut.reads, begins)),
        _flat(map(cut.writes, begins)), cut.each, cut.room, cut.row,
    )  # fmt: skip


def window_bytes(geo: Geometry, of_input: bool, itemsize: int) -> int:
    """What the window of a block takes."""
    inner = geo.outputs if of_input else geo.inputs
    images, *box = _box(axes := axes_of(geo, of_input), geo, inner * itemsize)
    return images * inner * Window.of(axes, box).size * itemsize


class _Cut:
    """A convolution cut into blocks; each residue of the output's places is a pass of its own."""

    def __init__(self, geo: Geometry, of_input: bool, itemsize: int, lanes: int) -> None:
        self.geo, self.of_input, self.axes, self.lanes = geo, of_input, axes_of(geo, of_input), lanes
        self.source, self.out = (geo.out, geo.size) if of_input else (geo.size, geo.out)
        self.inner, self.outer = (geo.outputs, geo.inputs) if of_input else (geo.inputs, geo.outputs)
        self.images, *self.box = _box(self.axes, geo, self.inner * itemsize)
        self.window = Window.of(self.axes, self.box)
        self.passes = list(itertools.product(*(range(axis.step) for axis in self.axes)))
        self.depths, self.rows, columns = (np.arange(b // axis.step) for axis, b in zip(self.axes, self.box))
        self.across = np.arange(0, columns.size, lanes)
        planes = [self.window.place(int(depth) * self.axes[0].rate, 0, 0) for depth in self.depths]
        images = np.arange(self.images) * self.window.size
        self.starts = _sums(images, planes, self.rows * self.window.pitch, self.across)
        self.each, self.row = self.starts.size * lanes, self.across.size * lanes
        self.room = 0 if self.axes[2].step == 1 else len(self.passes) * self.each

    def terms(self, residues: Sequence[int]) -> tuple[Table, Table]:
        """Offsets of the terms of a pass in the window and in the weights."""
        met = list(itertools.product(*(axis.taps[r] for axis, r in zip(self.axes, residues))))
        places = [self.window.place(*(offset for offset, _ in tap)) for tap in met]
        taps = [_sums(*np.multiply([k for _, k in tap], strides(self.geo.kernel))) for tap in met]
        channels = np.arange(self.inner)
        weight_step = self.geo.taps * (self.outer if self.of_input else 1)
        return (
            _sums(channels * self.images * self.window.size, places),
            _sums(channels * weight_step, np.ravel(taps)),
        )

    def targets(self, residues: Sequence[int]) -> Table:
        """Where the vectors of a pass lie in the result, from the block's first position on."""
        lines = [
            (part * axis.step + r) * u
            for part, axis, r, u in zip((self.depths, self.rows), self.axes, residues, strides(self.out))
        ]
        image = self.geo.groups * self.outer * math.prod(self.out)
        return _sums(np.arange(self.images) * image, *lines, self.across)

    def counts(self, begin: Sequence[int], residues: Sequence[int]) -> Table:
        """How many of their lanes lie in the result, for the block that begins there."""
        deep, high = (
            at + part * axis.step + r < size
            for at, part, axis, r, size in zip(begin, (self.depths, self.rows), self.axes, residues, self.out)
        )
        lengths = np.clip(min(self.box[2], self.out[2] - begin[2]) - self.across, 0, self.lanes)
        return np.tile(np.multiply.outer(np.multiply.outer(deep, high), lengths).ravel(), self.images)

    def reads(self, begin: Sequence[int]) -> Table:
        """What of the window of the block that begins there lies in the source."""
        depth, row, column = (at // axis.step * axis.rate - axis.low for at, axis in zip(begin, self.axes))
        window, found = self.window, []
        first = max(0, -column)
        count = max(0, min(window.wide, self.source[2] - column) - first)
        for z, p in itertools.product(range(window.depths), range(window.rates[0])):
            rows = range(p, window.high, window.rates[0])
            inside = [y for y in rows if 0 <= row + y < self.source[1] and 0 <= depth + z < self.source[0]]
            top = inside[0] if inside else 0
            at = ((depth + z) * self.source[1] + row + top) * self.source[2] + column + first
            places = [window.place(z, top, first + i) for i in range(2)]
            found.append([at, len(inside), count, *places] if inside else [0] * 5)
        return np.ravel(found)

    def writes(self, begin: Sequence[int]) -> Table:
        """The lines of the result in that block, row residue by row residue, and where their sums begin."""
        deep, high = self.axes[0].step, self.axes[1].step
        found = []
        for z, r in itertools.product(range(self.box[0]), range(high)):
            d, first = begin[0] + z, begin[1] + r
            inside = d < self.out[0]
            lines = len(range(first, min(self.out[1], begin[1] + self.box[1]), high)) if inside else 0
            number = (z % deep * high + r) * self.axes[2].step
            place = number * self.each + z // deep * self.rows.size * self.row
            count = min(self.box[2], self.out[2] - begin[2])
            found.append([(d * self.out[1] + first) * self.out[2] + begin[2], lines, count, place])
        return np.ravel(found)


def _box(axes: Axes, geo: Geometry, bytes_of_position: int) -> Four:
    """Whole lines, planes and images, as many as the cache has room for, that leave enough blocks to share out."""

    def whole(most: int) -> Four:
        images, *box = choose_box(axes, geo.batch, most)
        return max(n for n in range(1, images + 1) if geo.batch % n == 0), box[0], box[1], box[2]

    def good(most: int, box: Four) -> bool:
        blocks = (
            geo.groups * geo.batch // box[0] * math.prod(-(-axis.out // b) for axis, b in zip(axes, box[1:]))
        )
        small = box[0] * Window.of(axes, box[1:]).size * bytes_of_position <= WINDOW_BYTES
        return small and (blocks >= LEAST_BLOCKS or most <= LEAST_POSITIONS)

    boxes = {most: whole(most) for most in POSITIONS}
    return next((box for most, box in boxes.items() if good(most, box)), boxes[POSITIONS[-1]])


def _sums(*parts: npt.ArrayLike) -> Table:
    """All sums of one number of each, the last running fastest."""
    total = np.zeros(1, np.int64)
    for part in parts:
        total = np.add.outer(total, np.asarray(part, np.int64)).ravel()
    return total


def _whole(numbers: Table) -> Table:
    """The numbers, the last one repeated to fill whole tiles."""
    return np.append(numbers, numbers[-1:].repeat(-numbers.size % VECTORS))


def _flat(tables: Iterable[Table]) -> Table:
    return table(np.concatenate(list(tables)))
