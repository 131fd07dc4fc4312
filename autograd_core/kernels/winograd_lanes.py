"""The vector code of `winograd_tiles`: Winograd's transforms with the tiles of an image side by side in a register.

Down the columns a transform mixes lines of the image, and takes them as they lie. Along the lines it mixes neighbouring
pixels: a line of tiles is unzipped by four, so that each register holds the same pixel of as many tiles as it has
lanes. The outputs are zipped back and go straight into the lines of the result.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from autograd_core.kernels.stencil import keep, shuffle
from autograd_core.kernels.strip import Mask, alignment, inside, number
from autograd_core.kernels.vector import (
    data_of,
    fused,
    load_vector,
    masked,
    offset,
    splat,
    store_vector,
    vector_type,
)
from autograd_core.kernels.winograd_transform import (
    OUTPUTS,
    SIZE,
    apply_stages,
    column_stages,
    filter_matrix,
    input_matrix,
    output_matrix,
    row_stages,
)  # fmt: skip

_INPUT, _SLOPES = row_stages(input_matrix()), row_stages(filter_matrix(OUTPUTS))
_OUTPUT = column_stages(output_matrix(OUTPUTS))


def _unzip(builder, a, b):
    """Of the row (a, b) the elements at even places, and those at odd ones."""
    lanes = a.type.count
    return [shuffle(builder, a, b, list(range(first, 2 * lanes, 2))) for first in (0, 1)]


def _zip(builder, a, b):
    """Its inverse."""
    lanes = a.type.count
    order = [i // 2 + lanes * (i % 2) for i in range(2 * lanes)]
    return [shuffle(builder, a, b, order[:lanes]), shuffle(builder, a, b, order[lanes:])]


def phases_of(builder, row):
    """Of a row of four vectors the elements 4l, 4l + 1, 4l + 2 and 4l + 3."""
    (even, odd), (later_even, later_odd) = _unzip(builder, *row[:2]), _unzip(builder, *row[2:])
    first, third = _unzip(builder, even, later_even)
    second, fourth = _unzip(builder, odd, later_odd)
    return [first, second, third, fourth]


def row_of(builder, phases):
    """Its inverse."""
    even, odd = _zip(builder, *phases[::2]), _zip(builder, *phases[1::2])
    return [*_zip(builder, even[0], odd[0]), *_zip(builder, even[1], odd[1])]


def pointers(builder, first, step, count):
    """Pointers to `count` places, `step` apart."""
    return [offset(builder, first, builder.mul(step, number(i))) for i in range(count)]


def _down(stages):
    """An intrinsic: a tile row's lines, from `top` on, become SIZE lines of out, `step` apart, for a vector of columns.

    What lies outside the plane of high · wide is 0; lines there are read from out's first register, which is 0, too.
    """
    count = stages[0].shape[1]

    @intrinsic
    def down(typing, source, at, top, column, high, wide, out, to, step):
        def emit(context, builder, signature, args):
            source_v, at, top, column, high, wide, out_v, to, step = args
            kind = vector_type(context, source)
            data = offset(builder, data_of(context, builder, source, source_v), at)
            cells = pointers(builder, offset(builder, data_of(context, builder, out, out_v), to), step, SIZE)
            zeros, places = data_of(context, builder, out, out_v), []
            for i in range(count):
                line = builder.add(top, number(i))
                exists = inside(builder, line, builder.add(line, number(1)), number(0), high)
                place = offset(builder, data, builder.add(builder.mul(line, wide), column))
                places.append(builder.select(exists, place, zeros))

            def store(load):
                values = apply_stages(builder, stages, [load(place) for place in places])
                for value, cell in zip(values, cells, strict=True):
                    store_vector(builder, value, cell)

            whole = builder.icmp_signed("<=", builder.add(column, number(kind.count)), wide)
            with builder.if_else(whole, likely=True) as (within, edge):
                with within:
                    store(lambda place: load_vector(builder, place, kind))
                with edge:
                    mask = Mask(builder, column, wide, kind)
                    store(lambda place: _masked_load(builder, place, mask, kind))
            return context.get_dummy_value()

        i = types.int64
        return types.void(source, *[i] * 5, out, i, i), emit

    return down


def _masked_load(builder, pointer, mask, kind):
    """0 where the mask has no lane."""
    place = builder.bitcast(pointer, kind.as_pointer())
    rest = [alignment(kind), mask.bits(), ir.Constant(kind, None)]
    return masked(builder, "load", kind, kind, [place, *rest])


def _along(stages):
    """An intrinsic: of SIZE lines, `step` apart, each tile's pixels become its points, out[to + point·plane + lane].

    With tiles that overlap, ends[ends_at + lane] is all ones where there is a tile before in the same line, ends_step
    further where there is one behind; else what lies there is 0.
    """
    overlap = stages[0].shape[1] > OUTPUTS

    @intrinsic
    def along(typing, lines, at, step, ends, ends_at, ends_step, out, to, plane):
        def emit(context, builder, signature, args):
            lines_v, at, step, ends_v, ends_at, ends_step, out_v, to, plane = args
            kind = vector_type(context, lines)
            lanes = kind.count
            first = offset(builder, data_of(context, builder, lines, lines_v), at)
            target = offset(builder, data_of(context, builder, out, out_v), to)
            end = offset(builder, data_of(context, builder, ends, ends_v), ends_at)
            masks = [load_vector(builder, each, kind) for each in pointers(builder, end, ends_step, 2)]

            def neighbours(line, value, at, order, mask):
                """`value` moved by a lane, with the pixel at `at` in the free one, where the tile's line goes on."""
                pixel = splat(builder, builder.load(offset(builder, line, number(at))), kind)
                return keep(builder, mask, shuffle(builder, value, pixel, order))

            with cgutils.for_range(builder, number(SIZE), intp=plane.type) as loop:
                line = offset(builder, first, builder.mul(loop.index, step))
                places = [offset(builder, line, number(k * lanes)) for k in range(OUTPUTS)]
                pixels = phases_of(builder, [load_vector(builder, place, kind) for place in places])
                if overlap:
                    before = neighbours(line, pixels[-1], -1, [lanes, *range(lanes - 1)], masks[0])
                    behind = neighbours(line, pixels[0], OUTPUTS * lanes, list(range(1, lanes + 1)), masks[1])
                    pixels = [before, *pixels, behind]
                cell = offset(builder, target, builder.mul(builder.mul(loop.index, number(SIZE)), plane))
                values = apply_stages(builder, stages, pixels)
                for value, place in zip(values, pointers(builder, cell, plane, SIZE), strict=True):
                    store_vector(builder, value, place)
            return context.get_dummy_value()

        i = types.int64
        return types.void(lines, i, i, ends, i, i, out, i, i), emit

    return along


