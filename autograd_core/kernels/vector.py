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
# Accumulators: rows × VECTORS registers. 6 × 2 + 3 operands fill the 16 of AVX2; 12 × 2 use 27 of AVX-512's 32.
VECTORS = 2
ROWS = 8 if BITS == 512 else 6


def width_of(dtype: np.dtype) -> int:
    """Elements in a row of a tile."""
    return VECTORS * BITS // (8 * dtype.itemsize)


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
def tile(typing, out, targets, fresh, source, rows, at, wide, wide_at, steps, begin, end):
    """out[targets[at + r], :] (+)= Σ_{begin ≤ k < end} source[rows[at + r] + steps[k]] · wide[wide_at + k, :]

    for r = 0 … ROWS−1, where out, and wide from wide_at on, have rows of VECTORS vectors. Each `source` element is
    broadcast, so it may lie anywhere: strides and dilation cost nothing here.
    The sum starts at 0 when `fresh`, else at what `out` holds. Nothing is checked.
    """
    signature = types.void(
        out,
        targets,
        types.boolean,
        source,
        rows,
        types.int64,
        wide,
        types.int64,
        steps,
        types.int64,
        types.int64,
    )

    def emit(context, builder, sig, args):
        (out_v, targets_v, fresh, source_v, rows_v, at, wide_v, wide_at, steps_v, begin, end) = args
        vector = vector_type(context, out)
        zero = ir.Constant(vector, None)
        lanes, width = vector.count, VECTORS * vector.count
        i64 = begin.type

        def table(array_type, array):
            """The ROWS numbers from `at` on."""
            first = offset(builder, data_of(context, builder, array_type, array), at)
            return [builder.load(offset(builder, first, ir.Constant(i64, r))) for r in range(ROWS)]

        source_data = data_of(context, builder, source, source_v)
        lines = [offset(builder, source_data, line) for line in table(rows, rows_v)]
        wide_data = offset(builder, data_of(context, builder, wide, wide_v), wide_at)
        steps_data = data_of(context, builder, steps, steps_v)
        out_data = data_of(context, builder, out, out_v)
        cells = [
            offset(
                builder,
                out_data,
                builder.add(builder.mul(row, ir.Constant(i64, width)), ir.Constant(i64, v * lanes)),
            )
            for row in table(targets, targets_v)
            for v in range(VECTORS)
        ]
        start = [builder.select(fresh, zero, load_vector(builder, cell, vector)) for cell in cells]

        def operands(k):
            step = builder.load(offset(builder, steps_data, k))
            line = offset(builder, wide_data, builder.mul(k, ir.Constant(i64, width)))
            wide = [
                load_vector(builder, offset(builder, line, ir.Constant(i64, v * lanes)), vector)
                for v in range(VECTORS)
            ]
            return [offset(builder, first, step) for first in lines], wide

        _sum_products(builder, cells, start, operands, begin, end)
        return context.get_dummy_value()

    return signature, emit


def _sum_products(builder, cells, start, operands, begin, end):
    """cells[r][v] = start[r][v] + Σ_{begin ≤ k < end} (scalar r, broadcast) · (vector v), cells flat over (r, v).

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
    sums = [builder.phi(vector) for _ in cells]
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
    results = [builder.phi(vector) for _ in cells]  # phi nodes stand before every other instruction
    for result, cell, first, later in zip(results, cells, start, after, strict=True):
        result.add_incoming(first, entry)
        result.add_incoming(later, body)
        store_vector(builder, result, cell)


def _transposed(builder, lines):
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
        lines = _transposed(builder, _square(context, builder, source, source_v, source_at, source_step))
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
        lines = _transposed(builder, _square(context, builder, source, source_v, source_at, source_step))
        first = offset(builder, data_of(context, builder, out, out_v), out_at)
        table = offset(builder, data_of(context, builder, places, places_v), at)
        for j, line in enumerate(lines):
            place = builder.load(offset(builder, table, ir.Constant(at.type, j)))
            store_vector(builder, line, offset(builder, first, place))
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
