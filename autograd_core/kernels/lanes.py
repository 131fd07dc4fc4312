"""Eight float32 or four float64 in one register, as a value that kernels load, compare and store.

LLVM vectorises long plain loops by itself. The rows of pooling are 7 to 32 numbers, where its vector loop never
starts, and every second element is wanted: those are written with these functions. 256 bits on every CPU: wider
registers would not fit the rows, and LLVM makes two 128-bit operations of one where that is all there is.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from autograd_core.kernels.jit import jit

_BITS = 256
_WORD = ir.IntType(64)


def piece(function, fast=True):
    """A function that is put into the code of each kernel that calls it: a call takes longer than a row of eight."""
    made = jit(function, inner=True, fast=fast)
    made.targetoptions["forceinline"] = True
    return made


class Lanes(types.Type):
    """The type of a register of `dtype`s."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(name=f"lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = ir.DoubleType() if fe_type.dtype is types.float64 else ir.FloatType()
        super().__init__(dmm, fe_type, ir.VectorType(element, _BITS // fe_type.dtype.bitwidth))


def _pointer(context, builder, array_type, array, at, to):
    """array's address at `at`, as a pointer to `to`."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), to.as_pointer())


def _shuffle(builder, a, b, order):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))


def _pair(context, builder, signature, one, two):
    return context.make_tuple(builder, signature.return_type, (one, two))


# Memory: nothing is checked, and any alignment will do ----------------------------------------------------------


@intrinsic
def lanes_of(typing, array):
    """How many elements of the array's dtype a register holds: a constant in the compiled code."""
    count = _BITS // array.dtype.bitwidth
    return types.int64(array), lambda context, *_: ir.Constant(_WORD, count)


@intrinsic
def load(typing, array, at):
    """array[at : at + lanes]."""

    def emit(context, builder, signature, args):
        vector = context.get_value_type(signature.return_type)
        pointer = _pointer(context, builder, array, args[0], args[1], vector)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, types.int64), emit


@intrinsic
def load_every(typing, array, at, step):
    """array[at : at + step·lanes : step]; steps 1 and 2 take whole registers, others one element at a time."""

    def emit(context, builder, signature, args):
        vector = context.get_value_type(signature.return_type)
        data, at, step = args
        lanes, align = vector.count, array.dtype.bitwidth // 8

        def register(offset):
            place = builder.add(at, ir.Constant(_WORD, offset))
            return builder.load(_pointer(context, builder, array, data, place, vector), align=align)

        def pairs():
            # The second register ends with the last element that is wanted: the array may end there.
            order = [*range(0, lanes, 2), *range(lanes + 1, 2 * lanes, 2)]
            return _shuffle(builder, register(0), register(lanes - 1), order)

        def elements():
            value, place = ir.Constant(vector, ir.Undefined), at
            for lane in range(lanes):
                number = builder.load(_pointer(context, builder, array, data, place, vector.element))
                value = builder.insert_element(value, number, ir.Constant(ir.IntType(32), lane))
                place = builder.add(place, step)
            return value

        blocks = [builder.append_basic_block(f"every.{name}") for name in ("one", "two", "any", "done")]
        choice = builder.switch(step, blocks[2])
        choice.add_case(1, blocks[0])
        choice.add_case(2, blocks[1])
        values = []
        for block, make in zip(blocks, (lambda: register(0), pairs, elements), strict=False):
            builder.position_at_end(block)
            values.append(make())
            builder.branch(blocks[3])
        builder.position_at_end(blocks[3])
        found = builder.phi(vector)
        for value, block in zip(values, blocks, strict=False):
            found.add_incoming(value, block)
        return found

    return Lanes(array.dtype)(array, types.int64, types.int64), emit


@intrinsic
def store(typing, array, at, value):
    """array[at : at + lanes] = value."""

    def emit(context, builder, signature, args):
        pointer = _pointer(context, builder, array, args[0], args[1], args[2].type)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.int64, value), emit


