"""Products of the weight-gradient where both factors have the tiles side by side: sums that run along registers."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from autograd_core.kernels.stencil import shuffle
from autograd_core.kernels.strip import Carried, number
from autograd_core.kernels.vector import data_of, fused, load_vector, offset, store_vector, vector_type
from autograd_core.kernels.winograd_lanes import pointers


def lane_sums(builder, vectors):
    """A vector whose lane l is the sum of the lanes of vectors[l]."""
    lanes, half = vectors[0].type.count, 1
    while half < lanes:
        low = [j + (lanes - half if j & half else 0) for j in range(lanes)]
        high = [j + (lanes if j & half else half) for j in range(lanes)]
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [builder.fadd(shuffle(builder, a, b, low), shuffle(builder, a, b, high)) for a, b in pairs]
        half *= 2
    return vectors[0]


@intrinsic
def lane_products(typing, out, to, out_step, one, one_at, one_step, other, other_at, other_step, count):
    """out[to + i·out_step + j] += Σ_{t < count} one[one_at + i·one_step + t] · other[other_at + j·other_step + t]

    for i under 2 and j under half the lanes; `count` is a multiple of the lanes.
    """
    i = types.int64

    def emit(context, builder, signature, args):
        out_v, to, out_step, one_v, one_at, one_step, other_v, other_at, other_step, count = args
        kind = vector_type(context, out)
        half, zero, fma = kind.count // 2, ir.Constant(kind, None), fused(builder, kind)
        ones = pointers(builder, offset(builder, data_of(context, builder, one, one_v), one_at), one_step, 2)
        others = pointers(
            builder, offset(builder, data_of(context, builder, other, other_v), other_at), other_step, half
        )
        sums = Carried(builder, [zero] * kind.count)
        with cgutils.for_range_slice(builder, number(0), count, number(kind.count)) as (t, _):
            values = [load_vector(builder, offset(builder, line, t), kind) for line in others]
            after = []
            for line, held in zip(ones, (sums.get()[:half], sums.get()[half:]), strict=True):
                value = load_vector(builder, offset(builder, line, t), kind)
                after += [builder.call(fma, [value, *each]) for each in zip(values, held, strict=True)]
            sums.set(after)
        total = lane_sums(builder, sums.get())
        part = ir.VectorType(kind.element, half)
        for h, cell in enumerate(
            pointers(builder, offset(builder, data_of(context, builder, out, out_v), to), out_step, 2)
        ):
            value = shuffle(builder, total, total, list(range(h * half, (h + 1) * half)))
            store_vector(builder, builder.fadd(load_vector(builder, cell, part), value), cell)
        return context.get_dummy_value()

    return types.void(out, i, i, one, i, i, other, i, i, i), emit
