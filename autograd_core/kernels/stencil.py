"""Sums over a window's neighbours with the lanes along its lines, as LLVM vector instructions.

A stencil is at most 3 × 3 taps of neighbouring columns: its weights stay in registers while it runs over many lines.
Larger kernels are sums of several. Lines lie one behind the other with nothing between them, so a whole image is one
loop; where a tap would reach over the end of a line into the next, a mask puts 0.
"""

from __future__ import annotations

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


def _number(value):
    return ir.Constant(_I64, value)


def _keep(builder, mask, value):
    """value where the mask's bits are set, else 0."""
    bits = ir.VectorType(
        ir.IntType(32 if isinstance(value.type.element, ir.FloatType) else 64), value.type.count
    )
    both = builder.and_(builder.bitcast(mask, bits), builder.bitcast(value, bits))
    return builder.bitcast(both, value.type)


def _columns(builder, pointer, vector, columns, every):
    """The vectors of the elements i·every + c, c under `columns`."""
    if every == 1:
        return [load_vector(builder, offset(builder, pointer, _number(c)), vector) for c in range(columns)]
    lanes, found = vector.count, []
    for c in range(0, columns, 2):
        low, high = (
            load_vector(builder, offset(builder, pointer, _number(c + v * lanes)), vector) for v in range(2)
        )
        for odd in range(min(2, columns - c)):
            order = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(odd, 2 * lanes, 2)))
            found.append(builder.shuffle_vector(low, high, order))
    return found


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


def _choose(builder, rows, columns, every, emit):
    """emit(rows, columns, every) for each size there is, of which one runs."""
    sizes = list(itertools.product(range(1, MOST + 1), range(1, MOST + 1), (1, 2)))
    blocks = [builder.append_basic_block("stencil") for _ in sizes]
    done = builder.append_basic_block("stencil.end")

    def code(r, c, e):
        return (r * 4 + c) * 4 + e

    which = builder.add(builder.mul(builder.add(builder.mul(rows, _number(4)), columns), _number(4)), every)
    choice = builder.switch(which, done)
    for size, block in zip(sizes, blocks, strict=True):
        choice.add_case(_number(code(*size)), block)
        builder.position_at_end(block)
        emit(*size)
        builder.branch(done)
    builder.position_at_end(done)


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
        fma = fused(builder, vector)
        scalars = offset(builder, data_of(context, builder, weights, weights_v), weight_at)
        cells = offset(builder, data_of(context, builder, out, out_v), to)

        def loops(rows, columns, every):
            factors = [
                splat(builder, builder.load(offset(builder, scalars, _number(k))), vector)
                for k in range(rows * columns)
            ]
            sources = _pointers(context, builder, source, source_v, at, steps, steps_v, first, rows)

            def body(line, i, column):
                here = builder.add(builder.mul(line, pitch), builder.mul(i, _number(every)))
                cell = offset(builder, cells, builder.add(builder.mul(line, out_pitch), i))
                parts = [ir.Constant(vector, None)] * columns
                for r in range(rows):
                    values = _columns(builder, offset(builder, sources[r], here), vector, columns, every)
                    for c, value in enumerate(values):
                        parts[c] = builder.call(fma, [factors[r * columns + c], value, parts[c]])
                kept = _masks(context, builder, masks, masks_v, mask_at, mask_pitch, column, vector, columns)
                first, *others = (_keep(builder, mask, part) for part, mask in zip(parts, kept, strict=True))
                total = builder.select(fresh, first, builder.fadd(load_vector(builder, cell, vector), first))
                for part in others:
                    total = builder.fadd(total, part)
                store_vector(builder, total, cell)

            _walk(builder, lines, count, vector.count, wrap, body)

        _choose(builder, of_rows, of_columns, of_every, loops)
        return context.get_dummy_value()

    i = types.int64
    return types.void(
        i, i, i, out, i, i, types.boolean, weights, i, source, i, i, steps, i, masks, i, i, i, i, i
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
                kept = [_keep(builder, mask, slope) for mask in masked]
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

        _choose(builder, of_rows, of_columns, of_every, loops)
        return context.get_dummy_value()

    i = types.int64
    return types.void(i, i, i, out, i, g, i, i, source, i, i, steps, i, masks, i, i, i, i, i), emit
