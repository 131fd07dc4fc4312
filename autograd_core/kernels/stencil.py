"""Sums over a window's neighbours with the lanes along its lines, as LLVM vector instructions.

A stencil is at most 3 × 3 taps of neighbouring columns: its weights stay in registers while it runs over many lines.
Larger kernels are sums of several. Lines lie one behind the other with nothing between them, so a whole image is one
loop; where a tap would reach over the end of a line into the next, a mask puts 0.
"""

from __future__ import annotations

import functools
import itertools

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from autograd_core.kernels.vector import (
    data_of,
    fused,
    load_vector,
    offset,
    splat,
    store_vector,
    vector_type,
)

MOST = 3  # rows, and columns, of one stencil
_I64 = ir.IntType(64)
_SIZES = list(itertools.product(range(1, MOST + 1), range(1, MOST + 1), (1, 2)))  # rows, columns, every
# Rows, and the columns of both residues of a stride of 2: every second tap of a line.
_PAIRS = [(r, a, b) for r, a, b in itertools.product(range(1, MOST + 1), repeat=3) if abs(a - b) <= 1]


def _number(value):
    return ir.Constant(_I64, value)


def keep(builder, mask, value):
    """value where the mask's bits are set, else 0."""
    bits = ir.VectorType(
        ir.IntType(32 if isinstance(value.type.element, ir.FloatType) else 64), value.type.count
    )
    both = builder.and_(builder.bitcast(mask, bits), builder.bitcast(value, bits))
    return builder.bitcast(both, value.type)


def _columns(builder, pointer, vector, columns, every):
    """The vectors of the elements i·every + c, c under `columns`; every second ones are still to be crossed."""
    if every == 1:
        return [load_vector(builder, offset(builder, pointer, _number(c)), vector) for c in range(columns)]
    lanes, found = vector.count, []
    for c in range(0, columns, 2):
        low, high = (
            load_vector(builder, offset(builder, pointer, _number(c + v * lanes)), vector) for v in range(2)
        )
        for odd in range(min(2, columns - c)):
            found.append(shuffle(builder, low, high, seconds(vector, odd)))
    return found


def shuffle(builder, low, high, order):
    return builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))


def seconds(vector, odd):
    """The order that takes every second element of two vectors, 128 bits of one and of the other by turns.

    To cross these is the dear part of a shuffle: `crossed` does it once, for the sum of many taps.
    """
    lanes, part = vector.count, 4 if isinstance(vector.element, ir.FloatType) else 2
    starts = [v * lanes + at + odd for at in range(0, lanes, part) for v in range(2)]
    return [start + k for start in starts for k in range(0, part, 2)]


