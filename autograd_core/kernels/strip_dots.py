"""The weight-gradients of the filters in `strip_sums`: nine sums over a plane, in registers for the length of a strip.

A sum is a vector whose lanes are added at the very end, by `sum_lanes`.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from autograd_core.kernels.stencil import crossed, shuffle
from autograd_core.kernels.strip import I64, TAPS, Carried, Reader, by_width, inside, number
from autograd_core.kernels.strip_sums import every_second, seconds_inside
from autograd_core.kernels.vector import data_of, fused, load_vector, offset, store_vector, vector_type


class _Sums:
    """Three rows of three sums in registers, read from memory and written back; half registers fill half the cells."""

    def __init__(self, builder, data, full, vector):
        self.builder, self.fma = builder, fused(builder, vector)
        self.places = [offset(builder, data, number(k * full.count)) for k in range(TAPS)]
        self.sums = Carried(builder, [load_vector(builder, place, vector) for place in self.places])

    def add(self, rows):
        """To each row of sums the products of a row's vector of g and three of the source; None: nothing."""
        sums = self.sums.get()
        for r, row in enumerate(rows):
            for c, value in enumerate(row[1] if row else ()):
                sums[3 * r + c] = self.builder.call(self.fma, [row[0], value, sums[3 * r + c]])
        self.sums.set(sums)

    def write(self):
        for place, value in zip(self.places, self.sums.get(), strict=True):
            store_vector(self.builder, value, place)


@intrinsic
def strip_dots(typing, out, to, g, g_at, source, at, high, wide, column, first, past, narrow):
    """`strip_sums`' transpose: out[to + 3·r + c] += Σ g[g_at + y·wide + x] · source[at + (y + r − 1)·wide + x + c − 1]

    for source rows y + r − 1 from `first` to `past` and a strip of x from `column` on. An element of out is a vector.
    """

    def emit(context, builder, signature, args):
        out_v, to, g_v, g_at, source_v, at, high, wide, column, first, past, narrow = args
        data = offset(builder, data_of(context, builder, source, source_v), at)
        slopes = offset(builder, data_of(context, builder, g, g_v), g_at)
        cells = offset(builder, data_of(context, builder, out, out_v), to)
        one, full = number(1), vector_type(context, g)
        before, behind = builder.sub(column, one), builder.add(column, one)

        def walk(vector, whole):
            read = Reader(builder, data, wide, [column, before, behind], vector, whole)
            slope = Reader(builder, slopes, wide, [column], vector, whole)
            sums = _Sums(builder, cells, full, vector)

            def row(y):
                here, left, right = read(y)
                return left, here, right

            above = builder.icmp_signed(">", first, number(0))
            (earlier,) = slope(builder.select(above, builder.sub(first, one), first))
            earlier = builder.select(above, earlier, ir.Constant(vector, None))
            slope_rows = Carried(builder, [earlier, *slope(first)])
            bottom = builder.icmp_signed("==", past, high)
            until = builder.select(bottom, builder.sub(past, one), past)
            with cgutils.for_range_slice(builder, first, until, one, I64) as (y, _):
                (earlier, here), (later,) = slope_rows.get(), slope(builder.add(y, one))
                values = row(y)
                sums.add([(later, values), (here, values), (earlier, values)])
                slope_rows.set([here, later])
            with builder.if_then(bottom):
                earlier, here = slope_rows.get()
                values = row(until)
                sums.add([None, (here, values), (earlier, values)])
            sums.write()

        whole = inside(builder, before, builder.add(behind, number(full.count)), number(0), wide)
        by_width(builder, full, narrow, whole, walk)
        return context.get_dummy_value()

    i = types.int64
    return types.void(out, i, g, i, source, i, i, i, i, i, i, types.boolean), emit


@intrinsic
def strip_dots_seconds(
    typing, out, to, g, g_at, g_high, g_wide, source, at, high, wide, column, first, past, narrow
):  # fmt: skip
    """The same for `strip_sums_seconds`: g[y, x] meets source[2·y + r − 1, 2·x + c − 1], for rows 2·y and 2·y + 1."""

    def emit(context, builder, signature, args):
        out_v, to, g_v, g_at, g_high, g_wide, source_v, at, high, wide, column, first, past, narrow = args
        data = offset(builder, data_of(context, builder, source, source_v), at)
        slopes = offset(builder, data_of(context, builder, g, g_v), g_at)
        cells = offset(builder, data_of(context, builder, out, out_v), to)
        one, two, full = number(1), number(2), vector_type(context, g)

        def walk(vector, whole):
            row = every_second(builder, data, wide, column, vector, whole)
            read = Reader(builder, slopes, g_wide, [column], vector, whole)
            sums = _Sums(builder, cells, full, vector)

            def slope(y):
                return [crossed(builder, value, 2, back=True) for value in read(y)]

            slope_row = Carried(builder, slope(first))
            bottom = builder.icmp_signed("==", past, g_high)
            until = builder.select(bottom, builder.sub(past, one), past)
            with cgutils.for_range_slice(builder, first, until, one, I64) as (y, _):
                (here,), (later,) = slope_row.get(), slope(builder.add(y, one))
                even = builder.mul(y, two)
                sums.add([None, (here, row(even)), None])
                odd = row(builder.add(even, one))
                sums.add([(later, odd), None, (here, odd)])
                slope_row.set([later])
            with builder.if_then(bottom):
                (here,) = slope_row.get()
                even = builder.mul(until, two)
                sums.add([None, (here, row(even)), None])
                with builder.if_then(builder.icmp_signed("<", builder.add(even, one), high)):
                    sums.add([None, None, (here, row(builder.add(even, one)))])
            sums.write()

        whole = builder.and_(
            seconds_inside(builder, column, full.count, wide),
            builder.icmp_signed("<=", builder.add(column, number(full.count)), g_wide),
        )
        by_width(builder, full, narrow, whole, walk)
        return context.get_dummy_value()

    i = types.int64
    return types.void(out, i, g, i, i, i, source, i, i, i, i, i, i, types.boolean), emit


@intrinsic
def sum_lanes(typing, out, to, vectors, at, count):
    """out[to + k] = the sum of the lanes of vector k of `vectors` from `at` on, for k under `count`."""

    def emit(context, builder, signature, args):
        out_v, to, vectors_v, at, count = args
        vector = vector_type(context, vectors)
        data = offset(builder, data_of(context, builder, vectors, vectors_v), at)
        cells = offset(builder, data_of(context, builder, out, out_v), to)
        with cgutils.for_range(builder, count, intp=I64) as loop:
            place = offset(builder, data, builder.mul(loop.index, number(vector.count)))
            value = load_vector(builder, place, vector)
            while (half := value.type.count // 2) > 0:
                low, high = (
                    shuffle(builder, value, value, list(range(first, first + half))) for first in (0, half)
                )
                value = builder.fadd(low, high)
            total = builder.extract_element(value, ir.Constant(ir.IntType(32), 0))
            builder.store(total, offset(builder, cells, loop.index))
        return context.get_dummy_value()

    i = types.int64
    return types.void(out, i, vectors, i, i), emit
