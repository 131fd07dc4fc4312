"""Lines copied, unzipped by columns and zipped again: what `conv_columns` reads and writes.

In whole vectors, masked where a line ends.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from autograd_core.kernels.stencil import shuffle
from autograd_core.kernels.strip import Mask, alignment, number
from autograd_core.kernels.vector import data_of, load_vector, masked, offset, store_vector, vector_type


def load_some(builder, pointer, mask, kind):
    """0 where the mask has no lane."""
    rest = [alignment(kind), mask.bits(), ir.Constant(kind, None)]
    return masked(builder, "load", kind, kind, [builder.bitcast(pointer, kind.as_pointer()), *rest])


def store_some(builder, value, pointer, mask):
    """Those lanes that the mask has."""
    kind = value.type
    rest = [builder.bitcast(pointer, kind.as_pointer()), alignment(kind), mask.bits()]
    masked(builder, "store", kind, ir.VoidType(), [value, *rest])


class _Reach:
    """A vector of a line, or what is left of one at its end: columns from `first` on that are under `count`."""

    def __init__(self, builder, kind, first=None, count=None):
        self.builder, self.kind = builder, kind
        self.mask = None if first is None else Mask(builder, first, count, kind)

    def load(self, pointer):
        if self.mask is None:
            return load_vector(self.builder, pointer, self.kind)
        return load_some(self.builder, pointer, self.mask, self.kind)

    def store(self, value, pointer):
        if self.mask is None:
            store_vector(self.builder, value, pointer)
        else:
            store_some(self.builder, value, pointer, self.mask)


def _each_line(builder, lines, count, step, whole, rest):
    """whole(line, column) for every step-th column with `step` under `count`, rest(line, column) for what is left."""
    past = builder.sub(count, builder.urem(count, number(step)))
    some = builder.icmp_signed("<", past, count)
    with cgutils.for_range(builder, lines, intp=count.type) as loop:
        with cgutils.for_range_slice(builder, number(0), past, number(step), intp=count.type) as (column, _):
            whole(loop.index, column)
        with builder.if_then(some):
            rest(loop.index, past)


@intrinsic
def copy_lines(typing, out, to, out_step, source, at, source_step, lines, count):
    """out[to + l·out_step + i] = source[at + l·source_step + i] for l under `lines` and i under `count`."""
    i = types.int64
    signature = types.void(out, i, i, source, i, i, i, i)

    def emit(context, builder, sig, args):
        out_v, to, out_step, source_v, at, source_step, lines, count = args
        kind = vector_type(context, out)
        target = offset(builder, data_of(context, builder, out, out_v), to)
        begin = offset(builder, data_of(context, builder, source, source_v), at)
        left = _Reach(builder, kind, number(0), builder.urem(count, number(kind.count)))

        def copy(reach):
            def emit_copy(line, column):
                place = builder.add(builder.mul(line, source_step), column)
                cell = builder.add(builder.mul(line, out_step), column)
                reach.store(reach.load(offset(builder, begin, place)), offset(builder, target, cell))

            return emit_copy

        _each_line(builder, lines, count, kind.count, copy(_Reach(builder, kind)), copy(left))
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def unzip_lines(typing, out, even, odd, out_step, source, at, source_step, lines, count):
    """out[even + l·out_step + i] = source[at + l·source_step + 2i] for l under `lines` and 2i under `count`; the same
    with `odd` and 2i + 1.
    """
    i = types.int64
    signature = types.void(out, i, i, i, source, i, i, i, i)

    def emit(context, builder, sig, args):
        out_v, even, odd, out_step, source_v, at, source_step, lines, count = args
        kind = vector_type(context, out)
        lanes, data = kind.count, data_of(context, builder, out, out_v)
        begin = offset(builder, data_of(context, builder, source, source_v), at)
        left = builder.urem(count, number(2 * lanes))
        halves = [_Reach(builder, kind, number(half * lanes), left) for half in range(2)]
        residues = [
            _Reach(builder, kind, number(0), builder.lshr(builder.add(left, number(1 - r)), number(1)))
            for r in range(2)
        ]

        def unzip(loads, stores):
            def emit_unzip(line, column):
                place = offset(builder, begin, builder.add(builder.mul(line, source_step), column))
                both = [load(offset(builder, place, number(half * lanes))) for half, load in enumerate(loads)]
                cell = builder.add(builder.mul(line, out_step), builder.lshr(column, number(1)))
                for r, (first, store) in enumerate(zip((even, odd), stores, strict=True)):
                    value = shuffle(builder, *both, list(range(r, 2 * lanes, 2)))
                    store(value, offset(builder, data, builder.add(first, cell)))

            return emit_unzip

        all_of = _Reach(builder, kind)
        _each_line(
            builder, lines, count, 2 * lanes, unzip([all_of.load] * 2, [all_of.store] * 2),
            unzip([half.load for half in halves], [residue.store for residue in residues]),
        )  # fmt: skip
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def zip_lines(typing, out, to, out_step, source, even, odd, source_step, lines, count):
    """out[to + l·out_step + 2i] = source[even + l·source_step + i] for l under `lines` and 2i under `count`; the same
    with 2i + 1 and `odd`. Whole vectors of the source are read.
    """
    i = types.int64
    signature = types.void(out, i, i, source, i, i, i, i, i)

    def emit(context, builder, sig, args):
        out_v, to, out_step, source_v, even, odd, source_step, lines, count = args
        kind = vector_type(context, out)
        lanes, data = kind.count, data_of(context, builder, source, source_v)
        target = offset(builder, data_of(context, builder, out, out_v), to)
        left = builder.urem(count, number(2 * lanes))
        order = [k // 2 + lanes * (k % 2) for k in range(2 * lanes)]

        def zipped(stores):
            def emit_zip(line, column):
                place = builder.add(builder.mul(line, source_step), builder.lshr(column, number(1)))
                both = [
                    load_vector(builder, offset(builder, data, builder.add(first, place)), kind)
                    for first in (even, odd)
                ]
                cell = offset(builder, target, builder.add(builder.mul(line, out_step), column))
                for half, store in enumerate(stores):
                    value = shuffle(builder, *both, order[half * lanes : (half + 1) * lanes])
                    store(value, offset(builder, cell, number(half * lanes)))

            return emit_zip

        rest = [_Reach(builder, kind, number(half * lanes), left).store for half in range(2)]
        _each_line(builder, lines, count, 2 * lanes, zipped([_Reach(builder, kind).store] * 2), zipped(rest))
        return context.get_dummy_value()

    return signature, emit
