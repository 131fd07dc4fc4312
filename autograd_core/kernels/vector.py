"""The pieces of machine code that the fast kernels are made of, written as LLVM vector instructions.

`tile` is a register tile of a matrix product, `transpose` turns a square of numbers. Both are numba intrinsics
that emit whole blocks of vector instructions: no vector type needs to pass through numba's type inference (which
is slow for unrolled code), and the accumulators are LLVM values, so they live in registers.
The vector width is this CPU's, found at run time.
"""

from __future__ import annotations

import os

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic


def _vector_bits() -> int:
    features = llvmlite.binding.get_host_cpu_features()
    if forced := os.environ.get(
        "AUTOGRAD_CORE_VECTOR_BITS"
    ):  # for tests: LLVM splits what the CPU does not have
        return int(forced)
    return 512 if features.get("avx512f") else 256 if features.get("avx") else 128


BITS = _vector_bits()
# Accumulators: rows × VECTORS registers. 6 × 2 + 3 operands fill the 16 of AVX2. AVX-512 has 32, but with 11 or 12 rows
# LLVM keeps accumulators in memory (80–130 GFLOP/s instead of 205 with 8 or 10), and 8 waste less of a block's end.
VECTORS = 2
ROWS = 8 if BITS == 512 else 6


def vector_lanes(dtype: np.dtype) -> int:
    """Elements of a vector."""
    return BITS // (8 * dtype.itemsize)


def width_of(dtype: np.dtype, outer: int | None = None) -> int:
    """Elements in a row of a tile; one vector where fewer than two do for `outer`, or leave much of the last row empty.

    A tile of one vector runs at 0.8 of the rate: its accumulators hardly cover the time a multiplication takes.
    """
    lanes = vector_lanes(dtype)
    return lanes if outer is not None and -(-outer // lanes) in (1, 3) else VECTORS * lanes


@intrinsic
def lanes_of(typing, array):
    """(elements of a vector, elements of a tile's row) for the array's dtype, as constants of the machine code."""
    lanes = BITS // array.dtype.bitwidth

    def emit(context, builder, signature, args):
        return context.get_constant_generic(builder, signature.return_type, (lanes, VECTORS * lanes))

    return types.UniTuple(types.int64, 2)(array), emit


def data_of(context, builder, array_type, array):
    return context.make_array(array_type)(context, builder, array).data


def offset(builder, pointer, index):
    return builder.gep(pointer, [index])


def load_vector(builder, pointer, vector_type):
    return builder.load(builder.bitcast(pointer, vector_type.as_pointer()), align=_align(vector_type))


def store_vector(builder, value, pointer):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=_align(value.type))


def _align(vector_type) -> int:
    return 4 if isinstance(vector_type.element, ir.FloatType) else 8


def masked(builder, name, vector, answer, arguments):
    """Calls LLVM's masked `name` for a register."""
    element = "f64" if isinstance(vector.element, ir.DoubleType) else "f32"
    function = builder.module.declare_intrinsic(
        f"llvm.masked.{name}.v{vector.count}{element}.p0",
        fnty=ir.FunctionType(answer, [each.type for each in arguments]),
    )
    return builder.call(function, arguments)


