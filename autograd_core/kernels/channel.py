"""Sums over the elements of each channel, and channels scaled and shifted: batch, layer and group normalisation.

An array is seen as (outer, channels, inner), row-major. Where `inner` is long the kernels run along it: "rows". Where
it is short they run across channels, along the columns of a matrix (outer, channels · inner). Each reads its arrays
once. Sums are taken in the array's dtype over blocks of a few thousand elements, in many lanes, and over blocks in
float64, in one fixed order.

Variances: for each block, s, Σ(x − s) and Σ(x − s)², where s is the mean of the block's first k elements; then blocks
are merged. So nothing cancels: (mean − s)² is at most (n / k) of the block's variance, with n / k ≤ 128. Source: Chan,
Golub, LeVeque, "Algorithms for computing the sample variance", The American Statistician 37, 1983.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import channel_loops, checks
from autograd_core.kernels.channel_loops import WIDE
from autograd_core.kernels.launch import Kernel, all_finite, scratch
from autograd_core.kernels.recorded import recorded

_PIECE = 1 << 12  # elements of a row in a block, at most
_BLOCK = 256  # elements of a column in a block
_TASK = 1 << 14  # elements of a task, at least
_SMALL = 1 << 15  # elements below which one thread does it all
_SHORT = 64  # rows shorter than this are summed as columns
_JOINED = 256  # columns fewer than this are set side by side


class Blocks(NamedTuple):
    """How (outer, channels, inner) is cut: blocks (a, channels, j), of which the last ones along a and j are smaller.

    Columns that are few stand `folds` times side by side, each with every folds-th outer position.
    """

    along_rows: bool
    folds: int
    a: int
    channels: int
    j: int
    count_a: int  # outer positions in a block, and in a last one; the same for inner
    last_a: int
    count_j: int
    last_j: int

    @property
    def total(self) -> int:
        return self.a * self.channels * self.j

    @property
    def columns(self) -> int:
        return self.folds * self.channels * self.j

    @property
    def tasks(self) -> int:
        """Of the kernels along columns."""
        return self.a // self.folds * -(-self.columns // WIDE)


@lru_cache(maxsize=1024)
def _blocks(view: tuple[int, int, int]) -> Blocks:
    outer, channels, inner = view
    if inner >= _SHORT or outer < 8:
        pieces = -(-inner // _PIECE)
        length = -(-inner // pieces)
        return Blocks(True, 1, outer, channels, pieces, 1, 1, length, inner - (pieces - 1) * length)
    folds = _folds(outer, channels * inner)
    rows = outer // folds
    stacks = -(-rows // _BLOCK)
    count = -(-rows // stacks)
    return Blocks(False, folds, stacks * folds, channels, inner, count, rows - (stacks - 1) * count, 1, 1)


def _folds(outer: int, columns: int) -> int:
    """How often rows of so many columns may be joined, until they are long enough to be worth a loop."""
    folds = 1
    while folds * columns < _JOINED and outer % (2 * folds) == 0:
        folds *= 2
    return folds


@recorded
def sums(x: npt.NDArray) -> npt.NDArray:
    """(channels,): Σ x, of x (outer, channels, ...)."""
    checks.floats(x=x)
    view = _view(x)
    if not x.size:
        return np.zeros(view[1], x.dtype.newbyteorder("="))
    blocks = _blocks(view)
    parts = _parts(1, channel_loops.row_totals, channel_loops.column_totals, blocks, view, _flat(x))
    return _total(parts, blocks)[0]


@recorded
def moments(x: npt.NDArray) -> npt.NDArray:
    """(2, channels): mean and variance (over n, not n − 1) of x (outer, channels, ...); NaN where n is 0."""
    checks.floats(x=x)
    view = _view(x)
    if not x.size:
        return np.full((2, view[1]), np.nan, x.dtype.newbyteorder("="))
    blocks = _blocks(view)
    parts = _parts(3, channel_loops.row_moments, channel_loops.column_moments, blocks, view, _flat(x))
    out = _merged(parts, blocks)
    if not all_finite(out):
        _as_numpy(x, out)
    return out


def _as_numpy(x: npt.NDArray, out: npt.NDArray) -> None:
    """NumPy's mean and variance where the mean is not finite: ∞ less a block's mean of ∞ would make it NaN."""
    with np.errstate(all="ignore"):
        for channel in np.flatnonzero(~np.isfinite(out[0])):
            out[:, channel] = np.mean(x[:, channel]), np.var(x[:, channel])


@recorded
def channel_sums(g: npt.NDArray, x: npt.NDArray, centre: npt.NDArray) -> npt.NDArray:
    """(2, channels): Σ g and Σ g · (x − centre), of g and x (outer, channels, ...) and centre (channels,)."""
    checks.floats(g=g, x=x, centre=centre)
    view = _view(x)
    _same_shape(g, x)
    _coefficient("centre", centre, view[1])
    if not x.size:
        return np.zeros((2, view[1]), x.dtype.newbyteorder("="))
    blocks = _blocks(view)
    centre = _flat(centre) if blocks.along_rows else _spread(centre, view[2], blocks.folds)
    arrays = _flat(g), _flat(x), centre
    parts = _parts(2, channel_loops.row_sums, channel_loops.column_sums, blocks, view, *arrays)
    return _total(parts, blocks)


@recorded
def scale_shift(x: npt.NDArray, centre: npt.NDArray, scale: npt.NDArray, shift: npt.NDArray) -> npt.NDArray:
    """(x − centre) · scale + shift, of x (outer, channels, ...) and (channels,) of each of the others."""
    return _moved(x, x, centre, scale, shift, None)


@recorded
def blend(
    g: npt.NDArray, x: npt.NDArray, centre: npt.NDArray, a: npt.NDArray, b: npt.NDArray, shift: npt.NDArray
) -> npt.NDArray:
    """g · a + (x − centre) · b + shift, of g and x (outer, channels, ...) and (channels,) of each of the others."""
    checks.floats(g=g, x=x)
    _same_shape(g, x)
    return _moved(g, x, centre, b, shift, a)


def _moved(
    g: npt.NDArray,
    x: npt.NDArray,
    centre: npt.NDArray,
    scale: npt.NDArray,
    shift: npt.NDArray,
    share_of_g: npt.NDArray | None,
) -> npt.NDArray:
    outer, channels, inner = _view(x)
    numbers = [centre, scale, shift, centre if share_of_g is None else share_of_g]
    for name, value in zip(("centre", "scale", "shift", "a"), numbers, strict=True):
        checks.floats(**{"x": x, name: value})
        _coefficient(name, value, channels)
    out = np.empty(checks.allocation(x.shape, x.dtype), x.dtype.newbyteorder("="))
    if not x.size:
        return out
    arrays, both, serial = (_flat(g), _flat(x), out.reshape(-1)), share_of_g is not None, x.size < _SMALL
    if inner >= 32 // x.dtype.itemsize:
        share, tasks = _share(outer * channels, inner)
        rows = outer * channels
        channel_loops.row_move(
            *arrays, *map(_flat, numbers), both, rows, share, inner, tasks=tasks, serial=serial
        )
    else:
        folds = _folds(outer, channels * inner)
        share, tasks = _share(outer // folds, folds * channels * inner)
        numbers = [_spread(value, inner, folds) for value in numbers]
        channel_loops.column_move(*arrays, *numbers, both, outer // folds, share, tasks=tasks, serial=serial)
    return out


def _parts(
    kinds: int, along_rows: Kernel, along_columns: Kernel, blocks: Blocks, view: tuple[int, int, int],
    *arrays: npt.NDArray,
) -> npt.NDArray:  # fmt: skip
    """What the loop that suits the blocks finds in each: so many kinds of sum, one kind after the other."""
    outer, _, inner = view
    parts = scratch(kinds * blocks.total, arrays[0].dtype)
    if blocks.along_rows:
        run = along_rows
        share, tasks = _share(blocks.total, blocks.count_j)
        sizes = share, inner, blocks.count_j, blocks.j
    else:
        run, tasks = along_columns, blocks.tasks
        sizes = outer // blocks.folds, blocks.columns, blocks.count_a
    run(*arrays, parts, *sizes, tasks=tasks, serial=arrays[0].size < _SMALL)
    return parts


def _total(parts: npt.NDArray, blocks: Blocks) -> npt.NDArray:
    """(kinds, channels): sums over the blocks of each channel, for each kind of sum that the parts hold."""
    out = np.empty((parts.size // blocks.total, blocks.channels), parts.dtype)
    share, tasks = _share(out.size, blocks.a * blocks.j)
    channel_loops.merge_totals(
        parts, out.reshape(-1), blocks.channels, blocks.a, blocks.j, share, tasks=tasks, serial=tasks < 4
    )
    return out


def _merged(parts: npt.NDArray, blocks: Blocks) -> npt.NDArray:
    """(2, channels): mean and variance from the blocks' sums."""
    out = np.empty((2, blocks.channels), parts.dtype)
    share, tasks = _share(blocks.channels, blocks.a * blocks.j)
    channel_loops.merge_moments(
        parts, out.reshape(-1), blocks.channels, blocks.a, blocks.j, share, blocks.folds, blocks.count_a,
        blocks.last_a, blocks.count_j, blocks.last_j, tasks=tasks, serial=tasks < 4,
    )  # fmt: skip
    return out


def _view(x: npt.NDArray) -> tuple[int, int, int]:
    if x.ndim < 2:
        raise ValueError(f"x has {x.ndim} axes, expected 2 or more: give it the shape (outer, channels, ...)")
    return x.shape[0], x.shape[1], math.prod(x.shape[2:])


def _same_shape(g: npt.NDArray, x: npt.NDArray) -> None:
    if g.shape != x.shape:
        raise ValueError(f"g has the shape {g.shape} but x has {x.shape}: give both the same shape")


def _coefficient(name: str, value: npt.NDArray, channels: int) -> None:
    if value.shape != (channels,):
        raise ValueError(f"{name} has the shape {value.shape}, expected ({channels},): one for each channel")


def _flat(array: npt.NDArray) -> npt.NDArray:
    return checks.ready(array).reshape(-1)


def _spread(value: npt.NDArray, inner: int, folds: int) -> npt.NDArray:
    """One number for each column."""
    value = value if inner == 1 else np.repeat(value, inner)
    return _flat(value if folds == 1 else np.tile(value, folds))


def _share(units: int, size: int) -> tuple[int, int]:
    """How many units of `size` elements a task has, and the number of tasks."""
    share = max(1, _TASK // size)
    return share, -(-units // share)
