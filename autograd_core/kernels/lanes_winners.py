"""Registers for max pooling: which element of a window is the largest, kept as bits or bytes, and values dealt by that.

Unzipping a row in order takes twice the shuffles of unzipping each half of the registers by itself. `unzip_halves`
does the latter, and the windows stand in another order, for which `in_order` makes up once, at the end.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from autograd_core.kernels.lanes import _WORD, _pointer, _shuffle

_BYTE = ir.IntType(8)


# Order ----------------------------------------------------------------------------------------------------------


def _halves(lanes: int) -> list[int]:
    """Which window stands in each lane behind `unzip_halves`; the order is its own inverse."""
    quarter = lanes // 4
    return [lane + quarter * (0, 1, -1, 0)[lane // quarter] for lane in range(lanes)]


@intrinsic
def unzip_halves(typing, a, b):
    """Of the row (a, b): the elements at even places, and those at odd ones, of both halves by themselves."""

    def emit(context, builder, signature, args):
        order = _halves(args[0].type.count)
        return context.make_tuple(
            builder, signature.return_type,
            [_shuffle(builder, *args, [2 * window + odd for window in order]) for odd in (0, 1)],
        )  # fmt: skip

    return types.UniTuple(a, 2)(a, b), emit


@intrinsic
def interleave_halves(typing, a, b):
    """unzip_halves' inverse."""

    def emit(context, builder, signature, args):
        lanes = args[0].type.count
        order = _halves(lanes)
        row = [order[i // 2] + lanes * (i % 2) for i in range(2 * lanes)]
        return context.make_tuple(
            builder, signature.return_type,
            [_shuffle(builder, *args, row[:lanes]), _shuffle(builder, *args, row[lanes:])],
        )  # fmt: skip

    return types.UniTuple(a, 2)(a, b), emit


@intrinsic
def in_order(typing, value):
    """From the order of unzip_halves to that of the row, and back."""

    def emit(context, builder, signature, args):
        return _shuffle(builder, args[0], args[0], _halves(args[0].type.count))

    return value(value), emit


@intrinsic
def shifted_halves(typing, value, first):
    """What `shifted` is for a row in order: each lane gets the window before its own, the first one that of `first`."""

    def emit(context, builder, signature, args):
        order = _halves(args[0].type.count)
        return _shuffle(builder, *args, [order[window - 1] if window else len(order) for window in order])

    return value(value, first), emit


@intrinsic
def dropped(typing, value):
    """value moved down by one lane, before a 0."""

    def emit(context, builder, signature, args):
        lanes = args[0].type.count
        return _shuffle(builder, args[0], ir.Constant(args[0].type, None), list(range(1, lanes + 1)))

    return value(value), emit


# 2 × 2: a bit for each lane -------------------------------------------------------------------------------------


@intrinsic
def largest(typing, a, b, c, d):
    """(The largest of four, bits of the lanes where it is c or d, bits of those where it is b or d).

    As with `winner` the first of equals counts, and the first NaN.
    """

    def emit(context, builder, signature, args):
        a, b, c, d = args

        def beaten(held, other):
            beats = builder.fcmp_unordered(">", other, held)  # or one of them is NaN
            return builder.and_(beats, builder.fcmp_ordered("ord", held, held))

        def bits(mask):
            return builder.zext(builder.bitcast(mask, ir.IntType(mask.type.count)), _WORD)

        upper, lower = beaten(a, b), beaten(c, d)
        above, below = builder.select(upper, b, a), builder.select(lower, d, c)
        second = beaten(above, below)
        most, right = builder.select(second, below, above), builder.select(second, lower, upper)
        return context.make_tuple(builder, signature.return_type, (most, bits(second), bits(right)))

    return types.Tuple((a, types.int64, types.int64))(a, b, c, d), emit


@intrinsic
def dealt(typing, value, second, right):
    """`value` in the place of the largest of a, b, c, d, and 0 in those of the others: by the bits of `largest`."""

    def emit(context, builder, signature, args):
        value, *bits = args
        lanes, zero = value.type.count, ir.Constant(value.type, None)
        second, right = (
            builder.bitcast(builder.trunc(each, ir.IntType(lanes)), ir.VectorType(ir.IntType(1), lanes))
            for each in bits
        )
        above, below = builder.select(second, zero, value), builder.select(second, value, zero)
        parts = [
            part
            for share in (above, below)
            for part in (builder.select(right, zero, share), builder.select(right, share, zero))
        ]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(value, 4)(value, second, right), emit


# 3 × 3: the number of a tap, a byte for each lane ---------------------------------------------------------------


@intrinsic
def store_bytes(typing, array, at, value):
    """array[at : at + lanes] = the whole numbers in value's lanes."""

    def emit(context, builder, signature, args):
        numbers = builder.fptoui(args[2], ir.VectorType(_BYTE, args[2].type.count))
        builder.store(numbers, _pointer(context, builder, array, args[0], args[1], numbers.type), align=1)
        return context.get_dummy_value()

    return types.void(array, types.int64, value), emit


@intrinsic
def where_byte(typing, array, at, number, value):
    """`value` where array[at : at + lanes] is `number`, else 0."""

    def emit(context, builder, signature, args):
        array_v, at, number, value = args
        lanes = value.type.count
        vector = ir.VectorType(_BYTE, lanes)
        numbers = builder.load(_pointer(context, builder, array, array_v, at, vector), align=1)
        one = builder.insert_element(
            ir.Constant(vector, ir.Undefined), builder.trunc(number, _BYTE), ir.Constant(ir.IntType(32), 0)
        )
        equal = builder.icmp_unsigned("==", numbers, _shuffle(builder, one, one, [0] * lanes))
        return builder.select(equal, value, ir.Constant(value.type, None))

    return value(array, types.int64, types.int64, value), emit