@intrinsic
def move(typing, source, at, to, to_at, count):
    """to[to_at : to_at + count] = source[at : at + count]; the last two registers of a row may overlap."""
    # A call of the C library's memcpy takes longer than a row: 20 ns against 5 for 28 float32.

    def emit(context, builder, signature, args):
        source_v, at, to_v, to_at, count = args
        vector = context.get_value_type(Lanes(source.dtype))
        align, lanes, zero = (
            source.dtype.bitwidth // 8,
            ir.Constant(_WORD, vector.count),
            ir.Constant(_WORD, 0),
        )

        def copy(i, unit):
            value = builder.load(
                _pointer(context, builder, source, source_v, builder.add(at, i), unit), align=align
            )
            builder.store(
                value, _pointer(context, builder, to, to_v, builder.add(to_at, i), unit), align=align
            )

        with builder.if_else(builder.icmp_signed("<", count, lanes)) as (short, long):
            with short, cgutils.for_range(builder, count) as loop:
                copy(loop.index, vector.element)
            with long:
                last = builder.sub(count, lanes)
                with cgutils.for_range_slice(builder, zero, last, lanes) as (i, _):
                    copy(i, vector)
                copy(last, vector)
        return context.get_dummy_value()

    return types.void(source, types.int64, to, types.int64, types.int64), emit


# Arithmetic -----------------------------------------------------------------------------------------------------


@intrinsic
def splat(typing, array, number):
    """`number` in every lane, in the array's dtype."""

    def emit(context, builder, signature, args):
        vector = context.get_value_type(signature.return_type)
        scalar = context.cast(builder, args[1], number, array.dtype)
        one = builder.insert_element(
            ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
        )
        return _shuffle(builder, one, one, [0] * vector.count)

    return Lanes(array.dtype)(array, number), emit


@intrinsic
def plus(typing, a, b):
    """a + b."""
    return a(a, b), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def minus(typing, a, b):
    """a − b."""
    return a(a, b), lambda context, builder, signature, args: builder.fsub(*args)


@intrinsic
def times(typing, a, b):
    """a · b."""
    return a(a, b), lambda context, builder, signature, args: builder.fmul(*args)


@intrinsic
def divide(typing, a, b):
    """a / b."""
    return a(a, b), lambda context, builder, signature, args: builder.fdiv(*args)


# Choosing -------------------------------------------------------------------------------------------------------


@intrinsic
def larger(typing, held, value):
    """The larger of two; of equals `held`; NaN wins, and the first one stays."""

    def emit(context, builder, signature, args):
        held, value = args
        most = builder.select(builder.fcmp_ordered(">", value, held), value, held)
        return builder.select(builder.fcmp_unordered("uno", value, value), value, most)

    return held(held, value), emit


@intrinsic
def winner(typing, held, value, choice, other):
    """(larger(held, value), `other` where that is `value`, else `choice`)."""

    def emit(context, builder, signature, args):
        held, value, choice, other = args
        beats = builder.fcmp_unordered(">", value, held)  # or one of them is NaN
        wins = builder.and_(beats, builder.fcmp_ordered("ord", held, held))
        return _pair(
            context,
            builder,
            signature,
            builder.select(wins, value, held),
            builder.select(wins, other, choice),
        )

    return types.UniTuple(held, 2)(held, value, choice, other), emit


# Order ----------------------------------------------------------------------------------------------------------


@intrinsic
def unzip(typing, a, b):
    """Of the row (a, b): the elements at even places, and those at odd ones."""

    def emit(context, builder, signature, args):
        lanes = args[0].type.count
        return _pair(
            context, builder, signature,
            _shuffle(builder, *args, list(range(0, 2 * lanes, 2))),
            _shuffle(builder, *args, list(range(1, 2 * lanes, 2))),
        )  # fmt: skip

    return types.UniTuple(a, 2)(a, b), emit


@intrinsic
def interleave(typing, a, b):
    """unzip's inverse: the row a₀ b₀ a₁ b₁ … in two registers."""

    def emit(context, builder, signature, args):
        lanes = args[0].type.count
        order = [i // 2 + lanes * (i % 2) for i in range(2 * lanes)]
        return _pair(
            context, builder, signature,
            _shuffle(builder, *args, order[:lanes]), _shuffle(builder, *args, order[lanes:]),
        )  # fmt: skip

    return types.UniTuple(a, 2)(a, b), emit


@intrinsic
def shifted(typing, value, first):
    """value moved up by one lane, behind the first lane of `first`."""

    def emit(context, builder, signature, args):
        lanes = args[0].type.count
        return _shuffle(builder, *args, [lanes, *range(lanes - 1)])

    return value(value, first), emit
