"""How a convolution with few channels in a group is cut into segments of lines and stencils of taps. Plain Python.

A segment is some whole lines of one image and channel that all have the same rows of taps inside the source: lines at
the upper and lower edge are segments of their own. So nothing is padded, and kernels read the source where it lies;
along a line, masks do what padding would. The input-gradient with a stride has segments for each residue, as in
conv_plan.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from autograd_core.kernels.conv_geometry import Geometry, Three
from autograd_core.kernels.conv_plan import Axis, Table, axes_of
from autograd_core.kernels.stencil import MOST

POSITIONS = 2048  # most of a segment, unless a line is longer: its sums stay in the first-level cache
LARGEST = 64  # more elements than a vector has, by which loads may reach over the end of a line

Taps = tuple[tuple[int, int], ...]  # (offset from the output's own place, number along the kernel's axis)


class StencilPlan(NamedTuple):
    """The tables of one convolution. Offsets count elements of a plane."""

    segments: Table  # SEGMENT numbers each: see stencil_plan
    passes: Table  # for each segment and residue along the line, its first and past-last stencil
    stencils: Table  # STENCIL numbers each: rows, columns, first weight, first entry of steps, first offset, its mask
    steps: Table  # offset of each row of taps
    order: Table  # of the weights: for each, the number of its tap in w's flat kernel
    masks: Table  # (offset, column): -1 where that neighbour is inside the line
    wrap: int  # after so many columns the masks begin again
    span: int  # source elements that a segment reads, at most
    sums: int  # elements of a segment's sums for one residue, at most
    flat: bool  # lines of source and output lie alike, and a segment is one long line
    across: int  # outputs of a line and residue
    every: int  # source elements from one output of a line to the next
    pitch: int  # source elements from one line of outputs to the next
    width: int  # of a line of the output, all residues
    step_h: int  # residues from one line of outputs to the next
    step_w: int  # residues along a line


SEGMENT, STENCIL = 6, 6


@lru_cache(maxsize=256)
def stencil_plan(geo: Geometry, of_input: bool) -> StencilPlan:
    """The tables of the forward convolution or of its input-gradient."""
    depth, height, line = axes_of(geo, of_input)
    source, out = (geo.out, geo.size) if of_input else (geo.size, geo.out)
    across = -(-line.out // line.step)
    flat = height.rate == line.rate == 1 and across == source[2]
    columns = [sorted(_own(line, rx)) for rx in range(line.step)]
    offsets = sorted({e for taps in columns for e, _ in taps})
    taps = _Stencils(geo, source[2], source[1] * source[2], columns, offsets)
    most = max(1, POSITIONS // across)
    segments, passes = [], []
    for rz, ry in itertools.product(range(depth.step), range(height.step)):
        for (z, _, layers), (y, lines, rows) in itertools.product(
            _alike(depth, rz, source[0], 1), _alike(height, ry, source[1], most)
        ):
            own = [taps.of((depth, height), (rz, ry, rx), layers, rows) for rx in range(line.step)]
            passes += [end for ends in own for end in ends]
            reach = [taps.reach(first, past) for first, past in own]
            low, high = min(r[0] for r in reach), max(r[1] for r in reach)
            # The last vector may reach over the end of its line, and one of each second element twice as far.
            read = (lines - 1) * height.rate * source[2] + line.rate * (across + LARGEST) + high
            segments += [
                (z * depth.rate * source[1] + y * height.rate) * source[2],  # the source of its first output
                ((z * depth.step + rz) * out[1] + y * height.step + ry) * out[2],  # its first output
                lines, low, read,  # and from where to where it reads, seen from that source
                0,  # elements of the next one if its place is behind this one's, where a last vector may reach
            ]  # fmt: skip
    wrap = -(-LARGEST // across) * across if flat else across
    column = np.arange(wrap + LARGEST) % wrap % across if flat else np.arange(across + LARGEST)
    neighbour = column * line.rate + np.array(offsets, np.int64).reshape(-1, 1)
    masks = (column < across) & (neighbour >= 0) & (neighbour < source[2])
    tables = [np.array(values, np.int64) for values in (segments, passes, taps.table, taps.steps, taps.order)]
    numbers = tables[0].reshape(-1, SEGMENT)
    begins, sizes = numbers[:, 1], numbers[:, 2] * out[2]
    behind = (begins + sizes) % math.prod(out) == np.roll(begins, -1)
    numbers[:, 5] = behind * np.roll(sizes, -1)
    return StencilPlan(
        *tables, -masks.astype(np.int64), wrap, int((numbers[:, 4] - numbers[:, 3]).max(initial=0)),
        int(numbers[:, 2].max(initial=0)) * across + LARGEST, flat, across, line.rate, height.rate * source[2], out[2],
        height.step, line.step,
    )  # fmt: skip


def _own(axis: Axis, residue: int) -> Taps:
    """A residue's taps, their offsets counted from the output's own place."""
    return tuple((offset - axis.low, k) for offset, k in axis.taps[residue])


def _alike(axis: Axis, residue: int, source: int, most: int) -> list[tuple[int, int, Taps]]:
    """Runs of outputs of a residue whose taps meet the source alike: (first one, how many, those taps)."""
    found: list[tuple[int, int, Taps]] = []
    for a in range(-(-(axis.out - residue) // axis.step)):
        taps = tuple(tap for tap in _own(axis, residue) if 0 <= a * axis.rate + tap[0] < source)
        if found and found[-1][2] == taps and found[-1][1] < most:
            found[-1] = (found[-1][0], found[-1][1] + 1, taps)
        else:
            found.append((a, 1, taps))
    return found


class _Stencils:
    """The stencils that the segments need, each set of them made once.

    Rows of taps are cut into stencils before it is asked which of them lie inside, so that each weight has one place.
    """

    def __init__(
        self, geo: Geometry, width: int, plane: int, columns: list[list[tuple[int, int]]], offsets: list[int]
    ) -> None:
        self.width, self.plane, self.columns, self.offsets = width, plane, columns, offsets
        self.kernel = geo.kernel
        self.table: list[int] = []
        self.steps: list[int] = []
        self.order: list[int] = []
        self.known: dict[tuple[Taps, Taps, int], tuple[int, int]] = {}
        self.weights: dict[int, int] = {}  # where the weight of a tap stands

    def of(self, axes: tuple[Axis, Axis], residues: Three, layers: Taps, rows: Taps) -> tuple[int, int]:
        """First and past-last stencil of these layers and rows of taps, for a residue along the line."""
        key = (layers, rows, residues)
        if key not in self.known:
            first = len(self.table) // STENCIL
            every_row, every_layer = _own(axes[1], residues[1]), _own(axes[0], residues[0])
            for (dz, kz), piece in itertools.product(every_layer, _neighbours(self.columns[residues[2]])):
                for i in range(0, len(every_row), MOST):
                    some = every_row[i : i + MOST]
                    self._place(kz, some, piece)
                    inside = tuple(row for row in some if row in rows)
                    if inside and (dz, kz) in layers:
                        self._add(dz, kz, inside, piece)
            self.known[key] = (first, len(self.table) // STENCIL)
        return self.known[key]

    def _tap(self, kz: int, ky: int, kx: int) -> int:
        return (kz * self.kernel[1] + ky) * self.kernel[2] + kx

    def _place(self, kz: int, rows: Taps, piece: Taps) -> None:
        """Give the taps of a whole stencil places side by side, if they have none yet."""
        for (_, ky), (_, kx) in itertools.product(rows, piece):
            tap = self._tap(kz, ky, kx)
            if tap not in self.weights:
                self.weights[tap] = len(self.order)
                self.order.append(tap)

    def _add(self, dz: int, kz: int, rows: Taps, piece: Taps) -> None:
        offset = piece[0][0]
        self.table += [len(rows), len(piece), self.weights[self._tap(kz, rows[0][1], piece[0][1])], len(self.steps),
                       offset, self.offsets.index(offset)]  # fmt: skip
        self.steps += [dz * self.plane + dy * self.width for dy, _ in rows]

    def reach(self, first: int, past: int) -> tuple[int, int]:
        """The lowest and the highest offset of these stencils' taps."""
        ends = [0]
        for rows, columns, _, at, offset, _ in (
            self.table[i : i + STENCIL] for i in range(first * STENCIL, past * STENCIL, STENCIL)
        ):
            lines = self.steps[at : at + rows]
            ends += [min(lines) + offset, max(lines) + offset + columns]
        return min(ends), max(ends)


def _neighbours(taps: list[tuple[int, int]]) -> list[Taps]:
    """The taps in pieces of at most MOST whose offsets follow each other."""
    pieces: list[Taps] = []
    for tap in taps:
        if pieces and len(pieces[-1]) < MOST and pieces[-1][-1][0] + 1 == tap[0]:
            pieces[-1] += (tap,)
        else:
            pieces.append((tap,))
    return pieces
