"""Strips: a plane's columns, as wide as a register, walked from top to bottom. The pieces that kernels of them share.

Each row of the source is loaded once and goes into all the sums that it belongs to, which wait in registers: for 3 × 3
taps three loads for nine products, where `stencil` takes nine. Padding takes no memory and no copy: loads are masked
where a strip meets an edge of the plane. Lines are asked for AHEAD of time, those to be written too: a walk is no
stream that processors know.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from autograd_core.kernels.vector import (
    BITS,
    ask,
    data_of,
    fused,
    load_vector,
    masked,
    offset,
    splat,
    store_vector,
)

TAPS = 9
# Elements. Depthwise 3 × 3 on 8·128·28² took 365 µs with 0, 267 with 256, 265 with 512, 298 with 768; a copy 225.
AHEAD = 512
I64 = ir.IntType(64)
_I32 = ir.IntType(32)


def number(value):
    return ir.Constant(I64, value)


def inside(builder, first, past, low, high):
    """Whether low ≤ first and past ≤ high."""
    return builder.and_(builder.icmp_signed("<=", low, first), builder.icmp_signed("<=", past, high))


def by_width(builder, vector, narrow, whole, emit):
    """emit(vector, whole): half a register for narrow planes (128 bits stay whole), a strip inside or at an edge."""
    half = ir.VectorType(vector.element, vector.count // (2 if BITS > 128 else 1))
    with builder.if_else(narrow) as (small, large):
        with small:
            emit(half, False)
        with large, builder.if_else(whole) as (inner, edge):
            with inner:
                emit(vector, True)
            with edge:
                emit(vector, False)


class Mask:
    """The lanes l with 0 ≤ first + l < size.

    AVX-512 has registers for it. Elsewhere it is whole numbers, whose signs a masked load takes as they are: LLVM would
    widen single bits anew in each turn of a loop.
    """

    def __init__(self, builder, first, size, vector):
        self.builder = builder
        word = I64 if isinstance(vector.element, ir.DoubleType) else _I32
        words = ir.VectorType(word, vector.count)
        first, size = (
            splat(builder, each if word is I64 else builder.trunc(each, word), words)
            for each in (first, size)
        )
        lanes = builder.add(first, ir.Constant(words, list(range(vector.count))))
        bits = inside(builder, lanes, builder.add(lanes, ir.Constant(words, [1] * vector.count)),
                      ir.Constant(words, None), size)  # fmt: skip
        self.kept = bits if BITS == 512 else builder.sext(bits, words)

    def bits(self):
        if BITS == 512:
            return self.kept
        return self.builder.icmp_signed("<", self.kept, ir.Constant(self.kept.type, None))


def alignment(vector):
    return ir.Constant(_I32, 8 if isinstance(vector.element, ir.DoubleType) else 4)


class Reader:
    """A plane's rows as vectors that begin at some columns; `whole`: these lie inside, else there are zeros around.

    The first `asked` of the vectors are asked for ahead.
    """

    def __init__(self, builder, data, width, columns, vector, whole, asked=1):
        self.builder, self.data, self.width, self.columns = builder, data, width, columns
        self.vector, self.asked = vector, asked
        self.masks = None if whole else [Mask(builder, column, width, vector) for column in columns]

    def __call__(self, row):
        builder, vector, found = self.builder, self.vector, []
        start = builder.mul(row, self.width)
        for k, column in enumerate(self.columns):
            at = builder.add(start, column)
            if k < self.asked:
                ask(builder, offset(builder, self.data, builder.add(at, number(AHEAD))), write=False)
            pointer = offset(builder, self.data, at)
            if self.masks is None:
                found.append(load_vector(builder, pointer, vector))
            else:
                place = builder.bitcast(pointer, vector.as_pointer())
                rest = [alignment(vector), self.masks[k].bits(), ir.Constant(vector, None)]
                found.append(masked(builder, "load", vector, vector, [place, *rest]))
        return found


class Writer:
    """A plane's rows, written from a column on: whole vectors as far as `end`, behind it only what is in the row."""

    def __init__(self, builder, data, width, column, vector, end):
        self.builder, self.data, self.width, self.column, self.end = builder, data, width, column, end
        self.lanes, self.mask = vector.count, Mask(builder, column, width, vector)

    def __call__(self, row, value):
        builder, vector = self.builder, value.type
        at = builder.add(builder.mul(row, self.width), self.column)
        ask(builder, offset(builder, self.data, builder.add(at, number(AHEAD))), write=True)
        pointer = offset(builder, self.data, at)
        past = builder.add(at, number(self.lanes))
        with builder.if_else(builder.icmp_signed("<=", past, self.end), likely=True) as (before, last):
            with before:
                store_vector(builder, value, pointer)
            with last:
                place = builder.bitcast(pointer, vector.as_pointer())
                rest = [alignment(vector), self.mask.bits()]
                masked(builder, "store", vector, ir.VoidType(), [value, place, *rest])


class Carried:
    """Vectors that one turn of a loop leaves to the next."""

    def __init__(self, builder, values):
        self.builder = builder
        self.cells = [cgutils.alloca_once(builder, value.type) for value in values]
        self.set(values)

    def get(self):
        return [self.builder.load(cell) for cell in self.cells]

    def set(self, values):
        for value, cell in zip(values, self.cells, strict=True):
            self.builder.store(value, cell)


def weights_of(context, builder, array_type, array, at, vector, turned=None):
    """Three rows of three weights, each in all lanes; `turned` by 180°, which is from the last to the first."""
    data = offset(builder, data_of(context, builder, array_type, array), at)
    found = []
    for k in range(TAPS):
        place = number(k) if turned is None else builder.select(turned, number(TAPS - 1 - k), number(k))
        found.append(splat(builder, builder.load(offset(builder, data, place)), vector))
    return found[:3], found[3:6], found[6:]


def products(builder, weights, values, total=None):
    """total + Σ weights · values."""
    terms = list(zip(weights, values, strict=True))
    if total is None:
        total = builder.fmul(*terms.pop(0))
    fma = fused(builder, total.type)
    for term in terms:
        total = builder.call(fma, [*term, total])
    return total


def products_before(builder, weights, read, row, row_before):
    """The products of the row before a walk's first one, none above the plane's top."""
    above = builder.icmp_signed(">", row, number(0))
    values = read(builder.select(above, row_before, number(0)))
    total = products(builder, weights, values)
    return builder.select(above, total, ir.Constant(total.type, None))