down_input, along_input = _down(_INPUT), _along(_INPUT)
down_slopes, along_slopes = _down(_SLOPES), _along(_SLOPES)


def _store_lines(builder, rows, place, column, lines, wide):
    """The first `lines` of the rows, each `wide` further, as far as the columns from `column` on are in 0 … wide."""
    kind = rows[0].type
    cells = pointers(builder, place, wide, OUTPUTS)
    whole = builder.and_(
        inside(builder, column, builder.add(column, number(kind.count)), number(0), wide),
        builder.icmp_signed("==", lines, number(OUTPUTS)),
    )
    with builder.if_else(whole, likely=True) as (within, edge):
        with within:
            for value, cell in zip(rows, cells, strict=True):
                store_vector(builder, value, cell)
        with edge:
            for i, (value, cell) in enumerate(zip(rows, cells, strict=True)):
                size = builder.select(builder.icmp_signed(">", lines, number(i)), wide, number(0))
                rest = [alignment(kind), Mask(builder, column, size, kind).bits()]
                pointer = builder.bitcast(cell, kind.as_pointer())
                masked(builder, "store", kind, ir.VoidType(), [value, pointer, *rest])


@intrinsic
def store_outputs(typing, sums, at, plane, out, to, past, wide, places, first, shift, rectified, doubt):
    """The outputs of a vector of tiles from its 36 sums, `plane` apart, into lines of `wide`; shift is added.

    `rectified`: then what is not above 0 becomes 0. For each half of four vectors of pixels `places` has, from `first`
    on, (how far its image begins from `to`, its place in the image, its column, its lines); images from `past` on do
    not exist. doubt, a vector, ends up as not 0 where an output is not finite.
    """

    def emit(context, builder, signature, args):
        sums_v, at, plane, out_v, to, past, wide, places_v, first, shift, rectified, doubt_v = args
        kind = vector_type(context, sums)
        target = offset(builder, data_of(context, builder, out, out_v), to)
        table = offset(builder, data_of(context, builder, places, places_v), first)
        data = offset(builder, data_of(context, builder, sums, sums_v), at)
        cells = pointers(builder, data, plane, SIZE**2)
        columns = [
            apply_stages(builder, _OUTPUT, [load_vector(builder, cell, kind) for cell in cells[j::SIZE]])
            for j in range(SIZE)
        ]
        outputs = [apply_stages(builder, _OUTPUT, [column[i] for column in columns]) for i in range(OUTPUTS)]
        add_doubt(
            builder, [value for line in outputs for value in line], data_of(context, builder, doubt, doubt_v)
        )
        finish = finisher(builder, kind, shift, rectified)
        rows = [row_of(builder, [finish(value) for value in line]) for line in outputs]
        for v in range(OUTPUTS):
            _store_pixels(builder, [row[v] for row in rows], target, table, 2 * v, past, wide)
        return context.get_dummy_value()

    i = types.int64
    return types.void(sums, i, i, out, *[i] * 3, places, i, sums.dtype, types.boolean, doubt), emit


