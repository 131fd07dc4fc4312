"""How a convolution with few output channels in a group is cut into blocks of lines. Plain Python.

A block's window holds the source with its padding; every tap is then a fixed offset in it, and a whole run of
outputs, line after line, is one sum of shifted runs (what falls into the margins between the lines is left out). With
a stride s the window holds each of the s phases of an axis for itself, so that runs are contiguous; going back, the
outputs of each residue modulo s are a run of their own.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from autograd_core.kernels.conv_geometry import Geometry, Three
from autograd_core.kernels.conv_plan import LEAST_BLOCKS, WINDOW_BYTES, Runs, Table, axes_of, runs, strides

LEAST_CHANNELS = 5  # with fewer output channels in a group, lanes run along the line

Taps = list[tuple[int, int, int]]  # phase, offset in the window, number


class Axis(NamedTuple):
    """One spatial axis; phases or residues are one where the convolution does not go that way."""

    out: int
    phases: int  # of the source
    residues: int  # of the output
    first: int  # source position of the window's first element, for phase 0 of a block that begins at 0
    extra: int  # elements of the window beyond the outputs of a residue
    taps: list[Taps]  # of each residue


class LinesPlan(NamedTuple):
    """The tables of one convolution."""

    blocks: int  # of an image
    window: int  # elements of one channel's window
    length: int  # of a run of outputs, margins included
    read_step: int
    write_step: int
    reads: Runs  # of the window from the source plane: of each block
    writes: Runs  # of the run of outputs to the plane: of each block and residue
    passes: Table  # first term of each residue, then the number of all
    steps: Table  # offset of each term (inner channel, tap of the residue)
    taps: tuple[Table, ...]  # of each residue, its taps' numbers in w's flat kernel


def _axes(geo: Geometry, of_input: bool) -> list[Axis]:
    axes = []
    for i, back in enumerate(axes_of(geo, of_input)):
        if of_input:
            taps = [[(0, offset, k) for offset, k in of_residue] for of_residue in back.taps]
            axes.append(Axis(back.out, 1, back.step, -back.low, back.low + back.reach, taps))
            continue
        stride = geo.stride[i]
        places = [k * geo.dilation[i] - geo.padding[i] for k in range(geo.kernel[i])]
        shifts = [place // stride for place in places]
        taps = [
            (place % stride, shift - min(shifts), k) for k, (place, shift) in enumerate(zip(places, shifts))
        ]
        axes.append(Axis(back.out, stride, 1, min(shifts) * stride, max(shifts) - min(shifts), [taps]))
    return axes


def _window(axes: list[Axis], box: Three) -> Three:
    return tuple(b // axis.residues + axis.extra for b, axis in zip(box, axes))  # type: ignore[return-value]


def _choose_box(axes: list[Axis], channels: int, tasks: int, itemsize: int) -> Three:
    """Whole planes if their window fits the cache and leaves enough tasks, else half, a quarter … of their lines."""
    box = [-(-axis.out // axis.residues) * axis.residues for axis in axes]
    while True:
        elements = channels * math.prod(axis.phases for axis in axes) * math.prod(_window(axes, (*box,)))  # type: ignore[arg-type]
        blocks = math.prod(-(-axis.out // b) for axis, b in zip(axes, box))
        axis = 0 if box[0] > axes[0].residues else 1
        units = box[axis] // axes[axis].residues
        if units == 1 or (elements * itemsize <= WINDOW_BYTES and blocks * tasks >= LEAST_BLOCKS):
            return tuple(box)  # type: ignore[return-value]
        box[axis] = -(-units // 2) * axes[axis].residues


@lru_cache(maxsize=256)
def lines_plan(geo: Geometry, of_input: bool, itemsize: int) -> LinesPlan:
    """The tables of the forward convolution (the weight-gradient's too) or of the input-gradient."""
    axes = _axes(geo, of_input)
    inner = geo.outputs if of_input else geo.inputs
    box = _choose_box(axes, inner, geo.batch * geo.groups, itemsize)
    window = _window(axes, box)
    plane, unit = math.prod(window), strides(window)
    phases = list(itertools.product(*(range(axis.phases) for axis in axes)))
    residues = list(itertools.product(*(range(axis.residues) for axis in axes)))
    starts = list(itertools.product(*(range(0, axis.out, b) for axis, b in zip(axes, box))))
    stride: Three = tuple(axis.phases for axis in axes)  # type: ignore[assignment]
    spread: Three = tuple(axis.residues for axis in axes)  # type: ignore[assignment]
    source, out = (geo.out, geo.size) if of_input else (geo.size, geo.out)
    each: Three = tuple(b // s for b, s in zip(box, spread))  # type: ignore[assignment]

    reads = runs(window, [
        [o // s * p + axis.first + f for o, s, p, axis, f in zip(start, spread, stride, axes, phase)]
        for start in starts for phase in phases
    ], source, stride)  # fmt: skip
    for i in range(len(starts) * len(phases)):  # a phase's place in the window is behind those before it
        reads.table[3 * reads.first[i] : 3 * reads.first[i + 1] : 3] += i % len(phases) * plane
    writes = runs(each, [[o + r for o, r in zip(start, residue)] for start in starts for residue in residues],
                  out, spread, window)  # fmt: skip
    steps, passes, numbers = [], [0], []
    channel = len(phases) * plane
    for residue in residues:
        taps = list(itertools.product(*(axis.taps[r] for axis, r in zip(axes, residue))))
        offsets = [
            plane * sum(t[0] * u for t, u in zip(tap, strides(stride)))
            + sum(t[1] * u for t, u in zip(tap, unit))
            for tap in taps
        ]
        steps += [c * channel + offset for c in range(inner) for offset in offsets]
        passes.append(len(steps))
        numbers.append(
            np.array([sum(t[2] * u for t, u in zip(tap, strides(geo.kernel))) for tap in taps], np.int64)
        )
    length = sum((n - 1) * u for n, u in zip(each, unit)) + 1
    return LinesPlan(
        len(starts), channel, length, stride[2], spread[2],
        Runs(reads.table, reads.first[:: len(phases)].copy()), writes,
        np.array(passes, np.int64), np.array(steps, np.int64), tuple(numbers),
    )  # fmt: skip
