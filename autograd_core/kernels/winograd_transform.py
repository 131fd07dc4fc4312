"""The transforms of Winograd's fast convolution F(4×4, 3×3), as vector code made from their matrices.

Four outputs of a filter of 3 taps need 6 products instead of 12, in two dimensions 36 instead of 144:
y = Aᵀ[(G w) ⊙ (Bᵀ d)]. The weight-gradient's 3 outputs of a filter of 4 taps need the same 6, with the same Bᵀ.

Source: A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", 2016. The points are 0, ±3/4, ±3/2
and ∞ instead of the usual 0, ±1, ±2, ∞: their error in float32 is about twice the direct sum's, where the usual
ones' is four times (64 channels, root mean square), and their powers are as exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from autograd_core.kernels import vector

Matrix = npt.NDArray[Any]

POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
SIZE = len(POINTS) + 1  # points with ∞: the side of an input tile
OUTPUTS, TAPS = 4, 3  # a tile's outputs and the filter's taps, per dimension; the weight-gradient swaps them

# Rows and columns that belong to p and −p are the sum and the difference of an even and an odd half.
BUTTERFLY = np.array(
    [[1, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 1, -1, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 1, -1, 0],
     [0, 0, 0, 0, 0, 1]],
    float,
)  # fmt: skip


def powers(columns: int) -> Matrix:
    """p⁰ … p^(columns−1) for each point; ∞ has the highest power only."""
    return np.array([[p**j for j in range(columns)] for p in POINTS] + [[0.0] * (columns - 1) + [1.0]])


def filter_matrix(taps: int) -> Matrix:
    """G (6, taps): the filter's polynomial at the points, over Π (p − the other points)."""
    scale = [np.prod([p - q for q in POINTS if q != p]) for p in POINTS] + [1.0]
    return powers(taps) / np.array(scale)[:, None]


def input_matrix() -> Matrix:
    """Bᵀ (6, 6): row p holds the coefficients of Π (x − q) over the other points q, row ∞ of all of them."""
    rows = [np.poly([q for q in POINTS if q != p])[::-1] for p in POINTS]
    return np.array([[*row, 0.0] for row in rows] + [np.poly(POINTS)[::-1]])


def output_matrix(outputs: int) -> Matrix:
    """Aᵀ (outputs, 6)."""
    return powers(outputs).T


def row_stages(matrix: Matrix) -> list[Matrix]:
    """A (6, n) matrix as halves, then the butterfly."""
    return [BUTTERFLY.T @ matrix / (BUTTERFLY**2).sum(0)[:, None], BUTTERFLY]


def column_stages(matrix: Matrix) -> list[Matrix]:
    """An (n, 6) matrix as the butterfly, then halves."""
    return [BUTTERFLY, matrix @ BUTTERFLY / (BUTTERFLY**2).sum(0)]


def _product(builder: ir.IRBuilder, matrix: Matrix, values: list) -> list:
    """matrix · values for vectors; zeros cost nothing, ones no multiplication."""
    kind = values[0].type
    fma = vector.fused(builder, kind)
    results = []
    for row in matrix:
        terms = sorted(
            ((c, v) for c, v in zip(row, values, strict=True) if c), key=lambda term: abs(term[0]) != 1
        )
        total = None
        for c, value in terms:
            factor = ir.Constant(kind, [c] * kind.count)
            if total is None:
                total = value if c == 1 else builder.fmul(value, factor)
            elif c == 1:
                total = builder.fadd(total, value)
            elif c == -1:
                total = builder.fsub(total, value)
            else:
                total = builder.call(fma, [value, factor, total])
        results.append(total)
    return results


def apply_stages(builder: ir.IRBuilder, stages: list[Matrix], values: list) -> list:
    """The product of the stages · values."""
    for stage in stages:
        values = _product(builder, stage, values)
    return values


def sandwich(stages: list[Matrix]):
    """An intrinsic for out = M · in · Mᵀ on vectors, M the product of the stages.

    (source, at, row_step, column_step, out, to, out_row_step, out_column_step): element (i, j) is the vector at
    at + i·row_step + j·column_step.
    """
    inputs, outputs = stages[0].shape[1], stages[-1].shape[0]

    @intrinsic
    def transform(typing, source, at, row_step, column_step, out, to, out_row_step, out_column_step):
        def emit(context, builder, signature, args):
            source_v, at, row_step, column_step, out_v, to, out_row_step, out_column_step = args
            kind = vector.vector_type(context, source)
            lines = vector.grid(
                context, builder, source, source_v, at, (inputs, row_step), (inputs, column_step)
            )
            cells = vector.grid(
                context, builder, out, out_v, to, (outputs, out_row_step), (outputs, out_column_step)
            )
            columns = [
                apply_stages(
                    builder, stages, [vector.load_vector(builder, lines[i][j], kind) for i in range(inputs)]
                )
                for j in range(inputs)
            ]
            for i in range(outputs):
                row = apply_stages(builder, stages, [column[i] for column in columns])
                for j in range(outputs):
                    vector.store_vector(builder, row[j], cells[i][j])
            return context.get_dummy_value()

        return types.void(source, *[types.int64] * 3, out, *[types.int64] * 3), emit

    return transform


transform_input = sandwich(row_stages(input_matrix()))  # 6×6 → 6×6
transform_filter = sandwich(row_stages(filter_matrix(TAPS)))  # 3×3 → 6×6
transform_output = sandwich(column_stages(output_matrix(OUTPUTS)))  # 6×6 → 4×4
transform_slopes = sandwich(row_stages(filter_matrix(OUTPUTS)))  # 4×4 → 6×6: the weight-gradient's filter
transform_gradient = sandwich(column_stages(output_matrix(TAPS)))  # 6×6 → 3×3: its output
