"""3 × 3 filters with padding 1 over single planes, by strips: at stride 1, at stride 2, and the latter's transpose.

These are depthwise convolution's forward pass and its input-gradient, which at stride 1 is a filter itself. The sums
of output rows that are not complete yet are carried from one row of the source to the next.
"""

from __future__ import annotations

from numba.core import cgutils, types
from numba.extending import intrinsic

from autograd_core.kernels.stencil import crossed, seconds, shuffle
from autograd_core.kernels.strip import (
    I64,
    Carried,
    Reader,
    Writer,
    by_width,
    inside,
    number,
    products,
    products_before,
    weights_of,
)
from autograd_core.kernels.vector import data_of, offset, vector_type


@intrinsic
def strip_sums(
    typing, out, to, end, weights, weight_at, turned, source, at, high, wide, column, first, past, narrow
):
    """out[to + y·wide + x] = Σ weights[weight_at + 3·r + c] · source[at + (y + r − 1)·wide + x + c − 1]

    for y from `first` to `past` and a strip of x from `column` on. Source and output have planes of high × wide. What
    lies before out[end] and behind the strip may be written, too. Nothing is checked.
    """

    def emit(context, builder, signature, args):
        (
            out_v,
            to,
            end,
            weights_v,
            weight_at,
            turned,
            source_v,
            at,
            high,
            wide,
            column,
            first,
            past,
            narrow,
        ) = args
        data = offset(builder, data_of(context, builder, source, source_v), at)
        cells = offset(builder, data_of(context, builder, out, out_v), to)
        one, end, full = number(1), builder.sub(end, to), vector_type(context, out)
        before, behind = builder.sub(column, one), builder.add(column, one)

        def walk(vector, whole):
            above, middle, below = weights_of(context, builder, weights, weights_v, weight_at, vector, turned)
            read = Reader(builder, data, wide, [column, before, behind], vector, whole)
            write = Writer(builder, cells, wide, column, vector, end)

            def row(y):
                here, left, right = read(y)
                return left, here, right

            begun = products_before(builder, above, row, first, builder.sub(first, one))
            values = row(first)
            # The sums of the row before, which lack the row that comes, and of the row itself.
            sums = Carried(
                builder, [products(builder, middle, values, begun), products(builder, above, values)]
            )
            bottom = builder.icmp_signed("==", past, high)
            until = builder.select(bottom, high, builder.add(past, one))
            with cgutils.for_range_slice(builder, builder.add(first, one), until, one, I64) as (y, _):
                (done, begun), values = sums.get(), row(y)
                write(builder.sub(y, one), products(builder, below, values, done))
                sums.set([products(builder, middle, values, begun), products(builder, above, values)])
            with builder.if_then(bottom):
                write(builder.sub(high, one), sums.get()[0])

        whole = inside(builder, before, builder.add(behind, number(full.count)), number(0), wide)
        by_width(builder, full, narrow, whole, walk)
        return context.get_dummy_value()

    i, yes = types.int64, types.boolean
    return types.void(out, i, i, weights, i, yes, source, i, i, i, i, i, i, yes), emit


def every_second(builder, data, wide, column, vector, whole):
    """A reader of the columns 2·i − 1, 2·i and 2·i + 1 for a strip of i from `column` on, in the order of `seconds`."""
    first = builder.sub(builder.mul(column, number(2)), number(1))
    columns = [builder.add(first, number(k)) for k in (0, vector.count, 2, vector.count + 2)]
    read = Reader(builder, data, wide, columns, vector, whole, asked=2)
    even, odd = seconds(vector, 0), seconds(vector, 1)

    def row(y):
        low, high, low_2, high_2 = read(y)
        return [
            shuffle(builder, low, high, even), shuffle(builder, low, high, odd), shuffle(builder, low_2, high_2, even)
        ]  # fmt: skip

    return row


def seconds_inside(builder, column, lanes, wide):
    """Whether all that `every_second` reads lies inside."""
    first = builder.sub(builder.mul(column, number(2)), number(1))
    return inside(builder, first, builder.add(first, number(2 * lanes + 2)), number(0), wide)


