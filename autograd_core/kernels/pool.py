"""Pooling: the largest element of each window, or the mean, with the transposes of both.

One, two or three spatial axes, seen by the kernels as three. Output size: floor((S + 2p − d(k−1) − 1)/s) + 1.
Of equal elements in a window the first one counts; a NaN counts more than any number, and the first NaN stays, as
in PyTorch. Padding is never chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import checks, pool_pairs, pool_planes, pool_winners
from autograd_core.kernels.launch import scratch, table
from autograd_core.kernels.pool_window import Window, lanes_of, prepared
from autograd_core.kernels.recorded import recorded

# Where the largest elements stand, as the kernels of `pool_winners` keep it.
Winners = npt.NDArray[np.uint8] | None

_TASK = 1 << 14  # elements of x that a task has at least
_TASKS = 64  # tasks at most: each has its part of the scratch block
_SMALL = 1 << 15  # elements of x that one thread has pooled before another one wakes


@recorded
def max_pool(
    x: npt.NDArray,
    *,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> npt.NDArray:
    """The largest element (N, C, *out) of each window of x (N, C, *S).

    Raises ValueError or TypeError for settings that do not fit, as all functions here do.
    """
    window = _window("x", x, kernel_size, stride, padding, dilation)
    return _fold(x, window, average=False)


@recorded
def max_pool_winners(
    x: npt.NDArray,
    *,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[npt.NDArray, Winners]:
    """What max_pool gives, and where these elements stand, for max_pool_put: None for windows other than the usual."""
    window = _window("x", x, kernel_size, stride, padding, dilation)
    if window.pairs and x.size:
        return _choose(x, window)
    return _fold(x, window, average=False), None


@recorded
def max_pool_put(
    g: npt.NDArray,
    x: npt.NDArray,
    winners: Winners = None,
    *,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> npt.NDArray:
    """Zeros like x (N, C, *S) with g (N, C, *out) added where each window's largest element stands.

    `winners`: what max_pool_winners gave for x; without it they are found again.
    """
    window = _window("x", x, kernel_size, stride, padding, dilation)
    _matches("g", g, x, window.out)
    if window.pairs and x.size:
        return _put_pairs(g, _choose(x, window)[1] if winners is None else winners, window)
    return _route(x, g, _like(x, window.size), window, back=True)


@recorded
def max_pool_take(
    h: npt.NDArray,
    x: npt.NDArray,
    *,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> npt.NDArray:
    """The elements (N, C, *out) of h, of x's shape, that stand where each window of x has its largest one."""
    window = _window("x", x, kernel_size, stride, padding, dilation)
    _matches("h", h, x, window.size)
    return _route(x, h, _like(x, window.out), window, back=False)


