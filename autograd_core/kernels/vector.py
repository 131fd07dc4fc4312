"""The two pieces of machine code that the fast kernels are made of, written as LLVM vector instructions.

`tile` is a register tile of a matrix product, `transpose` turns a square of numbers. Both are numba intrinsics
that emit whole blocks of vector instructions: no vector type needs to pass through numba's type inference (which
is slow for unrolled code), and the accumulators are LLVM values, so they live in registers.
The vector width is this CPU's, found at run time.
"""

from __future__ import annotations

import os

import llvmlite.binding
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
ROWS = 12 if BITS == 512 else 6


def _data(context, builder, array_type, array):
    return context.make_array(array_type)(context, builder, array).data


def _at(builder, pointer, index):
    return builder.gep(pointer, [index])


def _load_vector(builder, pointer, vector_type):
    return builder.load(builder.bitcast(pointer, vector_type.as_pointer()), align=_align(vector_type))


def _store_vector(builder, value, pointer):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=_align(value.type))


def _align(vector_type) -> int:
    return 4 if isinstance(vector_type.element, ir.FloatType) else 8


def _vector_type(context, array_type):
    element = context.get_data_type(array_type.dtype)
    return ir.VectorType(element, BITS // array_type.dtype.bitwidth)


def _fma(builder, vector_type):
    name = f"llvm.fma.v{vector_type.count}f{8 * _align(vector_type)}"
    signature = ir.FunctionType(vector_type, [vector_type] * 3)
    return cgutils.get_or_insert_function(builder.module, signature, name)


def _splat(builder, scalar, vector_type):
    one = builder.insert_element(
        ir.Constant(vector_type, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector_type.count), [0] * vector_type.count)
    return builder.shuffle_vector(one, ir.Constant(vector_type, ir.Undefined), mask)


@intrinsic
def tile(typing, out, out_at, fresh, source, source_at, rows, row_at, wide, wide_at, steps, begin, end):
    """out[r, :] (+)= Σ_{begin ≤ k < end} source[source_at + rows[row_at + r] + steps[k]] · wide[wide_at + k, :]

    for r = 0 … ROWS−1, where out (from out_at) and wide (from wide_at) have rows of VECTORS vectors. Each `source`
    element is broadcast, so it may lie anywhere: strides, dilation and padding cost nothing here.
    The sum starts at 0 when `fresh`, else at what `out` holds. Nothing is checked.
    """
    signature = types.void(
        out, types.int64, types.boolean, source, types.int64, rows, types.int64, wide, types.int64, steps,
        types.int64, types.int64,
    )  # fmt: skip

    def emit(context, builder, sig, args):
        (out_v, out_at, fresh, source_v, source_at, rows_v, row_at, wide_v, wide_at, steps_v, begin, end) = (
            args
        )
        vector = _vector_type(context, out)
        zero = ir.Constant(vector, None)
        lanes, width = vector.count, VECTORS * vector.count
        fma = _fma(builder, vector)
        i64 = begin.type

        base = _at(builder, _data(context, builder, source, source_v), source_at)
        row_list = _at(builder, _data(context, builder, rows, rows_v), row_at)
        lines = [
            _at(builder, base, builder.load(_at(builder, row_list, ir.Constant(i64, r)))) for r in range(ROWS)
        ]
        wide_data = _at(builder, _data(context, builder, wide, wide_v), wide_at)
        steps_data = _data(context, builder, steps, steps_v)
        out_data = _at(builder, _data(context, builder, out, out_v), out_at)
        cells = [_at(builder, out_data, ir.Constant(i64, i * lanes)) for i in range(ROWS * VECTORS)]
        start = [builder.select(fresh, zero, _load_vector(builder, cell, vector)) for cell in cells]

        entry = builder.block
        body, done = builder.append_basic_block("tile.k"), builder.append_basic_block("tile.end")
        builder.cbranch(builder.icmp_signed("<", begin, end), body, done)

        builder.position_at_end(body)
        k = builder.phi(i64)
        sums = [builder.phi(vector) for _ in cells]
        k.add_incoming(begin, entry)
        step = builder.load(_at(builder, steps_data, k))
        line = _at(builder, wide_data, builder.mul(k, ir.Constant(i64, width)))
        operands = [
            _load_vector(builder, _at(builder, line, ir.Constant(i64, v * lanes)), vector)
            for v in range(VECTORS)
        ]
        after = []
        for r in range(ROWS):
            value = _splat(builder, builder.load(_at(builder, lines[r], step)), vector)
            after += [builder.call(fma, [value, operands[v], sums[r * VECTORS + v]]) for v in range(VECTORS)]
        following = builder.add(k, ir.Constant(i64, 1))
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
            _store_vector(builder, result, cell)
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def transpose(typing, source, source_at, source_step, out, out_at, out_step):
    """out[out_at + j·out_step + i] = source[source_at + i·source_step + j] for i, j under the vector's lanes.

    log₂(lanes) rounds of shuffles of pairs of rows: 8 × 8 numbers in 24 shuffles. Nothing is checked.
    """
    signature = types.void(source, types.int64, types.int64, out, types.int64, types.int64)

    def emit(context, builder, sig, args):
        source_v, source_at, source_step, out_v, out_at, out_step = args
        vector = _vector_type(context, out)
        lanes = vector.count
        i64 = source_at.type
        from_data = _at(builder, _data(context, builder, source, source_v), source_at)
        to_data = _at(builder, _data(context, builder, out, out_v), out_at)
        lines = [
            _load_vector(
                builder, _at(builder, from_data, builder.mul(source_step, ir.Constant(i64, i))), vector
            )
            for i in range(lanes)
        ]
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
        for j in range(lanes):
            _store_vector(
                builder, lines[j], _at(builder, to_data, builder.mul(out_step, ir.Constant(i64, j)))
            )
        return context.get_dummy_value()

    return signature, emit
