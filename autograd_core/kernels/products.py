"""Matrix products by the address of a function: this project's own where it is the faster one, else BLAS's.

The library is the one that NumPy computes with, found among the loaded ones (OpenBLAS, as in NumPy's wheels). Products
of a tile's width have a kernel of their own in compiled programs.
"""

from __future__ import annotations

import ctypes
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from autograd_core.dtypes import Shape
from autograd_core.kernels.gemm import sgemm_address
from autograd_core.kernels.gemm_panel import ITEM, add_line
from autograd_core.kernels.launch import Constants, Floats, Ints, address_of, kernel, table
from autograd_core.kernels.prepared import Prepared
from autograd_core.kernels.vector import BITS, ROWS, lanes_of, tile, width_of

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


# Sizes up to which x, read once for each block of y, and the result stay in the second-level cache of 2 MB.
MOST_X, _MOST_OUT = 1 << 18, 1 << 19
# Columns of one block, for which x is read once; an x so small that the result may be of any size.
_ONE_BLOCK, _SMALL_X = 128, 1 << 16
_LEAST_SIDE = 16  # rows and columns
_TASK, _LEAST_LINES = 1 << 22, 64  # multiply-adds, and rows or columns, of a task at least
_MOST_TURNED = 128  # rows of an xᵀ
_LEAST, _LEAST_TURNED = 1 << 20, 1 << 16  # multiply-adds, and those with yᵀ: it takes a second to compile


def suits_own(m: int, k: int, n: int, x_turned: int, y_turned: int, dtype: np.dtype[Any]) -> bool:
    """Whether (m, k) · (k, n) is faster by `gemm` than by OpenBLAS, in vectors of 512 bits.

    OpenBLAS's time for gemm's, over 50 shapes: 0.97–1.44, for yᵀ 1.04–2.4; small ones 0.6–1.2 (64×32 · 32×64 0.91), for
    yᵀ 1.3–3 (14 shapes from 16×16 · 16×16 on, of which one lost: 20×200 · 200×50, 0.87). Larger ones: 256×3136 ·
    3136×64 1.16, 512×1024 · 1024×128 1.02, 1024×1024 · 1024×256 and 1000×1000 · 1000×1000 0.92–0.95. xᵀ: 1.04–1.09
    where its rows are few (784×128 · 128×256), 0.82–1.00 where they are many. In vectors of 256 bits, on Zen 3,
    OpenBLAS was faster than the tile: 0.65–0.9.
    """
    if BITS != 512 or dtype != np.float32 or min(m, n) < _LEAST_SIDE or (x_turned and k > _MOST_TURNED):
        return False
    if m * k * n < (_LEAST_TURNED if y_turned else _LEAST):
        return False
    return n <= _ONE_BLOCK or m * k <= (MOST_X if m * n <= _MOST_OUT else _SMALL_X)


def function_of(m: int, k: int, n: int, x_turned: int, y_turned: int, dtype: np.dtype[Any]) -> int:
    """The address of the gemm for (m, k) · (k, n); 0 where there is none."""
    if suits_own(m, k, n, x_turned, y_turned, dtype):
        return sgemm_address()
    found = blas()
    return 0 if found is None else found.single if dtype.itemsize == 4 else found.double