def crossed(builder, value, every, back=False):
    """The vector in its elements' order, which `_columns` may have changed; `back`: so changed itself."""
    if every == 1:
        return value
    order = [place // 2 for place in seconds(value.type, 0)]
    return shuffle(builder, value, value, order if back else [order.index(k) for k in range(len(order))])


def _pointers(context, builder, array_type, array, at, lines_type, lines, first, rows):
    """Where each row of taps begins."""
    data = offset(builder, data_of(context, builder, array_type, array), at)
    table = offset(builder, data_of(context, builder, lines_type, lines), first)
    return [offset(builder, data, builder.load(offset(builder, table, _number(r)))) for r in range(rows)]


def _walk(builder, lines, count, lanes, wrap, body):
    """body(line, i, column) for i = 0, lanes, … under count; the column is i modulo `wrap`."""
    column = cgutils.alloca_once(builder, _I64)
    with cgutils.for_range(builder, lines, intp=_I64) as line:
        builder.store(_number(0), column)
        step = _number(lanes)
        with cgutils.for_range_slice(builder, _number(0), count, step, _I64) as (i, _):
            here = builder.load(column)
            body(line.index, i, here)
            there = builder.add(here, step)
            over = builder.icmp_signed(">=", there, wrap)
            builder.store(builder.select(over, builder.sub(there, wrap), there), column)


def _choose(builder, numbers, sizes, emit):
    """emit(*size) for each of the sizes, of which the one that the numbers are runs."""
    done = builder.append_basic_block("stencil.end")
    which = numbers[0]
    for number in numbers[1:]:
        which = builder.add(builder.mul(which, _number(MOST + 1)), number)
    choice = builder.switch(which, done)
    for size in sizes:
        block = builder.append_basic_block("stencil")
        choice.add_case(_number(functools.reduce(lambda code, n: code * (MOST + 1) + n, size)), block)
        builder.position_at_end(block)
        emit(*size)
        builder.branch(done)
    builder.position_at_end(done)


def _factors(context, builder, array_type, array, at, count, vector):
    """The weights from `at` on, each in all lanes of a vector."""
    data = offset(builder, data_of(context, builder, array_type, array), at)
    return [splat(builder, builder.load(offset(builder, data, _number(k))), vector) for k in range(count)]


def _parts(builder, factors, sources, masks, every):
    """Each column's sum over the rows, 0 where its mask is not set."""
    columns, vector = len(masks), factors[0].type
    fma = fused(builder, vector)
    parts = [ir.Constant(vector, None)] * columns
    for r, source in enumerate(sources):
        for c, value in enumerate(_columns(builder, source, vector, columns, every)):
            parts[c] = builder.call(fma, [factors[r * columns + c], value, parts[c]])
    whole = [crossed(builder, part, every) for part in parts]
    return [keep(builder, mask, part) for mask, part in zip(masks, whole, strict=True)]


def _masks(context, builder, masks_type, masks, at, pitch, column, vector, columns):
    """The masks of neighbouring columns' taps."""
    data = offset(builder, data_of(context, builder, masks_type, masks), builder.add(at, column))
    return [
        load_vector(builder, offset(builder, data, builder.mul(pitch, _number(c))), vector)
        for c in range(columns)
    ]


@intrinsic
def stencil(
    typing, rows, columns, every, out, to, out_pitch, fresh, weights, weight_at, source, at, pitch, steps, first,
    masks, mask_at, mask_pitch, wrap, lines, count,
):  # fmt: skip
    """out[to + l·out_pitch + i] (+)= Σ_r Σ_c weights[weight_at + r·columns + c] · source[…]

    The source element is at + steps[first + r] + l·pitch + i·every + c, for l under `lines` and i under `count`, which
    is rounded up to whole vectors; it counts where masks[mask_at + c·mask_pitch + i modulo wrap] has its bits set.
    rows and columns are 1 to MOST, every 1 or 2. The sum starts at 0 when `fresh`, else at what `out` holds. Nothing
    is checked.
    """

    def emit(context, builder, signature, args):
        (of_rows, of_columns, of_every, out_v, to, out_pitch, fresh, weights_v, weight_at, source_v, at, pitch,
         steps_v, first, masks_v, mask_at, mask_pitch, wrap, lines, count) = args  # fmt: skip
        vector = vector_type(context, out)
        cells = offset(builder, data_of(context, builder, out, out_v), to)

        def loops(rows, columns, every):
            factors = _factors(context, builder, weights, weights_v, weight_at, rows * columns, vector)
            sources = _pointers(context, builder, source, source_v, at, steps, steps_v, first, rows)

            def body(line, i, column):
                here = builder.add(builder.mul(line, pitch), builder.mul(i, _number(every)))
                cell = offset(builder, cells, builder.add(builder.mul(line, out_pitch), i))
                kept = _masks(context, builder, masks, masks_v, mask_at, mask_pitch, column, vector, columns)
                places = [offset(builder, source, here) for source in sources]
                one, *others = _parts(builder, factors, places, kept, every)
                total = builder.select(fresh, one, builder.fadd(load_vector(builder, cell, vector), one))
                for part in others:
                    total = builder.fadd(total, part)
                store_vector(builder, total, cell)

            _walk(builder, lines, count, vector.count, wrap, body)

        _choose(builder, (of_rows, of_columns, of_every), _SIZES, loops)
        return context.get_dummy_value()

    i = types.int64
    return types.void(
        i, i, i, out, i, i, types.boolean, weights, i, source, i, i, steps, i, masks, i, i, i, i, i
    ), emit


@intrinsic
def stencil_pairs(
    typing, rows, evens, odds, out, to, out_pitch, weights, weight_even, weight_odd, source, at_even, at_odd, pitch,
    steps, first, masks, mask_even, mask_odd, mask_pitch, lines, count,
):  # fmt: skip
    """Two stencils of the same rows put between each other: out[to + l·out_pitch + 2·i] and the element behind it.

    `evens` and `odds` are their columns, elements as in `stencil`. A line's last vector begins early enough to end
    where the line does: count must be a vector's at least.
    """

    def emit(context, builder, signature, args):
        (of_rows, of_evens, of_odds, out_v, to, out_pitch, weights_v, weight_even, weight_odd, source_v, at_even,
         at_odd, pitch, steps_v, first, masks_v, mask_even, mask_odd, mask_pitch, lines, count) = args  # fmt: skip
        vector = vector_type(context, out)
        cells = offset(builder, data_of(context, builder, out, out_v), to)
        lanes = vector.count
        last = builder.sub(count, _number(lanes))

        def loops(rows, evens, odds):
            residues = []
            for columns, weight, at, mask in (
                (evens, weight_even, at_even, mask_even), (odds, weight_odd, at_odd, mask_odd),
            ):  # fmt: skip
                factors = _factors(context, builder, weights, weights_v, weight, rows * columns, vector)
                starts = _pointers(context, builder, source, source_v, at, steps, steps_v, first, rows)
                residues.append((columns, factors, starts, mask))

            def body(line, i):
                here, sums = builder.add(builder.mul(line, pitch), i), []
                for columns, factors, starts, mask in residues:
                    kept = _masks(context, builder, masks, masks_v, mask, mask_pitch, i, vector, columns)
                    places = [offset(builder, start, here) for start in starts]
                    sums.append(functools.reduce(builder.fadd, _parts(builder, factors, places, kept, 1)))
                cell = builder.add(builder.mul(line, out_pitch), builder.mul(i, _number(2)))
                order = [k // 2 + lanes * (k % 2) for k in range(2 * lanes)]
                for half in (0, lanes):
                    place = offset(builder, cells, builder.add(cell, _number(half)))
                    store_vector(builder, shuffle(builder, *sums, order[half : half + lanes]), place)

            with (
                cgutils.for_range(builder, lines, intp=_I64) as line,
                cgutils.for_range_slice(builder, _number(0), count, _number(lanes), _I64) as (i, _),
            ):
                body(line.index, builder.select(builder.icmp_signed("<", i, last), i, last))

        _choose(builder, (of_rows, of_evens, of_odds), _PAIRS, loops)
        return context.get_dummy_value()

    i = types.int64
    return types.void(
        i, i, i, out, i, i, weights, i, i, source, i, i, i, steps, i, masks, i, i, i, i, i
    ), emit


@intrinsic
def stencil_dots(
    typing, rows, columns, every, out, to, g, g_at, g_pitch, source, at, pitch, steps, first, masks, mask_at,
    mask_pitch, wrap, lines, count,
):  # fmt: skip
    """`stencil`'s transpose: out[to + r·columns + c] += Σ_l Σ_i g[g_at + l·g_pitch + i] · source[…], elements as there.

    A sum is a vector of out, whose lanes are left to be added.
    """

    def emit(context, builder, signature, args):
        (of_rows, of_columns, of_every, out_v, to, g_v, g_at, g_pitch, source_v, at, pitch, steps_v, first, masks_v,
         mask_at, mask_pitch, wrap, lines, count) = args  # fmt: skip
        vector = vector_type(context, g)
        fma = fused(builder, vector)
        slopes = offset(builder, data_of(context, builder, g, g_v), g_at)
        cells = offset(builder, data_of(context, builder, out, out_v), to)
        cache = [cgutils.alloca_once(builder, vector) for _ in range(MOST * MOST)]

        def loops(rows, columns, every):
            sums = cache[: rows * columns]
            for each in sums:
                builder.store(ir.Constant(vector, None), each)
            sources = _pointers(context, builder, source, source_v, at, steps, steps_v, first, rows)

            def body(line, i, column):
                here = builder.add(builder.mul(line, pitch), builder.mul(i, _number(every)))
                g_here = builder.add(builder.mul(line, g_pitch), i)
                slope = load_vector(builder, offset(builder, slopes, g_here), vector)
                masked = _masks(
                    context, builder, masks, masks_v, mask_at, mask_pitch, column, vector, columns
                )
                kept = [crossed(builder, keep(builder, mask, slope), every, back=True) for mask in masked]
                for r in range(rows):
                    values = _columns(builder, offset(builder, sources[r], here), vector, columns, every)
                    for c, value in enumerate(values):
                        each = sums[r * columns + c]
                        builder.store(builder.call(fma, [kept[c], value, builder.load(each)]), each)

            _walk(builder, lines, count, vector.count, wrap, body)
            for k, each in enumerate(sums):
                cell = offset(builder, cells, _number(k * vector.count))
                store_vector(
                    builder, builder.fadd(load_vector(builder, cell, vector), builder.load(each)), cell
                )

        _choose(builder, (of_rows, of_columns, of_every), _SIZES, loops)
        return context.get_dummy_value()

    i = types.int64
    return types.void(i, i, i, out, i, g, i, i, source, i, i, steps, i, masks, i, i, i, i, i), emit
