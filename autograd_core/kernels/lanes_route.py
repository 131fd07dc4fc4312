"""Of four registers, the one that gets a value, lane by lane."""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


@intrinsic
def routed(typing, a, b, c, d, value):
    """`value` in the place of the largest of a, b, c, d, and 0 in those of the others.

    As with `winner` the first of equals counts, and the first NaN: but the choice stays a mask, which takes a third of
    the instructions of a number that is compared with four others.
    """

    def emit(context, builder, signature, args):
        *numbers, value = args
        zero = ir.Constant(value.type, None)

        def beaten(held, other):
            beats = builder.fcmp_unordered(">", other, held)  # or one of them is NaN
            return builder.and_(beats, builder.fcmp_ordered("ord", held, held))

        def split(mask, value):
            return builder.select(mask, zero, value), builder.select(mask, value, zero)

        halves, most = [], []
        for one, two in (numbers[:2], numbers[2:]):
            halves.append(beaten(one, two))
            most.append(builder.select(halves[-1], two, one))
        shares = split(beaten(*most), value)
        parts = [part for mask, share in zip(halves, shares, strict=True) for part in split(mask, share)]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(value, 4)(a, b, c, d, value), emit
