"""1×1 convolutions as what they are: for each image a matrix product of the weights and the channels, by BLAS.

An image is a matrix (channels, positions) as it lies, so nothing is copied. Forward and input-gradient take 0.73–0.99
of the register tile's time (seven shapes from 8·16·32² → 16 to 8·64·56² → 256, medians of 25 turns), the
weight-gradient 0.82–0.96 from 1,024 positions on. Products of one image are cut by the shapes alone, each on one
thread.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.conv_tile import turn
from autograd_core.kernels.launch import Floats, kernel
from autograd_core.kernels.products import dgemm, sgemm


@kernel
def turn_weights(task: int, w: Floats, turned: Floats, inner: int, outer: int) -> None:
    """turned (outer, inner) from w (inner, outer)."""
    turn(w, 0, outer, inner, outer, turned, 0, inner)


@kernel
def convolve(
    task: int, source: Floats, w: Floats, out: Floats, function: int, size: int, inner: int, outer: int, plane: int,
    parts: int,
) -> None:  # fmt: skip
    """out (images, outer, plane) = w (outer, inner) · source (images, inner, plane), of elements of `size` bytes.

    A task is one of `parts` stretches of positions of an image.
    """
    image, part = task // parts, task % parts
    first = part * plane // parts
    count = (part + 1) * plane // parts - first
    weights = w.ctypes.data
    right = source.ctypes.data + size * (image * inner * plane + first)
    into = out.ctypes.data + size * (image * outer * plane + first)
    if size == 4:
        sgemm(function, 0, 0, outer, count, inner, weights, inner, right, plane, into, plane, 0)
    else:
        dgemm(function, 0, 0, outer, count, inner, weights, inner, right, plane, into, plane, 0)


@kernel
def sum_chunks(
    task: int, g: Floats, x: Floats, sums: Floats, function: int, size: int, batch: int, inputs: int, outputs: int,
    plane: int, terms: int, chunks: int,
) -> None:  # fmt: skip
    """sums (chunks, outputs, inputs): each chunk's images' g (outputs, plane) · xᵀ, x being (inputs, plane), or turned.

    `terms` positions are summed at a go.
    """
    first, past = task * batch // chunks, (task + 1) * batch // chunks
    into = sums.ctypes.data + size * task * outputs * inputs
    for image in range(first, past):
        for at in range(0, plane, terms):
            left = g.ctypes.data + size * (image * outputs * plane + at)
            right = x.ctypes.data + size * (image * inputs * plane + at)
            count, add = min(terms, plane - at), int(image > first or at > 0)
            if size == 4:
                sgemm(function, 0, 1, outputs, inputs, count, left, plane, right, plane, into, inputs, add)
            else:
                dgemm(function, 0, 1, outputs, inputs, count, left, plane, right, plane, into, inputs, add)


@kernel
def add_chunks(task: int, sums: Floats, dw: Floats, chunks: int) -> None:
    """dw, the sum of `chunks` arrays that lie one after the other in sums."""
    for i in range(np.uint64(dw.size)):
        dw[i] = sums[i]
    for chunk in range(1, chunks):
        first = np.uint64(chunk * dw.size)
        for i in range(np.uint64(dw.size)):
            dw[i] += sums[first + i]
