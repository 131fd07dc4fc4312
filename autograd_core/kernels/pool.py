"""Pooling: max as the winner's index (its value is a gather), average and its transpose.

One, two or three spatial axes, seen by the kernels as three. Output size: floor((S + 2p − d(k−1) − 1)/s) + 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import prange

from autograd_core.kernels import checks, threads
from autograd_core.kernels.conv_geometry import AXES, Three, fill, out_size
from autograd_core.kernels.conv_rows import add_plane, span
from autograd_core.kernels.jit import jit


def max_pool_index(
    x: npt.NDArray,
    *,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> npt.NDArray[np.int64]:
    """Index (N, C, *out) of each window's greatest element, as a flat position in its (n, c) plane of x (N, C, *S).

    Of equal elements the first wins; a NaN wins over every number and the first NaN stays, as in PyTorch.
    Padding is never chosen. Raises ValueError or TypeError for settings that do not fit.
    """
    size, window, out = _check("x", x, kernel_size, stride, padding, dilation)
    index = np.full(checks.allocation((*x.shape[:2], *out), np.int64), -1, np.int64)
    if index.size:
        with threads.region():
            _argmax(_planes(x), _planes(index), size, fill(out, len(out), 1), *window)
    return index


def avg_pool(
    x: npt.NDArray, *, kernel_size: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> npt.NDArray:
    """Mean (N, C, *out) of each window of x (N, C, *S); padding counts as zeros, in the divisor too."""
    size, window, out = _check("x", x, kernel_size, stride, padding, None)
    y = np.zeros(checks.allocation((*x.shape[:2], *out), x.dtype), x.dtype.newbyteorder("="))
    if y.size:
        with threads.region():
            _mean(_planes(x), _planes(y), _ones(y, window), size, fill(out, len(out), 1), *window)
    return y


def avg_pool_grad(
    g: npt.NDArray,
    *,
    spatial: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
) -> npt.NDArray:
    """dx (N, C, *spatial) from g (N, C, *out): avg_pool's transpose."""
    checks.floats(g=g)
    _rank("g", g)
    spatial = checks.integers("spatial", spatial, g.ndim - 2, 0)
    dx_shape = checks.allocation((*g.shape[:2], *spatial), g.dtype)
    size, window, out = _settings(dx_shape, kernel_size, stride, padding, None)
    if g.shape[2:] != out:
        raise ValueError(
            f"g has the spatial shape {g.shape[2:]} but spatial {spatial} gives {out}: give g that shape"
        )
    dx = np.zeros(dx_shape, g.dtype.newbyteorder("="))
    if dx.size:
        with threads.region():
            _spread(_planes(g), _planes(dx), _ones(dx, window), size, fill(out, len(out), 1), *window)
    return dx


def _planes(array: npt.NDArray) -> npt.NDArray:
    """The array as kernels take it, (N·C, D·H·W)."""
    shape = array.shape
    return checks.ready(array).reshape(shape[0] * shape[1], math.prod(shape[2:]))


def _ones(like: npt.NDArray, window: tuple[Three, ...]) -> npt.NDArray:
    return np.ones(math.prod(window[0]), like.dtype)


def _rank(name: str, array: npt.NDArray) -> None:
    if array.ndim not in (3, 4, 5):
        raise ValueError(
            f"{name} has {array.ndim} axes, expected 3, 4 or 5: give it the shape (N, C, *spatial)"
        )


def _check(name: str, array: npt.NDArray, kernel_size, stride, padding, dilation):
    checks.floats(**{name: array})
    _rank(name, array)
    return _settings(array.shape, kernel_size, stride, padding, dilation)