def vector_type(context, array_type):
    element = context.get_data_type(array_type.dtype)
    return ir.VectorType(element, BITS // array_type.dtype.bitwidth)


def fused(builder, vector_type):
    name = f"llvm.fma.v{vector_type.count}f{8 * _align(vector_type)}"
    signature = ir.FunctionType(vector_type, [vector_type] * 3)
    return cgutils.get_or_insert_function(builder.module, signature, name)


def grid(context, builder, array_type, array, at, rows, columns):
    """Pointers to the elements at + i·row_step + j·column_step; rows and columns are (count, step)."""
    data = data_of(context, builder, array_type, array)
    lines = []
    for i in range(rows[0]):
        first = builder.add(at, builder.mul(rows[1], ir.Constant(at.type, i)))
        lines.append(
            [
                offset(builder, data, builder.add(first, builder.mul(columns[1], ir.Constant(at.type, j))))
                for j in range(columns[0])
            ]
        )
    return lines


def splat(builder, scalar, vector_type):
    one = builder.insert_element(
        ir.Constant(vector_type, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector_type.count), [0] * vector_type.count)
    return builder.shuffle_vector(one, ir.Constant(vector_type, ir.Undefined), mask)


@intrinsic
def tile(typing, out, targets, fresh, source, rows, at, wide, wide_at, steps, begin, end, width):
    """out[targets[at + r], :] (+)= Σ_{begin ≤ k < end} source[rows[at + r] + steps[k]] · wide[wide_at + k, :]

    for r = 0 … ROWS−1, where out, and wide from wide_at on, have rows of `width` elements, one vector or VECTORS. Each
    `source` element is broadcast, so it may lie anywhere: strides and dilation cost nothing here.
    The sum starts at 0 when `fresh`, else at what `out` holds. Nothing is checked.
    """
    i = types.int64
    signature = types.void(out, targets, types.boolean, source, rows, i, wide, i, steps, i, i, i)

    def emit(context, builder, sig, args):
        (out_v, targets_v, fresh, source_v, rows_v, at, wide_v, wide_at, steps_v, begin, end, width) = args

        def table(array_type, array):
            """The ROWS numbers from `at` on."""
            first = offset(builder, data_of(context, builder, array_type, array), at)
            return [builder.load(offset(builder, first, ir.Constant(at.type, r))) for r in range(ROWS)]

        source_data, out_data, wide_data, steps_data = (
            data_of(context, builder, of, array)
            for of, array in ((source, source_v), (out, out_v), (wide, wide_v), (steps, steps_v))
        )
        lines = [offset(builder, source_data, line) for line in table(rows, rows_v)]
        cells = [offset(builder, out_data, builder.mul(row, width)) for row in table(targets, targets_v)]

        def scalars(k):
            step = builder.load(offset(builder, steps_data, k))
            return [offset(builder, line, step) for line in lines]

        kind = vector_type(context, out)
        _tile(builder, kind, cells, fresh, scalars, offset(builder, wide_data, wide_at), begin, end, width)
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def tile_lines(
    typing, out, out_at, out_step, fresh, source, at, row_step, step, wide, wide_at, wide_step, count, width
):
    """out[out_at + r·out_step, :] (+)= Σ_{k < count} source[at + r·row_step + k·step] · wide[wide_at + k·wide_step, :]

    for r = 0 … ROWS−1: `tile` without tables, for short sums.
    """
    i = types.int64
    signature = types.void(out, i, i, types.boolean, source, i, i, i, wide, i, i, i, i)

    def emit(context, builder, sig, args):
        out_v, out_at, out_step, fresh, *factors, count, width = args
        source_v, at, row_step, step, wide_v, wide_at, wide_step = factors
        first, cell, wide_data = (
            offset(builder, data_of(context, builder, of, array), begin)
            for of, array, begin in ((source, source_v, at), (out, out_v, out_at), (wide, wide_v, wide_at))
        )
        lines, cells = [first], [cell]
        for _ in range(1, ROWS):
            lines.append(offset(builder, lines[-1], row_step))
            cells.append(offset(builder, cells[-1], out_step))

        def scalars(k):
            return [offset(builder, line, builder.mul(k, step)) for line in lines]

        kind, zero = vector_type(context, out), ir.Constant(count.type, 0)
        _tile(builder, kind, cells, fresh, scalars, wide_data, zero, count, width, wide_step)
        return context.get_dummy_value()

    return signature, emit


def _tile(builder, vector, cells, fresh, scalars, wide, begin, end, width, wide_step=None):
    """The sum of a tile, whose rows are stored to `cells`: with one vector a row, or with VECTORS, as `width` says.

    The rows of `wide` are wide_step apart, or lie one behind the other.
    """
    zero, lanes = ir.Constant(vector, None), vector.count

    def sums(vectors):
        ends = [ir.Constant(begin.type, v * lanes) for v in range(vectors)]
        pieces = [offset(builder, cell, end) for cell in cells for end in ends]
        start = [builder.select(fresh, zero, load_vector(builder, piece, vector)) for piece in pieces]

        def operands(k):
            step = wide_step or ir.Constant(k.type, vectors * lanes)
            line = offset(builder, wide, builder.mul(k, step))
            return scalars(k), [load_vector(builder, offset(builder, line, end), vector) for end in ends]

        results = sum_products(builder, start, operands, begin, end)
        for result, piece in zip(results, pieces, strict=True):
            store_vector(builder, result, piece)

    narrow = builder.icmp_signed("==", width, ir.Constant(width.type, lanes))
    with builder.if_else(narrow) as (single, several):
        with single:
            sums(1)
        with several:
            sums(VECTORS)


def sum_products(builder, start, operands, begin, end):
    """start[r][v] + Σ_{begin ≤ k < end} (scalar r, broadcast) · (vector v), flat over (r, v).

    operands(k) gives pointers to the scalars, and the vectors. The sums are LLVM values all the while, so they stay in
    registers.
    """
    vector = start[0].type
    fma = fused(builder, vector)
    entry = builder.block
    body, done = builder.append_basic_block("sum.k"), builder.append_basic_block("sum.end")
    builder.cbranch(builder.icmp_signed("<", begin, end), body, done)

    builder.position_at_end(body)
    k = builder.phi(begin.type)
    sums = [builder.phi(vector) for _ in start]
    k.add_incoming(begin, entry)
    scalars, wide = operands(k)
    after = []
    for r, scalar in enumerate(scalars):
        value = splat(builder, builder.load(scalar), vector)
        after += [builder.call(fma, [value, one, sums[r * len(wide) + v]]) for v, one in enumerate(wide)]
    following = builder.add(k, ir.Constant(begin.type, 1))
    k.add_incoming(following, body)
    for phi, first, later in zip(sums, start, after, strict=True):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, body)
    builder.cbranch(builder.icmp_signed("<", following, end), body, done)

    builder.position_at_end(done)
    results = [builder.phi(vector) for _ in start]
    for result, first, later in zip(results, start, after, strict=True):
        result.add_incoming(first, entry)
        result.add_incoming(later, body)
    return results


