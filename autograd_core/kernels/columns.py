"""Register tiles whose lanes run along columns: the sums of `conv_columns` and `conv_columns_weight`."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from autograd_core.kernels.column_lines import store_some
from autograd_core.kernels.stencil import shuffle
from autograd_core.kernels.strip import Carried, Mask, number
from autograd_core.kernels.vector import (
    BITS,
    data_of,
    fused,
    load_vector,
    offset,
    splat,
    store_vector,
    sum_products,
    vector_type,
)
from autograd_core.kernels.winograd_dots import lane_sums

# A tile: output channels × vectors of positions. Of 32 registers 24 sums are as slow as 16 or slower (8 × 3, 6 × 4,
# 12 × 2), 8 × 2 as fast; of the 16 of AVX2 12 hold sums.
ROWS, VECTORS = (4, 4) if BITS == 512 else (4, 3)


@intrinsic
def column_tile(typing, out, at, row_step, targets, target, counts, count, source, starts, start, steps, weights,
                first, weight_step, taps, begin, end, shift, channel, floor, rows):  # fmt: skip
    """out[at + r·row_step + targets[target + v] + l] = shift[channel + r] +
    Σ_{begin ≤ k < end} weights[first + r·weight_step + taps[k]] · source[starts[start + v] + steps[k] + l]

    for r under `rows`, at most ROWS, v under VECTORS and l under counts[count + v]; `floor` for what is not above it,
    but NaN stays. Nothing is checked.
    """
    i = types.int64
    signature = types.void(
        out,
        i,
        i,
        targets,
        i,
        counts,
        i,
        source,
        starts,
        i,
        steps,
        weights,
        i,
        i,
        taps,
        i,
        i,
        shift,
        i,
        out.dtype,
        i,
    )

    def emit(context, builder, sig, args):
        (out_v, at, row_step, targets_v, target, counts_v, count, source_v, starts_v, start, steps_v, weights_v, first,
         weight_step, taps_v, begin, end, shift_v, channel, floor, rows) = args  # fmt: skip
        kind = vector_type(context, out)

        def data(array_type, array, at=None):
            return offset(
                builder, data_of(context, builder, array_type, array), number(0) if at is None else at
            )

        def entries(line, how_many):
            return [builder.load(offset(builder, line, number(v))) for v in range(how_many)]

        steps_data, taps_data, source_data = data(steps, steps_v), data(taps, taps_v), data(source, source_v)
        lowest = splat(builder, floor, kind)

        columns = [offset(builder, source_data, p) for p in entries(data(starts, starts_v, start), VECTORS)]
        # Rows that there are not read the last one's weights.
        row = [builder.select(builder.icmp_signed("<", number(r), rows), number(r), builder.sub(rows, number(1)))
               for r in range(ROWS)]  # fmt: skip
        lines = [offset(builder, data(weights, weights_v, first), builder.mul(r, weight_step)) for r in row]
        shifts = [
            splat(builder, builder.load(offset(builder, data(shift, shift_v, channel), r)), kind) for r in row
        ]

        places = entries(data(targets, targets_v, target), VECTORS)
        out_lines = [data(out, out_v, builder.add(at, builder.mul(r, row_step))) for r in row]

        def operands(k):
            tap, step = (builder.load(offset(builder, each, k)) for each in (taps_data, steps_data))
            loaded = [load_vector(builder, offset(builder, column, step), kind) for column in columns]
            return [offset(builder, line, tap) for line in lines], loaded

        sums = sum_products(builder, [each for each in shifts for _ in range(VECTORS)], operands, begin, end)
        masks = [Mask(builder, number(0), n, kind) for n in entries(data(counts, counts_v, count), VECTORS)]
        for r in range(ROWS):
            with builder.if_then(builder.icmp_signed("<", number(r), rows), likely=True):
                for v in range(VECTORS):
                    value = sums[r * VECTORS + v]
                    low = builder.fcmp_ordered("<=", value, lowest)
                    value = builder.select(low, lowest, value)
                    store_some(builder, value, offset(builder, out_lines[r], places[v]), masks[v])
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def column_dots(
    typing, out, to, out_step, source, starts, steps, step, slopes, at, slope_step, vectors, rows
):
    """out[to + i·out_step + j] += Σ_{v < vectors, l < lanes}
    source[starts[v] + steps[step + i] + l] · slopes[at + j·slope_step + v·lanes + l]

    for i under 2 and j under half the lanes; slopes from `rows` on are the last one's.
    """
    i = types.int64
    signature = types.void(out, i, i, source, starts, steps, i, slopes, i, i, i, i)

    def emit(context, builder, sig, args):
        out_v, to, out_step, source_v, starts_v, steps_v, step, slopes_v, at, slope_step, vectors, rows = args
        kind = vector_type(context, out)
        half, zero, fma = kind.count // 2, ir.Constant(kind, None), fused(builder, kind)

        def data(array_type, array, begin):
            return offset(builder, data_of(context, builder, array_type, array), begin)

        last = builder.sub(rows, number(1))
        terms = [
            data(source, source_v, builder.load(data(steps, steps_v, builder.add(step, number(n)))))
            for n in range(2)
        ]
        lines = []
        for j in range(half):
            row = builder.select(builder.icmp_signed("<", number(j), rows), number(j), last)
            lines.append(data(slopes, slopes_v, builder.add(at, builder.mul(row, slope_step))))
        sums = Carried(builder, [zero] * kind.count)
        with cgutils.for_range(builder, vectors, intp=to.type) as loop:
            start = builder.load(data(starts, starts_v, loop.index))
            place = builder.mul(loop.index, number(kind.count))
            values = [load_vector(builder, offset(builder, line, place), kind) for line in lines]
            held, after = sums.get(), []
            for n, term in enumerate(terms):
                value = load_vector(builder, offset(builder, term, start), kind)
                pairs = zip(values, held[n * half : (n + 1) * half], strict=True)
                after += [builder.call(fma, [value, one, total]) for one, total in pairs]
            sums.set(after)
        total = lane_sums(builder, sums.get())
        part = ir.VectorType(kind.element, half)
        for n in range(2):
            cell = data(out, out_v, builder.add(to, builder.mul(out_step, number(n))))
            value = shuffle(builder, total, total, list(range(n * half, (n + 1) * half)))
            store_vector(builder, builder.fadd(load_vector(builder, cell, part), value), cell)
        return context.get_dummy_value()

    return signature, emit