def _settings(
    shape: tuple[int, ...],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int] | None,
) -> tuple[Three, tuple[Three, Three, Three, Three], tuple[int, ...]]:
    """Spatial size, (kernel, stride, padding, dilation), all with three axes, and the output's own spatial shape."""
    ndim = len(shape) - 2
    kernel_size = checks.integers("kernel_size", kernel_size, ndim, 1)
    stride = checks.integers("stride", stride, ndim, 1)
    padding = checks.integers("padding", padding, ndim, 0)
    dilation = checks.integers("dilation", (1,) * ndim if dilation is None else dilation, ndim, 1)
    out = []
    for axis, (s, k, t, p, d) in enumerate(
        zip(shape[2:], kernel_size, stride, padding, dilation, strict=True)
    ):
        if 2 * p > k:
            raise ValueError(
                f"padding {p} is more than half of kernel_size {k} (axis {axis + 2}): "
                f"give a padding of at most {k // 2}"
            )
        out.append(out_size(s, k, t, p, d))
        if out[-1] < 1 or s < 1:
            raise ValueError(
                f"x has size {s} on axis {axis + 2}, with padding {s + 2 * p}, but the window spans "
                f"{d * (k - 1) + 1}: give x the shape (N, C, {AXES[ndim]}) with larger sizes, or a smaller window"
            )
        # With p ≤ k/2 a window can miss x only when its taps step over the whole of it.
        if d > s and any(-((o * t - p) // d) * d + o * t - p >= s for o in range(out[-1])):
            raise ValueError(
                f"x has size {s} on axis {axis + 2} and dilation {d} steps over it, so that a window holds only "
                f"padding: give a dilation of at most {s}"
            )
    window = (
        fill(kernel_size, ndim, 1),
        fill(stride, ndim, 1),
        fill(padding, ndim, 0),
        fill(dilation, ndim, 1),
    )
    return fill(shape[2:], ndim, 1), window, tuple(out)


@jit(inner=True)
def _argmax_row(x, out_at, index, best, first, past, start, stride):
    """One tap of a row of windows: index and best take the element where it beats what they hold (index −1: nothing).

    A window's first element is taken whatever it is, so that windows of −∞ or NaN have an index too. Branch-free,
    with unsigned indices (numba tests signed ones for counting from the end), so that LLVM vectorises it.
    """
    o, p, b, step = np.uint64(out_at + first), np.uint64(start), np.uint64(first), np.uint64(stride)
    for i in range(np.uint64(past - first)):
        at = p + i * step
        value, held = x[at], best[b + i]
        wins = (index[o + i] < 0) | (value > held) | ((value != value) & (held == held))
        best[b + i] = value if wins else held
        index[o + i] = np.int64(at) if wins else index[o + i]


@jit(inner=True)
def _argmax_plane(x, index, best, spans, size, out, kernel, stride, padding, dilation):
    for od in range(out[0]):
        for oh in range(out[1]):
            out_at = (od * out[1] + oh) * out[2]
            for kd in range(kernel[0]):
                d = od * stride[0] + kd * dilation[0] - padding[0]
                if d < 0 or d >= size[0]:
                    continue
                for kh in range(kernel[1]):
                    h = oh * stride[1] + kh * dilation[1] - padding[1]
                    if h < 0 or h >= size[1]:
                        continue
                    row_at = (d * size[1] + h) * size[2]
                    for kw in range(kernel[2]):
                        first, past = spans[kw, 0], spans[kw, 1]
                        start = row_at + first * stride[2] + kw * dilation[2] - padding[2]
                        _argmax_row(x, out_at, index, best, first, past, start, stride[2])


@jit(parallel=True)
def _argmax(x, index, size, out, kernel, stride, padding, dilation):
    spans = np.empty((kernel[2], 2), np.int64)
    for kw in range(kernel[2]):
        spans[kw, 0], spans[kw, 1] = span(out[2], size[2], kw, stride[2], padding[2], dilation[2])
    for plane in prange(x.shape[0]):
        best = np.zeros(out[2], x.dtype)
        _argmax_plane(x[plane], index[plane], best, spans, size, out, kernel, stride, padding, dilation)


@jit(inner=True)
def _divide(out, source, count):
    for i in range(out.size):
        out[i] = source[i] / out.dtype.type(count)


# A sum over windows is a convolution with ones (`ones`, one for each tap); dividing is the rest of a mean.
@jit(parallel=True)
def _mean(x, y, ones, size, out, kernel, stride, padding, dilation):
    for plane in prange(x.shape[0]):
        add_plane(y[plane], x[plane], ones, size, kernel, out, stride, padding, dilation, False)
        _divide(y[plane], y[plane], ones.size)


@jit(parallel=True)
def _spread(g, dx, ones, size, out, kernel, stride, padding, dilation):
    for plane in prange(g.shape[0]):
        share = np.empty(g.shape[1], g.dtype)
        _divide(share, g[plane], ones.size)
        add_plane(dx[plane], share, ones, size, kernel, out, stride, padding, dilation, True)
