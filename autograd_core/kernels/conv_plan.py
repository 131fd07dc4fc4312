"""What the tiled convolution reads: passes over an output grid, taps, padding margins. Plain Python and NumPy.

A pass is Σ_c Σ_taps weight · source over a regular grid of output positions. The forward convolution is one
pass. The input-gradient is one pass for each residue of the position modulo the stride: on such a grid it is a
stride-1 convolution with those taps that meet it, so no multiplication by an inserted zero is ever done.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autograd_core.kernels.conv_geometry import Geometry, Three

# Columns of a row of Plan.passes.
GRID, STEP, START, OUT_STEP, OUT_START, TAP, TAPS = 0, 3, 6, 7, 10, 11, 12
COLUMNS = 13


class Plan(NamedTuple):
    """The tables of one call; offsets count elements inside one channel's plane."""

    low: Three  # zeros before each spatial axis of the source
    padded: Three  # the source plane with its margins
    passes: npt.NDArray[np.int64]  # (passes, COLUMNS)
    tap_source: npt.NDArray[np.int64]  # (taps,): offset in the padded source plane
    tap_weight: npt.NDArray[np.int64]  # (taps,): position in w's flat kernel
    whole: bool  # one pass that fills the output in memory order
    sparse: bool  # some output positions meet no tap

    @property
    def plane(self) -> int:
        return math.prod(self.padded)


def strides(shape: Three) -> Three:
    return (shape[1] * shape[2], shape[2], 1)


@lru_cache(maxsize=256)
def forward_plan(
    size: Three, kernel: Three, out: Three, stride: Three, padding: Three, dilation: Three
) -> Plan:
    """y[o] = Σ_k w[k] · x[o·stride + k·dilation − padding]."""
    high = tuple(
        max(0, (o - 1) * s + (k - 1) * d - p - (n - 1))
        for n, k, o, s, p, d in zip(size, kernel, out, stride, padding, dilation, strict=True)
    )
    padded = tuple(p + n + h for p, n, h in zip(padding, size, high, strict=True))
    unit = strides(padded)
    taps = list(itertools.product(*map(range, kernel)))
    source = [sum(k * d * u for k, d, u in zip(tap, dilation, unit, strict=True)) for tap in taps]
    step = [s * u for s, u in zip(stride, unit, strict=True)]
    row = [*out, *step, 0, *strides(out), 0, 0, len(taps)]
    return Plan(padding, padded, _table([row], COLUMNS), _table(source), np.arange(len(taps)), True, False)


@lru_cache(maxsize=256)
def input_plan(
    size: Three, kernel: Three, out: Three, stride: Three, padding: Three, dilation: Three
) -> Plan:
    """dx[i] = Σ_k w[k] · g[(i + padding − k·dilation)/stride], over those k that divide evenly.

    For i = stride·a + r the source position is a + e, with e = (r + padding − k·dilation)/stride.
    """
    axes = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        by_residue = []
        for r in range(min(s, n)):
            meets = [((r + p - t * d) // s, t) for t in range(k) if (r + p - t * d) % s == 0]
            by_residue.append((r, (n - r + s - 1) // s, meets))
        axes.append(by_residue)
    low = tuple(max([0] + [-e for _, _, meets in axis for e, _ in meets]) for axis in axes)
    last = [
        max([g - 1] + [n - 1 + e for _, n, ms in axis for e, _ in ms])
        for g, axis in zip(out, axes, strict=True)
    ]
    padded = tuple(b + t + 1 for b, t in zip(low, last, strict=True))
    unit, into = strides(padded), strides(size)
    kernel_unit = strides(kernel)
    rows, source, weight = [], [], []
    for parts in itertools.product(*axes):
        taps = list(itertools.product(*(meets for _, _, meets in parts)))
        if taps:
            out_step = [s * u for s, u in zip(stride, into, strict=True)]
            out_start = sum(r * u for (r, _, _), u in zip(parts, into, strict=True))
            rows.append([*(n for _, n, _ in parts), *unit, 0, *out_step, out_start, len(source), len(taps)])
            source += [sum((e + b) * u for (e, _), b, u in zip(tap, low, unit, strict=True)) for tap in taps]
            weight += [sum(t * u for (_, t), u in zip(tap, kernel_unit, strict=True)) for tap in taps]
    passes = math.prod(len(axis) for axis in axes)
    return Plan(
        low, padded, _table(rows, COLUMNS), _table(source), _table(weight), passes == 1, len(rows) < passes
    )


def plan(geo: Geometry, of_input: bool) -> Plan:
    make = input_plan if of_input else forward_plan
    return make(geo.size, geo.kernel, geo.out, geo.stride, geo.padding, geo.dilation)


def _table(values: list, columns: int = 0) -> npt.NDArray[np.int64]:
    table = np.array(values, np.int64)
    return table.reshape(-1, columns) if columns else table