def transposed(builder, lines):
    """A square of vectors, transposed in log₂(lanes) rounds of shuffles of pairs: 8 × 8 numbers in 24 shuffles."""
    lines, lanes = list(lines), len(lines)
    mask_type = ir.VectorType(ir.IntType(32), lanes)
    half = 1
    while half < lanes:
        low = ir.Constant(mask_type, [j if not j & half else lanes + j - half for j in range(lanes)])
        high = ir.Constant(mask_type, [j + half if not j & half else lanes + j for j in range(lanes)])
        for i in range(lanes):
            if not i & half:
                a, b = lines[i], lines[i + half]
                lines[i] = builder.shuffle_vector(a, b, low)
                lines[i + half] = builder.shuffle_vector(a, b, high)
        half *= 2
    return lines


def _square(context, builder, source_type, source, at, step):
    """As many vectors as a vector has elements, `step` apart."""
    kind = vector_type(context, source_type)
    first = offset(builder, data_of(context, builder, source_type, source), at)
    i64 = at.type
    return [
        load_vector(builder, offset(builder, first, builder.mul(step, ir.Constant(i64, i))), kind)
        for i in range(kind.count)
    ]


@intrinsic
def transpose(typing, source, source_at, source_step, out, out_at, out_step):
    """out[out_at + j·out_step + i] = source[source_at + i·source_step + j] for i, j under the vector's lanes."""
    signature = types.void(source, types.int64, types.int64, out, types.int64, types.int64)

    def emit(context, builder, sig, args):
        source_v, source_at, source_step, out_v, out_at, out_step = args
        lines = transposed(builder, _square(context, builder, source, source_v, source_at, source_step))
        first = offset(builder, data_of(context, builder, out, out_v), out_at)
        for j, line in enumerate(lines):
            store_vector(
                builder, line, offset(builder, first, builder.mul(out_step, ir.Constant(out_at.type, j)))
            )
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def transpose_to(typing, source, source_at, source_step, out, out_at, places, at):
    """out[out_at + places[at + j] + i] = source[source_at + i·source_step + j] for i, j under the vector's lanes."""
    signature = types.void(source, types.int64, types.int64, out, types.int64, places, types.int64)

    def emit(context, builder, sig, args):
        source_v, source_at, source_step, out_v, out_at, places_v, at = args
        lines = transposed(builder, _square(context, builder, source, source_v, source_at, source_step))
        first = offset(builder, data_of(context, builder, out, out_v), out_at)
        table = offset(builder, data_of(context, builder, places, places_v), at)
        for j, line in enumerate(lines):
            place = builder.load(offset(builder, table, ir.Constant(at.type, j)))
            store_vector(builder, line, offset(builder, first, place))
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def shift_lines(typing, array, at, count, step, shift, shift_at, rectified):
    """array[at + l·step + i] += shift[shift_at + i] for l under count and i under the vector's lanes.

    `rectified`: then what is not above 0 becomes 0; NaN stays.
    """
    i = types.int64
    signature = types.void(array, i, i, i, shift, i, types.boolean)

    def emit(context, builder, sig, args):
        array_v, at, count, step, shift_v, shift_at, rectified = args
        vector = vector_type(context, array)
        data = offset(builder, data_of(context, builder, array, array_v), at)
        change = load_vector(
            builder, offset(builder, data_of(context, builder, shift, shift_v), shift_at), vector
        )
        lowest = ir.Constant(vector, [float("-inf")] * vector.count)
        floor = builder.select(rectified, ir.Constant(vector, None), lowest)
        with cgutils.for_range(builder, count, intp=at.type) as line:
            place = offset(builder, data, builder.mul(line.index, step))
            value = builder.fadd(load_vector(builder, place, vector), change)
            low = builder.fcmp_ordered("<=", value, floor)
            store_vector(builder, builder.select(low, floor, value), place)
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def move(typing, out, to, source, at):
    """One vector from source[at] to out[to]. Nothing is checked."""
    signature = types.void(out, types.int64, source, types.int64)

    def emit(context, builder, sig, args):
        out_v, to, source_v, at = args
        vector = vector_type(context, out)
        value = load_vector(builder, offset(builder, data_of(context, builder, source, source_v), at), vector)
        store_vector(builder, value, offset(builder, data_of(context, builder, out, out_v), to))
        return context.get_dummy_value()

    return signature, emit


def ask(builder, pointer, write):
    """Ask for the cache line of an address, to be read or written soon; it may lie anywhere."""
    void, int32 = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [void, int32, int32, int32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(
        function, [builder.bitcast(pointer, void), *(ir.Constant(int32, n) for n in (int(write), 3, 1))]
    )


def prefetch(write):
    """An intrinsic that asks for the cache line of array[at]; `at` may lie outside."""

    @intrinsic
    def ask_at(typing, array, at):
        def emit(context, builder, signature, args):
            ask(builder, offset(builder, data_of(context, builder, array, args[0]), args[1]), write)
            return context.get_dummy_value()

        return types.void(array, types.int64), emit

    return ask_at


AHEAD = 64  # elements ahead of the loads and stores at which lines are asked for
prefetch_read, prefetch_write = prefetch(write=False), prefetch(write=True)