def add_doubt(builder, values, place):
    """0 · Σ values is added to the vector there."""
    kind, total = values[0].type, values[0]
    for value in values[1:]:
        total = builder.fadd(total, value)
    held = load_vector(builder, place, kind)
    store_vector(builder, builder.call(fused(builder, kind), [total, ir.Constant(kind, None), held]), place)


def finisher(builder, kind, shift, rectified):
    """As vector.shift_lines."""
    shift = splat(builder, shift, kind)
    lowest = ir.Constant(kind, [float("-inf")] * kind.count)
    floor = builder.select(rectified, ir.Constant(kind, None), lowest)

    def finish(value):
        value = builder.fadd(value, shift)
        return builder.select(builder.fcmp_ordered("<=", value, floor), floor, value)

    return finish


def _store_pixels(builder, rows, target, table, entry, past, wide):
    """A vector of pixels of each of four lines: whole where its halves lie side by side, else these by themselves."""
    half = rows[0].type.count // 2
    halves = [
        [builder.load(offset(builder, table, number(4 * (entry + h) + k))) for k in range(4)] for h in (0, 1)
    ]

    def store(values, image, place, column, lines):
        there = builder.select(builder.icmp_signed("<", image, past), lines, number(0))
        at = offset(builder, target, builder.add(image, place))
        _store_lines(builder, values, at, column, there, wide)

    (image, place, _, _), (later_image, later_place, _, _) = halves
    together = builder.and_(
        builder.icmp_signed("==", later_image, image),
        builder.icmp_signed("==", later_place, builder.add(place, number(half))),
    )
    with builder.if_else(together, likely=True) as (side_by_side, apart):
        with side_by_side:
            store(rows, *halves[0])
        with apart:
            for h, where in enumerate(halves):
                order = list(range(h * half, (h + 1) * half))
                store([shuffle(builder, row, row, order) for row in rows], *where)
