"""Matrix products from inside compiled programs: small ones on the register tile, others by BLAS, by its address.

The library is the one that NumPy computes with, found among the loaded ones (OpenBLAS, as in NumPy's wheels).
"""

from __future__ import annotations

import ctypes
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from autograd_core.kernels.launch import Floats, Ints, kernel, table
from autograd_core.kernels.vector import ROWS, lanes_of, tile, width_of

_NAMES = ("scipy_cblas_{}gemm64_", "cblas_{}gemm64_")


class Blas(NamedTuple):
    """Addresses of cblas_sgemm and cblas_dgemm with 64-bit sizes."""

    single: int
    double: int


@cache
def blas() -> Blas | None:
    """NumPy's BLAS, or None where its functions are not to be found: then products are left to NumPy."""
    from threadpoolctl import threadpool_info

    for library in threadpool_info():
        if library["user_api"] != "blas":
            continue
        loaded = ctypes.CDLL(library["filepath"])
        for name in _NAMES:
            found = [getattr(loaded, name.format(letter), None) for letter in "sd"]
            if all(found):
                return Blas(*(ctypes.cast(f, ctypes.c_void_p).value or 0 for f in found))
    return None


def _caller(number: Any) -> Any:
    """cblas's gemm: out = x · y, or out += x · y where `add` is not 0; matrices at addresses, steps between rows."""

    @intrinsic
    def call(typing, function, transposed_x, transposed_y, m, n, k, x, x_step, y, y_step, out, out_step, add):
        def emit(context, builder, signature, args):
            word, small, one = ir.IntType(64), ir.IntType(32), number
            pointer = one.as_pointer()
            kinds = [small] * 3 + [word] * 3 + [one, pointer, word, pointer, word, one, pointer, word]
            f, tx, ty, m, n, k, x, sx, y, sy, out, so, add = args
            plain, turned = ir.Constant(small, 111), ir.Constant(small, 112)
            zero = ir.Constant(word, 0)

            def order(flag):
                return builder.select(builder.icmp_signed("!=", flag, zero), turned, plain)

            def at(address):
                return builder.inttoptr(address, pointer)

            called = builder.inttoptr(f, ir.FunctionType(ir.VoidType(), kinds).as_pointer())
            builder.call(called, [
                ir.Constant(small, 101), order(tx), order(ty), m, n, k, ir.Constant(one, 1.0), at(x), sx, at(y), sy,
                builder.uitofp(builder.icmp_signed("!=", add, zero), one), at(out), so,
            ])  # fmt: skip
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 13), emit

    return call


sgemm, dgemm = _caller(ir.FloatType()), _caller(ir.DoubleType())


@kernel
def products(
    task: int, x: int, y: int, out: int, function: int, size: int, batch: int, m: int, n: int, k: int, x_turned: int,
    y_turned: int, x_step: int, y_step: int, x_batch: int, y_batch: int, parts: int, by_rows: int,
) -> None:  # fmt: skip
    """out (batch, m, n) = x (batch, m, k) · y (batch, k, n), at these addresses, of elements of `size` bytes.

    A turned matrix lies transposed; steps are between rows as they lie, and between matrices. There are `parts` tasks:
    shares of the batch, or, of one product, of its rows or columns.
    """
    first, past = 0, batch
    row, rows, column, columns = 0, m, 0, n
    if batch > 1:
        first, past = task * batch // parts, (task + 1) * batch // parts
    elif by_rows:
        row = task * m // parts
        rows = (task + 1) * m // parts - row
    else:
        column = task * n // parts
        columns = (task + 1) * n // parts - column
    for i in range(first, past):
        left = x + size * (i * x_batch + row * (1 if x_turned else x_step))
        right = y + size * (i * y_batch + column * (y_step if y_turned else 1))
        into = out + size * ((i * m + row) * n + column)
        if size == 4:
            sgemm(function, x_turned, y_turned, rows, columns, k, left, x_step, right, y_step, into, n, 0)
        else:
            dgemm(function, x_turned, y_turned, rows, columns, k, left, x_step, right, y_step, into, n, 0)


def suits_tile(m: int, k: int, n: int, dtype: np.dtype[Any]) -> bool:
    """Whether a product runs faster on the register tile than in BLAS: the result is as wide as a tile, and small.

    32×16 · 16×16 takes 0.24 µs instead of 0.42; 100×64 · 64×32, which needs its operand packed, 8.6 instead of 5.8.
    """
    return n == width_of(dtype) and m * k <= 4096


def packed_size(m: int, k: int, dtype: np.dtype[Any]) -> int:
    """Elements of small_product's scratch memory."""
    return (k + -(-m // ROWS) * ROWS) * width_of(dtype)


@lru_cache(maxsize=1024)
def tables(m: int, k: int, row_step: int, step: int) -> tuple[Any, Any, Any]:
    """small_product's rows, targets and steps for an x with these strides."""
    rows = np.minimum(np.arange(-(-m // ROWS) * ROWS), m - 1)
    return table(rows * row_step), table(rows), table(np.arange(k) * step)


@kernel
def small_product(
    task: int, x: Floats, y: Floats, out: Floats, packed: Floats, rows: Ints, targets: Ints, steps: Ints, m: int,
    n: int, y_step: int, y_column: int,
) -> None:  # fmt: skip
    """out (m, n) = x · y, where x's element (i, k) lies at rows[i] + steps[k] and y's (k, j) at k·y_step + j·y_column.

    `packed` has room for a tile's width of y's columns, and for as much of the result; rows and targets are filled up
    to whole tiles.
    """
    _, width = lanes_of(out)
    k = steps.size
    sums = packed[k * width :]
    for j in range(0, n, width):
        columns = min(width, n - j)
        whole = columns == width
        if whole and y_column == 1 and y_step == width:
            source, at = y, j
        else:
            source, at = packed, 0
            for i in range(k):
                for c in range(columns):
                    packed[i * width + c] = y[i * y_step + (j + c) * y_column]
                for c in range(columns, width):
                    packed[i * width + c] = 0
        into = out if n == width else sums
        for r in range(0, m, ROWS):
            tile(into, targets, True, x, rows, r, source, at, steps, 0, k, width)
        if n != width:
            for i in range(m):
                for c in range(columns):
                    out[i * n + j + c] = sums[i * width + c]
