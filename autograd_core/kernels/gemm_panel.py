"""Panels of a matrix product: how its numbers are read, packed and written, 32 columns (two vectors) wide."""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from autograd_core.kernels.jit import jit
from autograd_core.kernels.vector import BITS, VECTORS, masked, splat, transposed

ITEM = 4  # bytes of a number
LANES = BITS // (8 * ITEM)
WIDTH = VECTORS * LANES  # columns of a panel
LINE = WIDTH * ITEM  # bytes of its rows

WORD, I32, FLOAT = ir.IntType(64), ir.IntType(32), ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)

# Memory: addresses in bytes, nothing is checked -----------------------------------------------------------------


def word(number):
    return ir.Constant(WORD, number)


def vectors_at(builder, address, count):
    """The addresses of `count` vectors side by side."""
    return [builder.add(address, word(v * LANES * ITEM)) for v in range(count)]


def load(builder, address):
    return builder.load(builder.inttoptr(address, VECTOR.as_pointer()), align=ITEM)


def store(builder, value, address):
    builder.store(value, builder.inttoptr(address, VECTOR.as_pointer()), align=ITEM)


def masks_of(builder, count, vectors):
    """For each vector of a row, which of its lanes lie below `count`."""
    kind = ir.VectorType(I32, LANES)
    limit = splat(builder, builder.trunc(count, I32), kind)
    return [
        builder.icmp_signed("<", ir.Constant(kind, list(range(v * LANES, (v + 1) * LANES))), limit)
        for v in range(vectors)
    ]


def load_some(builder, address, mask):
    """A vector whose other lanes are 0, and not read."""
    pointer = builder.inttoptr(address, VECTOR.as_pointer())
    rest = ir.Constant(I32, ITEM), mask, ir.Constant(VECTOR, None)
    return masked(builder, "load", VECTOR, VECTOR, [pointer, *rest])


def store_some(builder, value, address, mask):
    pointer = builder.inttoptr(address, VECTOR.as_pointer())
    masked(builder, "store", VECTOR, ir.VoidType(), [value, pointer, ir.Constant(I32, ITEM), mask])


def rows_at(builder, first, step, count, present):
    """The addresses of `count` rows, of which the last one present stands for those that are not."""
    last = builder.sub(present, word(1))
    numbers = (builder.select(builder.icmp_signed("<", word(i), last), word(i), last) for i in range(count))
    return [builder.add(first, builder.mul(step, number)) for number in numbers]


# Panels ---------------------------------------------------------------------------------------------------------


def room(size):
    """An intrinsic for the address of panels of so many bytes on the stack; squares may reach beyond the last row."""

    @intrinsic
    def room(typing):
        def emit(context, builder, signature, args):
            with builder.goto_entry_block():
                made = builder.alloca(VECTOR, size // (LANES * ITEM) + VECTORS * LANES)
                made.align = 64
            return builder.ptrtoint(made, WORD)

        return types.int64(), emit

    return room


@intrinsic
def _pack_line(typing, panel, line):
    """A row of a panel."""

    def emit(context, builder, signature, args):
        panel, line = (vectors_at(builder, address, VECTORS) for address in args)
        for to, at in zip(panel, line, strict=True):
            store(builder, load(builder, at), to)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@intrinsic
def _pack_part(typing, panel, line, columns):
    """The same of fewer columns, filled up with zeros."""

    def emit(context, builder, signature, args):
        panel, line = (vectors_at(builder, address, VECTORS) for address in args[:2])
        for to, at, mask in zip(panel, line, masks_of(builder, args[2], VECTORS), strict=True):
            store(builder, load_some(builder, at, mask), to)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 3), emit


@intrinsic
def _pack_square(typing, panel, lines, step, columns, depth):
    """A vector's width of a panel's columns, of which each lies in a line; what is beyond them is never used."""

    def emit(context, builder, signature, args):
        panel, lines, step, columns, depth = args
        (mask,) = masks_of(builder, depth, 1)
        found = [load_some(builder, line, mask) for line in rows_at(builder, lines, step, LANES, columns)]
        for j, row in enumerate(transposed(builder, found)):
            store(builder, row, builder.add(panel, word(j * LINE)))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 5), emit


@jit(inner=True, fast=False)
def pack(panels, corner, y_row, y_step, depth, columns):
    """A block of y, panel after panel: along its rows, or square by square where it lies transposed."""
    if y_step == ITEM:
        whole = columns // WIDTH * WIDTH
        for i in range(depth):
            to, line = panels + i * LINE, corner + i * y_row
            for j in range(0, whole, WIDTH):
                _pack_line(to + j * depth * ITEM, line + j * ITEM)
            if whole < columns:
                _pack_part(to + whole * depth * ITEM, line + whole * ITEM, columns - whole)
    else:
        for c in range(0, columns, LANES):
            to = panels + c // WIDTH * depth * LINE + c % WIDTH * ITEM
            for i in range(0, depth, LANES):
                lines = corner + c * y_step + i * ITEM
                _pack_square(to + i * LINE, lines, y_step, columns - c, depth - i)


# Adding a row to all ------------------------------------------------------------------------------------------


@intrinsic
def _add_part(typing, out, line, columns):
    """A vector's width of the row added to what lies at `out`, or fewer columns of it."""

    def emit(context, builder, signature, args):
        out, line, columns = args
        (mask,) = masks_of(builder, columns, 1)
        total = builder.fadd(load_some(builder, out, mask), load_some(builder, line, mask))
        store_some(builder, total, out, mask)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 3), emit


@jit(inner=True, fast=False)
def add_line(out, rows, row, line, columns):
    """A line of numbers added to each of the rows of a matrix, which lie `row` bytes apart."""
    for i in range(rows):
        for j in range(0, columns, LANES):
            _add_part(out + i * row + j * ITEM, line + j * ITEM, columns - j)
