"""The vector code of `winograd_line`: one line's tiles side by side in registers, read and written where they lie."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from autograd_core.kernels.column_lines import load_some, store_some
from autograd_core.kernels.stencil import shuffle
from autograd_core.kernels.strip import Mask, inside, number
from autograd_core.kernels.vector import data_of, load_vector, offset, splat, store_vector, vector_type
from autograd_core.kernels.winograd_lanes import add_doubt, finisher, phases_of, pointers, row_of
from autograd_core.kernels.winograd_transform import (
    OUTPUTS,
    SIZE,
    TAPS,
    apply_stages,
    column_stages,
    filter_matrix,
    input_matrix,
    output_matrix,
    row_stages,
)  # fmt: skip

_FILTER, _INPUT = row_stages(filter_matrix(TAPS)), row_stages(input_matrix())
_OUTPUT = column_stages(output_matrix(OUTPUTS))


def _either(builder, whole, inner, edge):
    """The vectors of inner() where `whole` holds, else of edge()."""
    results = []
    with builder.if_else(whole, likely=True) as branches:
        for branch, emit in zip(branches, (inner, edge), strict=True):
            with branch:
                results.append((emit(), builder.block))
    merged = [builder.phi(value.type) for value in results[0][0]]
    for values, block in results:
        for phi, value in zip(merged, values, strict=True):
            phi.add_incoming(value, block)
    return merged


@intrinsic
def line_points(typing, source, at, column, size, out, to, plane):
    """out[to + point·plane + l]: the points of a vector of tiles, whose pixels begin at `column` of a line of `size`.

    The line begins at source[at]; what lies outside of it is 0.
    """
    more = SIZE - OUTPUTS  # pixels that a tile has in common with the one behind it

    def emit(context, builder, signature, args):
        source_v, at, column, size, out_v, to, plane = args
        kind = vector_type(context, source)
        lanes = kind.count
        first = offset(builder, data_of(context, builder, source, source_v), builder.add(at, column))
        ends = [number(k * lanes) for k in range(OUTPUTS + 1)]
        places, columns = [offset(builder, first, k) for k in ends], [builder.add(column, k) for k in ends]

        def whole():
            row = [load_vector(builder, place, kind) for place in places[:-1]]
            behind = [builder.load(offset(builder, places[-1], number(k))) for k in range(more)]
            return row + [splat(builder, pixel, kind) for pixel in behind]

        def edge():
            masks = [Mask(builder, each, size, kind) for each in columns]
            *row, behind = (load_some(builder, *each, kind) for each in zip(places, masks, strict=True))
            return row + [shuffle(builder, behind, behind, [k] * lanes) for k in range(more)]

        within = inside(builder, column, builder.add(columns[-1], number(more)), number(0), size)
        found = _either(builder, within, whole, edge)
        pixels = phases_of(builder, found[:OUTPUTS])
        for value, behind in zip(pixels[:more], found[OUTPUTS:], strict=True):
            pixels.append(shuffle(builder, value, behind, list(range(1, lanes + 1))))
        target = offset(builder, data_of(context, builder, out, out_v), to)
        values = apply_stages(builder, _INPUT, pixels)
        for value, cell in zip(values, pointers(builder, target, plane, SIZE), strict=True):
            store_vector(builder, value, cell)
        return context.get_dummy_value()

    i = types.int64
    return types.void(source, i, i, i, out, i, i), emit


@intrinsic
def line_outputs(typing, sums, at, plane, out, to, column, size, shift, rectified, doubt):
    """Outputs of a vector of tiles from their sums, `plane` apart, at `column` of a line of `size` from out[to] on.

    shift is added; `rectified`: then what is not above 0 becomes 0. doubt, a vector, ends up as not 0 where an output
    is not finite.
    """

    def emit(context, builder, signature, args):
        sums_v, at, plane, out_v, to, column, size, shift, rectified, doubt_v = args
        kind = vector_type(context, sums)
        data = offset(builder, data_of(context, builder, sums, sums_v), at)
        values = [load_vector(builder, cell, kind) for cell in pointers(builder, data, plane, SIZE)]
        row = row_of(builder, apply_stages(builder, _OUTPUT, values))
        first = offset(builder, data_of(context, builder, out, out_v), builder.add(to, column))
        places = [offset(builder, first, number(k * kind.count)) for k in range(OUTPUTS)]
        columns = [builder.add(column, number(k * kind.count)) for k in range(OUTPUTS + 1)]
        doubts, finish = data_of(context, builder, doubt, doubt_v), finisher(builder, kind, shift, rectified)
        with builder.if_else(builder.icmp_signed("<=", columns[-1], size), likely=True) as (whole, edge):
            with whole:
                add_doubt(builder, row, doubts)
                for value, place in zip(row, places, strict=True):
                    store_vector(builder, finish(value), place)
            with edge:
                masks = [Mask(builder, each, size, kind) for each in columns[:-1]]
                zero = ir.Constant(kind, None)  # beyond the line's end there may be anything
                there = [
                    builder.select(mask.bits(), value, zero) for value, mask in zip(row, masks, strict=True)
                ]
                add_doubt(builder, there, doubts)
                for value, place, mask in zip(there, places, masks, strict=True):
                    store_some(builder, finish(value), place, mask)
        return context.get_dummy_value()

    i = types.int64
    return types.void(sums, i, i, out, i, i, i, sums.dtype, types.boolean, doubt), emit


@intrinsic
def line_filter(typing, taps, at, step, out, to, plane):
    """out[to + point·plane + l]: the points of a vector of filters, whose taps are vectors from taps[at] on."""

    def emit(context, builder, signature, args):
        taps_v, at, step, out_v, to, plane = args
        kind = vector_type(context, taps)
        first = offset(builder, data_of(context, builder, taps, taps_v), at)
        target = offset(builder, data_of(context, builder, out, out_v), to)
        values = [load_vector(builder, place, kind) for place in pointers(builder, first, step, TAPS)]
        values = apply_stages(builder, _FILTER, values)
        for value, cell in zip(values, pointers(builder, target, plane, SIZE), strict=True):
            store_vector(builder, value, cell)
        return context.get_dummy_value()

    i = types.int64
    return types.void(taps, i, i, out, i, i), emit