@intrinsic
def strip_sums_seconds(
    typing, out, to, end, out_wide, weights, weight_at, source, at, high, wide, column, first, past, narrow
):  # fmt: skip
    """out[to + y·out_wide + x] = Σ weights[weight_at + 3·r + c] · source[at + (2·y + r − 1)·wide + 2·x + c − 1].

    The rest is as in `strip_sums`.
    """

    def emit(context, builder, signature, args):
        (out_v, to, end, out_wide, weights_v, weight_at, source_v, at, high, wide, column, first, past,
         narrow) = args  # fmt: skip
        data = offset(builder, data_of(context, builder, source, source_v), at)
        cells = offset(builder, data_of(context, builder, out, out_v), to)
        one, two, end, full = number(1), number(2), builder.sub(end, to), vector_type(context, out)

        def walk(vector, whole):
            above, middle, below = weights_of(context, builder, weights, weights_v, weight_at, vector)
            row = every_second(builder, data, wide, column, vector, whole)
            write = Writer(builder, cells, out_wide, column, vector, end)
            begun = products_before(builder, above, row, first, builder.sub(builder.mul(first, two), one))
            sums = Carried(builder, [begun])
            # An odd row of the source is the last one of a row of sums and the first one of the next.
            pairs = builder.sdiv(high, two)
            until = builder.select(builder.icmp_signed("<", pairs, past), pairs, past)
            with cgutils.for_range_slice(builder, first, until, one, I64) as (y, _):
                even = builder.mul(y, two)
                total = products(builder, middle, row(even), sums.get()[0])
                values = row(builder.add(even, one))
                write(y, crossed(builder, products(builder, below, values, total), 2))
                sums.set([products(builder, above, values)])
            with builder.if_then(builder.icmp_signed("<", until, past)):
                total = products(builder, middle, row(builder.sub(high, one)), sums.get()[0])
                write(until, crossed(builder, total, 2))

        by_width(builder, full, narrow, seconds_inside(builder, column, full.count, wide), walk)
        return context.get_dummy_value()

    i = types.int64
    return types.void(out, i, i, i, weights, i, source, i, i, i, i, i, i, types.boolean), emit


@intrinsic
def strip_spread(
    typing, out, to, end, high, wide, weights, weight_at, g, at, g_high, g_wide, column, first, past, narrow
):  # fmt: skip
    """The transpose of `strip_sums_seconds`: out[to + (2·y + r − 1)·wide + 2·x + c − 1] gets weights · g[y, x].

    Each row y of g gives two rows of out, 2·y and 2·y + 1, and each of its elements two, put between each other.
    """

    def emit(context, builder, signature, args):
        (out_v, to, end, high, wide, weights_v, weight_at, g_v, at, g_high, g_wide, column, first, past,
         narrow) = args  # fmt: skip
        data = offset(builder, data_of(context, builder, g, g_v), at)
        cells = offset(builder, data_of(context, builder, out, out_v), to)
        one, two, end, full = number(1), number(2), builder.sub(end, to), vector_type(context, out)
        behind = builder.add(column, one)

        def walk(vector, whole):
            above, middle, below = weights_of(context, builder, weights, weights_v, weight_at, vector)
            read = Reader(builder, data, g_wide, [column, behind], vector, whole)
            lanes, left = vector.count, builder.mul(column, two)
            halves = [left, builder.add(left, number(lanes))]
            writers = [Writer(builder, cells, wide, half, vector, end) for half in halves]
            order = [k // 2 + lanes * (k % 2) for k in range(2 * lanes)]

            def write(y, parts):
                """Row y from the (weights, row of g) that it is the sum of."""
                even = odd = None
                for (left, here, right), (value, following) in parts:
                    even = products(builder, [here], [value], even)
                    odd = products(builder, [right, left], [value, following], odd)
                for half, writer in enumerate(writers):
                    writer(y, shuffle(builder, even, odd, order[half * lanes :][:lanes]))

            rows = Carried(builder, read(first))
            bottom = builder.icmp_signed("==", past, g_high)
            until = builder.select(bottom, builder.sub(past, one), past)
            with cgutils.for_range_slice(builder, first, until, one, I64) as (y, _):
                here, following = rows.get(), read(builder.add(y, one))
                even = builder.mul(y, two)
                write(even, [(middle, here)])
                write(builder.add(even, one), [(below, here), (above, following)])
                rows.set(following)
            with builder.if_then(bottom):
                even = builder.mul(until, two)
                write(even, [(middle, rows.get())])
                with builder.if_then(builder.icmp_signed("<", builder.add(even, one), high)):
                    write(builder.add(even, one), [(below, rows.get())])

        whole = inside(builder, column, builder.add(behind, number(full.count)), number(0), g_wide)
        by_width(builder, full, narrow, whole, walk)
        return context.get_dummy_value()

    i = types.int64
    return types.void(out, i, i, i, i, weights, i, g, i, i, i, i, i, i, types.boolean), emit