@recorded
def avg_pool(
    x: npt.NDArray, *, kernel_size: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> npt.NDArray:
    """The mean (N, C, *out) of each window of x (N, C, *S); padding counts as zeros, in the divisor too."""
    window = _window("x", x, kernel_size, stride, padding)
    return _fold(x, window, average=True)


@recorded
def avg_pool_grad(
    g: npt.NDArray,
    *,
    spatial: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
) -> npt.NDArray:
    """dx (N, C, *spatial) from g (N, C, *out): avg_pool's transpose."""
    window = _window("g", g, kernel_size, stride, padding, spatial=spatial)
    if g.shape[2:] != window.out:
        raise ValueError(
            f"g has the spatial shape {g.shape[2:]} but spatial {window.size} gives {window.out}: give g that shape"
        )
    dx = _like(g, window.size)
    if not dx.size:
        return dx
    if window.pairs:
        _spread_pairs(g, dx, window)
    else:
        sizes, block, how = _tasks(dx, window)
        pool_planes.spread(
            _flat(g), dx.reshape(-1), block, sizes, window.rows, window.starts, window.lines, window.columns,
            window.evens, window.odds, window.taps.size, **how,
        )  # fmt: skip
    return dx


# The kernels' calls ---------------------------------------------------------------------------------------------


def _fold(x: npt.NDArray, window: Window, average: bool) -> npt.NDArray:
    y = _like(x, window.out)
    if not y.size:
        return y
    if window.pairs:
        fold = pool_pairs.fold_twos if window.pairs == 2 else pool_pairs.fold_threes
        sizes, how = _pairs(x.size, window)
        fold(_flat(x), y.reshape(-1), *sizes, average, **how)
        return y
    if window.wide > x.shape[-1]:
        widened = np.full((*x.shape[:-1], window.wide), 0 if average else -np.inf, y.dtype)
        widened[..., : x.shape[-1]] = x
        x = widened
    sizes, block, how = _tasks(x, window)
    tables = window.ends, window.lines_inside, window.columns
    count = window.taps.size if average else 0
    pool_planes.fold(_flat(x), y.reshape(-1), block, sizes, *tables, count, **how)
    return y


def _choose(x: npt.NDArray, window: Window) -> tuple[npt.NDArray, npt.NDArray[np.uint8]]:
    y = _like(x, window.out)
    sizes, how = _pairs(x.size, window)
    width, lanes = window.out[-1], lanes_of(y.dtype)
    rows = y.size // width
    if window.pairs == 2:
        winners = scratch(rows * -(-width // lanes) * 2, np.uint8)
        pool_winners.choose_twos(_flat(x), y.reshape(-1), winners, *sizes, **how)
    else:
        winners = scratch(rows * max(width, lanes), np.uint8)
        lines = _lines(y.dtype, window, how["tasks"])
        pool_winners.choose_threes(_flat(x), y.reshape(-1), winners, lines, *sizes, **how)
    return y, winners


def _put_pairs(g: npt.NDArray, winners: npt.NDArray[np.uint8], window: Window) -> npt.NDArray:
    dx = _like(g, window.size)
    sizes, how = _pairs(dx.size, window)
    put = pool_winners.put_twos if window.pairs == 2 else pool_winners.put_threes
    put(_flat(g), winners, dx.reshape(-1), *sizes, **how)
    return dx


def _spread_pairs(g: npt.NDArray, dx: npt.NDArray, window: Window) -> None:
    sizes, how = _pairs(dx.size, window)
    if window.pairs == 2:
        pool_pairs.spread_twos(_flat(g), dx.reshape(-1), *sizes, **how)
    else:
        lines = _lines(dx.dtype, window, how["tasks"])
        pool_pairs.spread_threes(_flat(g), dx.reshape(-1), lines, *sizes, **how)


def _lines(dtype: np.dtype, window: Window, tasks: int) -> npt.NDArray:
    """The scratch block of the kernels for 3 × 3 windows."""
    return scratch(tasks * pool_pairs.LINES * (window.out[-1] + lanes_of(dtype)), dtype)


def _route(x: npt.NDArray, one: npt.NDArray, two: npt.NDArray, window: Window, back: bool) -> npt.NDArray:
    if two.size:
        sizes, block, how = _tasks(x, window)
        pool_planes.route(
            _flat(x), _flat(one), two.reshape(-1), block, sizes, window.rows, window.starts, window.taps,
            window.first_row, window.first_column, window.corners, window.offsets, back, **how,
        )  # fmt: skip
    return two


def _pairs(size: int, window: Window) -> tuple[tuple[int, int, int, int], dict[str, int]]:
    """(planes, a task's share of them, rows, columns) for `size` elements, and how many tasks there are."""
    high, wide = window.size[-2:]
    planes = size // (high * wide)
    share = _share(planes, high * wide)
    return (planes, share, high, wide), {"tasks": -(-planes // share), "serial": size < _SMALL}


def _share(planes: int, plane: int) -> int:
    """How many planes a task has: a matter of shapes alone."""
    return max(_TASK // plane, -(-planes // _TASKS), 1)


def _tasks(x: npt.NDArray, window: Window) -> tuple[npt.NDArray[np.int64], npt.NDArray, dict[str, int]]:
    """`sizes` and the scratch block of the kernels, and how many tasks there are."""
    planes, plane, row = x.shape[0] * x.shape[1], math.prod(x.shape[2:]), window.out[-1]
    share = _share(planes, plane)
    tasks = -(-planes // share)
    part = max(window.cells + row + 2 * window.margin, window.folded)
    sizes = (
        planes, share, plane, x.shape[-1], row, window.step, window.pitch, window.pad, window.copies, window.cells,
        window.margin, part,
    )  # fmt: skip
    block = scratch(tasks * part, x.dtype.newbyteorder("="))
    return table(np.array(sizes, np.int64)), block, {"tasks": tasks, "serial": x.size < _SMALL}


def _flat(array: npt.NDArray) -> npt.NDArray:
    return checks.ready(array).reshape(-1)


def _like(array: npt.NDArray, spatial: tuple[int, ...]) -> npt.NDArray:
    """An array that is yet to be filled, with another spatial shape."""
    shape = checks.allocation((*array.shape[:2], *spatial), array.dtype)
    return np.empty(shape, array.dtype.newbyteorder("="))


# Settings -------------------------------------------------------------------------------------------------------


def _matches(name: str, array: npt.NDArray, x: npt.NDArray, spatial: tuple[int, ...]) -> None:
    checks.floats(x=x, **{name: array})
    if array.shape != (*x.shape[:2], *spatial):
        raise ValueError(
            f"{name} has the shape {array.shape}, expected {(*x.shape[:2], *spatial)} for x of shape {x.shape}"
        )


def _window(
    name: str,
    array: npt.NDArray,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int] | None = None,
    spatial: Sequence[int] | None = None,
) -> Window:
    """The settings, checked: spatial is that of `array` and dilation 1, unless given."""
    checks.floats(**{name: array})
    if array.ndim not in (3, 4, 5):
        raise ValueError(
            f"{name} has {array.ndim} axes, expected 3, 4 or 5: give it the shape (N, C, *spatial)"
        )
    settings = (kernel_size, stride, padding, dilation)
    return prepared(
        array.ndim - 2,
        array.shape[2:] if spatial is None else spatial,
        *(tuple(each) if isinstance(each, list) else each for each in settings),
        array.dtype.newbyteorder("="),
    )
