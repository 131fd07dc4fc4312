"""Convolution row by row, for few channels per group (depthwise, a first layer's input-gradient): no packing.

Each output row is a sum of input rows times one weight, over the widths that are inside the input, so padding
needs no copy. The vector unit runs along a row. All arrays come flat, as (planes, D·H·W).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from autograd_core.kernels.jit import jit


@jit(inner=True)
def span(out, size, tap, stride, padding, dilation):
    """First and past-last output positions whose input position o·stride + tap·dilation − padding is inside."""
    offset = tap * dilation - padding
    first = 0 if offset >= 0 else (-offset + stride - 1) // stride
    last = (size - 1 - offset) // stride + 1 if size > offset else 0
    return min(first, out), max(min(last, out), min(first, out))


# Unsigned indices: numba gives a signed one a test for counting from the end, which keeps LLVM from vectorising
# (48 ns for a row of 28 floats, against 12 ns).
@jit(inner=True)
def add_row(to, to_at, to_step, source, at, step, weight, count):
    """to[to_at + i·to_step] += weight · source[at + i·step]."""
    into, begin, length = np.uint64(to_at), np.uint64(at), np.uint64(count)
    if to_step == 1 and step == 1:
        for i in range(length):
            to[into + i] += weight * source[begin + i]
    else:
        for i in range(length):
            to[into + i * np.uint64(to_step)] += weight * source[begin + i * np.uint64(step)]


@jit(inner=True)
def add_plane(to, source, w, size, kernel, out, stride, padding, dilation, back):
    """Planes: `to` (y's) += w ∗ `source` (x's); back: `to` (x's) += its transpose on `source` (y's)."""
    for kd in range(kernel[0]):
        d0, d1 = span(out[0], size[0], kd, stride[0], padding[0], dilation[0])
        for kh in range(kernel[1]):
            h0, h1 = span(out[1], size[1], kh, stride[1], padding[1], dilation[1])
            for kw in range(kernel[2]):
                w0, w1 = span(out[2], size[2], kw, stride[2], padding[2], dilation[2])
                weight = w[(kd * kernel[1] + kh) * kernel[2] + kw]
                for d in range(d0, d1):
                    in_d = d * stride[0] + kd * dilation[0] - padding[0]
                    for h in range(h0, h1):
                        in_h = h * stride[1] + kh * dilation[1] - padding[1]
                        y_at = (d * out[1] + h) * out[2] + w0
                        x_at = (
                            (in_d * size[1] + in_h) * size[2] + w0 * stride[2] + kw * dilation[2] - padding[2]
                        )
                        if back:
                            add_row(to, x_at, stride[2], source, y_at, 1, weight, w1 - w0)
                        else:
                            add_row(to, y_at, 1, source, x_at, stride[2], weight, w1 - w0)


@jit(parallel=True)
def convolve(source, w, to, sizes, batch, size, kernel, out, stride, padding, dilation, back):
    """`to` (batch·channels, plane), zeros on entry, from `source`: forward, or input-gradient (back).

    sizes: groups, then channels of source and of `to` in a group; w (O, C/groups, taps). A task owns a plane of `to`.
    """
    groups, inner, outer = sizes
    for task in prange(batch * groups * outer):
        group, j = task // outer % groups, task % outer
        first = (task // outer) * inner
        for i in range(inner):
            weights = w[group * inner + i, j] if back else w[group * outer + j, i]
            add_plane(
                to[task], source[first + i], weights, size, kernel, out, stride, padding, dilation, back
            )


@jit(inner=True)
def dot_rows(g, x, size, out, stride, dh, w, starts):
    """Σ g · x over the ranges dh (d0, d1, h0, h1) and w of positions; starts: input position of output 0."""
    total = g.dtype.type(0)
    for d in range(dh[0], dh[1]):
        in_d = d * stride[0] + starts[0]
        for h in range(dh[2], dh[3]):
            y_at = (d * out[1] + h) * out[2]
            x_at = (in_d * size[1] + h * stride[1] + starts[1]) * size[2] + starts[2]
            one, two = np.uint64(y_at + w[0]), np.uint64(x_at + w[0] * stride[2])
            length, step = np.uint64(w[1] - w[0]), np.uint64(stride[2])
            if stride[2] == 1:
                for i in range(length):
                    total += g[one + i] * x[two + i]
            else:
                for i in range(length):
                    total += g[one + i] * x[two + i * step]
    return total


@jit(parallel=True)
def weight_grad(g, x, dw, sizes, batch, size, kernel, out, stride, padding, dilation):
    """dw (O, C/groups, taps), zeros on entry: each is summed over images, then positions, in this one order."""
    groups, inputs, outputs = sizes
    taps = kernel[0] * kernel[1] * kernel[2]
    for task in prange(dw.shape[0] * inputs):
        o, c = task // inputs, task % inputs
        channel = o // outputs * inputs + c
        for t in range(taps):
            kd, kh, kw = t // (kernel[1] * kernel[2]), t // kernel[2] % kernel[1], t % kernel[2]
            d0, d1 = span(out[0], size[0], kd, stride[0], padding[0], dilation[0])
            h0, h1 = span(out[1], size[1], kh, stride[1], padding[1], dilation[1])
            w_range = span(out[2], size[2], kw, stride[2], padding[2], dilation[2])
            starts = (
                kd * dilation[0] - padding[0], kh * dilation[1] - padding[1], kw * dilation[2] - padding[2],
            )  # fmt: skip
            for n in range(batch):
                dw[o, c, t] += dot_rows(g[n * groups * outputs + o], x[n * groups * inputs + channel],
                                        size, out, stride, (d0, d1, h0, h1), w_range, starts)  # fmt: skip
