"""The settings of pooling, checked once, and the tables that the kernels take."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import checks
from autograd_core.kernels.conv_geometry import AXES, Three, fill, out_size, three
from autograd_core.kernels.launch import table

# By kernel size, stride, padding, dilation, and whether the rows of x are odd: the windows that `pool_pairs` takes.
_PAIRS = {
    (1, 2, 2, 1, 2, 2, 0, 0, 0, 1, 1, 1, 0): 2,
    (1, 2, 2, 1, 2, 2, 0, 0, 0, 1, 1, 1, 1): 2,
    (1, 3, 3, 1, 2, 2, 0, 1, 1, 1, 1, 1, 0): 3,
}


class Window(NamedTuple):
    """The settings of pooling over a spatial shape, and the tables that the kernels take (see `pool_planes`)."""

    size: tuple[int, ...]  # x's spatial shape, as the caller counts its axes
    out: tuple[int, ...]
    pairs: int  # 2 for 2 × 2, 3 for 3 × 3 with padding 1, both two apart; else 0
    step: int  # stride along the last axis
    wide: int  # a row of x, or a register where that is longer
    pitch: int  # of folded rows, with padding `pad` on both sides
    pad: int
    folded: int  # numbers in all of them
    copies: bool  # the kernels work on padded copies of the planes
    cells: int  # numbers in such a copy
    margin: int  # zeros on both sides of a row of g, when it is spread
    ends: npt.NDArray[np.int64]
    lines_inside: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    taps: npt.NDArray[np.int64]
    corners: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    first_row: npt.NDArray
    first_column: npt.NDArray
    lines: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    evens: npt.NDArray[np.int64]
    odds: npt.NDArray[np.int64]


def lanes_of(dtype: np.dtype) -> int:
    """How many numbers a register holds."""
    return 32 // dtype.itemsize


def _out(size: int, kernel: int, stride: int, padding: int, dilation: int, axis: int, axes: str) -> int:
    """The output's size on one axis, once the settings are known to fit."""
    if 2 * padding > kernel:
        raise ValueError(
            f"padding {padding} is more than half of kernel_size {kernel} (axis {axis}): "
            f"give a padding of at most {kernel // 2}"
        )
    out = out_size(size, kernel, stride, padding, dilation)
    if out < 1 or size < 1:
        raise ValueError(
            f"x has size {size} on axis {axis}, with padding {size + 2 * padding}, but the window spans "
            f"{dilation * (kernel - 1) + 1}: give x the shape (N, C, {axes}) with larger sizes, or a smaller window"
        )
    # With p ≤ k/2 a window can miss x only when its taps step over the whole of it.
    places = np.arange(out) * stride - padding
    if dilation > size and (places + _first(size, out, stride, padding, dilation) * dilation >= size).any():
        raise ValueError(
            f"x has size {size} on axis {axis} and dilation {dilation} steps over it, so that a window holds only "
            f"padding: give a dilation of at most {size}"
        )
    return out


def _first(size: int, out: int, stride: int, padding: int, dilation: int) -> npt.NDArray[np.int64]:
    """Each window's first tap that is not in the padding before x, along one axis."""
    return np.maximum(0, -((np.arange(out) * stride - padding) // dilation))


@lru_cache(maxsize=256)  # checking takes as long as pooling a small array
def prepared(
    ndim: int, spatial: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, dtype: np.dtype
) -> Window:
    lanes = lanes_of(dtype)
    spatial = checks.integers("spatial", spatial, ndim, 0)
    kernel = checks.integers("kernel_size", kernel, ndim, 1)
    stride = checks.integers("stride", stride, ndim, 1)
    padding = checks.integers("padding", padding, ndim, 0)
    dilation = (1,) * ndim if dilation is None else checks.integers("dilation", dilation, ndim, 1)
    settings = list(zip(spatial, kernel, stride, padding, dilation, strict=True))
    out = tuple(_out(*each, axis + 2, AXES[ndim]) for axis, each in enumerate(settings))
    if math.prod(kernel) > 1 << 24:
        raise ValueError(f"kernel_size {kernel} has more than 2**24 elements: reduce over the axes instead")
    size, kernels, outs = fill(spatial, ndim, 1), fill(kernel, ndim, 1), fill(out, ndim, 1)
    steps, pads, dilations = fill(stride, ndim, 1), fill(padding, ndim, 0), fill(dilation, ndim, 1)
    padded = three(s + 2 * p for s, p in zip(size, pads, strict=True))
    first = [_first(s, o, t, p, d) for s, o, t, p, d in zip(size, outs, steps, pads, dilations, strict=True)]
    corners = _places(size, outs, steps)[..., 0].ravel()
    taps = _places(padded, kernels, dilations)
    columns = taps[0, 0]
    shifts = columns // steps[2]
    wide = max(size[2], lanes)
    pitch = wide + 2 * pads[2]
    inside, lines = _lines_inside(size, outs, kernels, steps, pads, dilations)
    return Window(
        size=spatial,
        out=out,
        pairs=_PAIRS.get((*kernels, *steps, *pads, *dilations, size[2] % 2), 0),
        step=stride[-1],
        wide=wide,
        pitch=pitch,
        pad=pads[2],
        folded=outs[0] * outs[1] * pitch + lanes * (stride[-1] + 1),
        ends=table(np.concatenate([[0], np.cumsum(inside.sum(axis=1))])),
        lines_inside=table(lines[inside] * wide),
        copies=any(pads) or out[-1] < lanes,
        cells=math.prod(padded) + lanes * (stride[-1] + 2),
        margin=int(shifts[-1]) + lanes,
        rows=table(_places(padded, size, (1, 1, 1), pads)[..., 0].ravel()),
        starts=table(_places(padded, outs, steps)[..., 0].ravel()),
        taps=table(taps.ravel()),
        corners=table(corners - ((pads[0] * size[1] + pads[1]) * size[2] + pads[2])),
        offsets=table(_places(size, kernels, dilations).ravel()),
        first_row=table(((first[0][:, None] * kernels[1] + first[1]) * kernels[2]).ravel().astype(dtype)),
        first_column=table(np.pad(first[2], (0, lanes)).astype(dtype)),
        lines=table(taps[..., 0].ravel()),
        columns=table(columns),
        evens=table(shifts[columns % steps[2] == 0]),
        odds=table(shifts[columns % steps[2] == 1]),
    )


def _lines_inside(
    size: Three, out: Three, kernel: Three, stride: Three, padding: Three, dilation: Three
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """For each row of windows, which of its taps' rows are inside x, and their numbers there."""
    places = [
        np.arange(o)[:, None] * t - p + np.arange(k) * d
        for o, k, t, p, d in zip(out[:2], kernel, stride, padding, dilation, strict=False)
    ]
    d, h = places[0][:, None, :, None], places[1][None, :, None, :]
    inside = (d >= 0) & (d < size[0]) & (h >= 0) & (h < size[1])
    lines = out[0] * out[1]
    return inside.reshape(lines, -1), (d * size[1] + h).reshape(lines, -1)


def _places(grid: Three, count: Three, step: Three, start: Three = (0, 0, 0)) -> npt.NDArray[np.int64]:
    """Flat positions in an array of shape `grid` of `count` places along each axis, `step` apart."""
    d, h, w = (b + s * np.arange(c) for b, s, c in zip(start, step, count, strict=True))
    return (d[:, None, None] * grid[1] + h[:, None]) * grid[2] + w