def tasks_of(batch: int, m: int, k: int, n: int, parts: int, by_rows: bool, own: bool) -> int:
    """How many tasks `products` is cut into: `parts` or, where no cut changes an element, what keeps threads busy.

    That is so for the matrices of a batch, and for `gemm`'s elements, which are summed alike wherever they lie.
    """
    most = batch if batch > 1 else (m if by_rows else n) // _LEAST_LINES if own else 1
    wanted = min(most, batch * m * k * n // _TASK)
    # Eight tasks were no faster than four, and three cut a width of 256 within a panel of 32.
    return max(parts, 4 if wanted >= 4 else 2 if wanted >= 2 else 1)


class Own:
    """The product of float32 matrices of certain shapes and strides by `gemm`: see `own`."""

    def __init__(self, m: int, n: int, constants: tuple[int, ...], tasks: int) -> None:
        self.shape = m, n
        self.plain = Prepared(products, np.float64, None, None, None, 0, *constants, tasks=tasks)
        self.biased = Prepared(products, np.float64, None, None, None, None, *constants, tasks=tasks)

    def __call__(self, x: Any, y: Any, bias: Any = None) -> Any:
        """x · y, plus a float32 `bias` for each column; None where an array's numbers are not aligned."""
        out = np.empty(self.shape, np.float32)
        done = self.plain(x, y, out) if bias is None else self.biased(x, y, out, bias)
        return out if done else None


def batched(x: Any, y: Any) -> Any:
    """x (batch, m, k) · y (batch, k, n) of one float type, shared out to threads; None where rows lie otherwise."""
    constants = _batch_constants(x.shape, x.strides, y.shape, y.strides, x.dtype)
    if constants is None or not (x.flags.aligned and y.flags.aligned and x.dtype.isnative):
        return None
    out = np.empty((*x.shape[:2], y.shape[2]), x.dtype)
    products(address_of(x), address_of(y), address_of(out), 0, constants[0], tasks=constants[1])
    return out


@lru_cache(maxsize=1024)
def _batch_constants(
    x_shape: Shape, x_strides: Shape, y_shape: Shape, y_strides: Shape, dtype: np.dtype[Any]
) -> tuple[Constants, int] | None:
    (batch, m, k), n, size = x_shape, y_shape[2], dtype.itemsize
    lies_x, lies_y = (
        _lying(shape[1:], strides[1:], size)
        for shape, strides in ((x_shape, x_strides), (y_shape, y_strides))
    )
    if lies_x is None or lies_y is None or (x_strides[0] | y_strides[0]) % size:
        return None
    function = function_of(m, k, n, lies_x[0], lies_y[0], dtype)
    if not function:
        return None
    parts = tasks_of(batch, m, k, n, 1, False, False)
    places = (lies_x[1], lies_y[1], x_strides[0] // size, y_strides[0] // size)
    turned = int(lies_x[0]), int(lies_y[0])
    return Constants(products, function, size, batch, m, n, k, *turned, *places, parts, 0), parts


def own(
    x_shape: Shape, x_strides: Shape, y_shape: Shape, y_strides: Shape, parts: int, by_rows: bool
) -> Own | None:
    """The product of such matrices, cut into parts along rows or columns; None where `gemm` does not suit them."""
    (m, k), n = x_shape, y_shape[1]
    rows, columns = (-(-m // parts), n) if by_rows else (m, -(-n // parts))
    lies_x, lies_y = _lying(x_shape, x_strides, 4), _lying(y_shape, y_strides, 4)
    if lies_x is None or lies_y is None:
        return None
    (x_turned, x_step), (y_turned, y_step) = lies_x, lies_y
    if not suits_own(rows, k, columns, x_turned, y_turned, np.dtype(np.float32)):
        return None
    matrices = 4, 1, m, n, k, int(x_turned), int(y_turned), x_step, y_step, 0, 0
    parts = tasks_of(1, m, k, n, parts, by_rows, own=True)
    return Own(m, n, (sgemm_address(), *matrices, parts, int(by_rows)), parts)


def _lying(shape: Shape, strides: Shape, size: int) -> tuple[bool, int] | None:
    """Whether a matrix lies transposed, and the step between its rows as they lie; None where they are no rows."""
    (rows, columns), (row, column) = shape, strides
    if row % size or column % size:
        return None
    if column == size and row >= columns * size:
        return False, row // size
    return (True, column // size) if row == size and column >= rows * size else None


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
    task: int, x: int, y: int, out: int, bias: int, function: int, size: int, batch: int, m: int, n: int, k: int,
    x_turned: int, y_turned: int, x_step: int, y_step: int, x_batch: int, y_batch: int, parts: int, by_rows: int,
) -> None:  # fmt: skip
    """out (batch, m, n) = x (batch, m, k) · y (batch, k, n), at these addresses, of elements of `size` bytes.

    A turned matrix lies transposed; steps are between rows as they lie, and between matrices. There are `parts` tasks:
    shares of the batch, or, of one product, of its rows or columns. Unless the address `bias` is 0, a float32 for each
    column lies there, and is added: for elements of 4 bytes.
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
            if bias:
                add_line(into, rows, ITEM * n, bias + ITEM * column, columns)
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
