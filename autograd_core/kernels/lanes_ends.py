"""Registers at the ends of rows and arrays, where fewer elements are left than a register has lanes.

Elements that are not there are neither read nor written. Masked loads and stores do that: on AVX2 a masked store
takes as long as a dozen whole ones, so a kernel better lets a register reach over what it writes next.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from autograd_core.kernels.lanes import _WORD, Lanes, _pointer, _shuffle, lanes_of, load, piece, store
from autograd_core.kernels.vector import masked, prefetch_read, prefetch_write

# Elements ahead at which lines are asked for. 2 × 2 max pooling of 64·32·28² took, in two runs, 508 and 530 µs
# back without it, 386 and 383 with it; forward 475 and 538, 436 and 370.
AHEAD = 512


def _before(builder, count, at, end):
    """Which of the lanes that stand at `at` and behind it are before `end`."""
    words = ir.VectorType(_WORD, count)
    left = builder.insert_element(
        ir.Constant(words, ir.Undefined), builder.sub(end, at), ir.Constant(ir.IntType(32), 0)
    )
    return builder.icmp_signed(
        "<", ir.Constant(words, list(range(count))), _shuffle(builder, left, left, [0] * count)
    )


@intrinsic
def load_before(typing, array, at, end):
    """array[at : at + lanes], and 0 from `end` on, where nothing is read."""

    def emit(context, builder, signature, args):
        vector = context.get_value_type(signature.return_type)
        pointer = _pointer(context, builder, array, args[0], args[1], vector)
        align = ir.Constant(ir.IntType(32), array.dtype.bitwidth // 8)
        mask = _before(builder, vector.count, args[1], args[2])
        return masked(builder, "load", vector, vector, [pointer, align, mask, ir.Constant(vector, None)])

    return Lanes(array.dtype)(array, types.int64, types.int64), emit


@intrinsic
def store_before(typing, array, at, value, end):
    """array[at : at + lanes] = value, but nothing from `end` on."""

    def emit(context, builder, signature, args):
        data, at, value, end = args
        pointer = _pointer(context, builder, array, data, at, value.type)
        align = ir.Constant(ir.IntType(32), array.dtype.bitwidth // 8)
        mask = _before(builder, value.type.count, at, end)
        masked(builder, "store", value.type, ir.VoidType(), [value, pointer, align, mask])
        return context.get_dummy_value()

    return types.void(array, types.int64, value, types.int64), emit


@piece
def load_row(array, at, width):
    """A register of a row that has `width` elements from `at` on; behind them 0."""
    if width >= lanes_of(array):
        return load(array, at)
    return load_before(array, at, at + width)


@piece
def load_two(array, at, checked):
    """Two registers, one behind the other; `checked`: behind the array's end 0."""
    lanes = lanes_of(array)
    prefetch_read(array, at + AHEAD)
    if checked and at + 2 * lanes > array.size:
        return load_before(array, at, array.size), load_before(array, at + lanes, array.size)
    return load(array, at), load(array, at + lanes)


@piece
def store_until(array, at, value, end):
    """A register, as far as `end`; all of it where `end` is 0."""
    if end and at + lanes_of(array) > end:
        store_before(array, at, value, end)
    else:
        store(array, at, value)


@piece
def store_two(array, at, one, two, end):
    """Two registers, one behind the other, as far as `end`; all of them where `end` is 0."""
    lanes = lanes_of(array)
    prefetch_write(array, at + AHEAD)
    if end and at + 2 * lanes > end:
        store_before(array, at, one, end)
        store_before(array, at + lanes, two, end)
    else:
        store(array, at, one)
        store(array, at + lanes, two)
