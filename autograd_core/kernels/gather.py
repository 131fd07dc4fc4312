"""Gather and scatter-add: each is the transpose of the other.

Scatter-adds run in parallel only over an axis that one thread owns and add in index order, so that no update is
lost and the result does not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import prange

from autograd_core.kernels import checks, threads
from autograd_core.kernels.jit import jit

_CHUNK = (
    1 << 14
)  # elements of one row that a task gathers; also the columns' block of scatter_add_rows in bytes


def gather(x2d: npt.NDArray, index2d: npt.NDArray[np.int64]) -> npt.NDArray:
    """out (R, M) with out[r, m] = x2d[r, index2d[r, m]], from x2d (R, S) and index2d (R, M) in [0, S)."""
    _array("x2d", x2d, 2)
    _rows("x2d", x2d, "index2d", index2d)
    index = checks.indices("index2d", index2d, x2d.shape[1])
    out = np.empty(index.shape, x2d.dtype.newbyteorder("="))
    if out.size:
        with threads.region():
            _gather(checks.ready(x2d), index, out)
    return out


def scatter_add(g2d: npt.NDArray, index2d: npt.NDArray[np.int64], size: int) -> npt.NDArray:
    """out (R, size) with out[r, index2d[r, m]] += g2d[r, m]: gather's transpose, in the order of m."""
    _array("g2d", g2d, 2)
    _rows("g2d", g2d, "index2d", index2d)
    if index2d.shape != g2d.shape:
        raise ValueError(
            f"g2d has the shape {g2d.shape} but index2d has {index2d.shape}: give both the same shape"
        )
    size = checks.integer("size", size, 0)
    index = checks.indices("index2d", index2d, size)
    out = np.zeros(checks.allocation((g2d.shape[0], size), g2d.dtype), g2d.dtype.newbyteorder("="))
    if index.size:
        with threads.region():
            _scatter_add(checks.ready(g2d), index, out)
    return out


def gather_rows(x2d: npt.NDArray, index1d: npt.NDArray[np.int64]) -> npt.NDArray:
    """out (M, D) = x2d[index1d], from x2d (S, D) and index1d (M,) in [0, S)."""
    _array("x2d", x2d, 2)
    _array("index1d", index1d, 1)
    index = checks.indices("index1d", index1d, x2d.shape[0])
    # NumPy's take is a memcpy for each row: nothing to win here.
    shape = checks.allocation((index.size, x2d.shape[1]), x2d.dtype)
    out = np.empty(shape, x2d.dtype.newbyteorder("="))
    if out.size:
        np.take(checks.ready(x2d), index, axis=0, out=out, mode="clip")
    return out


def scatter_add_rows(g: npt.NDArray, index: npt.NDArray[np.int64], rows: int) -> npt.NDArray:
    """out (rows, D) with out[index[m]] += g[m], in the order of m: gather_rows' transpose (an embedding's gradient)."""
    _array("g", g, 2)
    _array("index", index, 1)
    if index.shape[0] != g.shape[0]:
        raise ValueError(
            f"g has {g.shape[0]} rows (axis 0) but index has {index.shape[0]}: give both the same number"
        )
    rows = checks.integer("rows", rows, 0)
    index = checks.indices("index", index, rows)
    out = np.zeros(checks.allocation((rows, g.shape[1]), g.dtype), g.dtype.newbyteorder("="))
    if out.size and index.size:
        with threads.region():
            _scatter_add_rows(checks.ready(g), index, out)
    return out


def _array(name: str, array: npt.NDArray, ndim: int) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} is {type(array).__name__}, expected an ndarray")
    if array.ndim != ndim:
        raise ValueError(f"{name} has {array.ndim} axes, expected {ndim}: reshape it to {ndim} axes")
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8 or array.dtype == np.float16:
        if not name.startswith("index"):
            raise TypeError(
                f"{name} is {array.dtype.name}: give it as float32, float64, an integer type or bool"
            )


def _rows(one: str, a: npt.NDArray, two: str, b: npt.NDArray) -> None:
    _array(two, b, 2)
    if a.shape[0] != b.shape[0]:
        raise ValueError(
            f"{one} has {a.shape[0]} rows (axis 0) but {two} has {b.shape[0]}: give both the same number"
        )


@jit(parallel=True)
def _gather(x, index, out):
    chunks = (index.shape[1] + _CHUNK - 1) // _CHUNK
    for task in prange(index.shape[0] * chunks):
        r, first = task // chunks, task % chunks * _CHUNK
        for m in range(first, min(index.shape[1], first + _CHUNK)):
            out[r, m] = x[r, index[r, m]]


@jit(parallel=True)
def _scatter_add(g, index, out):
    for r in prange(index.shape[0]):
        for m in range(index.shape[1]):
            out[r, index[r, m]] += g[r, m]


@jit(parallel=True)
def _scatter_add_rows(g, index, out):
    # A task owns a block of columns: 16 of them are one or two cache lines of each row.
    blocks = (out.shape[1] + 15) // 16
    for block in prange(blocks):
        first, past = block * 16, min(out.shape[1], block * 16 + 16)
        for m in range(index.shape[0]):
            row = index[m]
            for column in range(first, past):
                out[row, column] += g[m, column]
