"""A loop as a kernel: LLVM's language for it, of the signature of all kernels, void(int64 *arguments, int64 task)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir

from autograd_core.compiler.arithmetic import Arithmetic, Code, llvm_type
from autograd_core.compiler.graph import Reduce, Scalar, View
from autograd_core.compiler.loops import COLUMNS, Loop
from autograd_core.kernels.vector import BITS

_WIDTH = 8  # numbers in a register; LLVM takes two where that is more than the processor has
_LONG = 128  # elements along the lanes from which 16 numbers leave few for the end that is done one by one
_UNROLL = 4  # registers that a sum is kept in, so that additions need not wait for each other
_BLOCK = (
    1 << 12
)  # elements of a long sum that are added before the result is added, in float64, to those before
_ROWS = 1 << 8  # the same where lanes run across the sums
_WORD = ir.IntType(64)
_BYTE = ir.IntType(8)


def word(number: int) -> ir.Constant:
    return ir.Constant(_WORD, number)


def width_of(loop: Loop) -> int:
    """Numbers in a register: 16 in vectors of 512 bits, where the axis that the lanes lie along is a multiple or long.

    x·sigmoid(x)·y of 512×1024 takes 0.39 ms with them, 0.53 with 8; softmax 0.46 and 0.59.
    """
    if BITS < 512 or not loop.sizes:
        return _WIDTH
    size = loop.sizes[loop.outer - 1 if loop.across else -1]
    return 2 * _WIDTH if size % (2 * _WIDTH) == 0 or size >= _LONG else _WIDTH


def in_blocks(loop: Loop) -> bool:
    """Whether the loop's sums are long: added one by one, 2²⁴ float32 numbers 0.1 would be off by 2.5e-3."""
    inner = loop.sizes[loop.outer :]
    if not loop.group.reduced:
        return False
    if loop.across:
        return inner[-1] >= 2 * _ROWS
    return inner[-1] >= 2 * _BLOCK or (inner[-1] >= _BLOCK // 16 and math.prod(inner) >= 32 * _BLOCK)


def structure(loop: Loop) -> str:
    """All that the code depends on, as text: loops with equal texts are one kernel."""
    lines = [
        f"outer {loop.outer}, inner {len(loop.sizes) - loop.outer}, {'across' if loop.across else 'along'}, "
        f"{width_of(loop)} lanes{', in blocks' if in_blocks(loop) else ''}"
    ]
    for number, reference in enumerate(loop.references):
        kinds = "".join(_kind(loop, number, axis) for axis in range(len(loop.sizes)))
        lines.append(f"@{number} {reference.dtype.str} {kinds}")
    for number, item in enumerate(loop.group.items):
        operands = []
        for position, operand in enumerate(item.operands):
            if isinstance(operand, Scalar):
                operands.append(f"#{loop.numbers[number, position]}:{operand.dtype.str}")
            elif operand.value in loop.group.made:
                operands.append(f"%{list(loop.group.made).index(operand.value)}")
            else:
                operands.append(f"@{loop.loads[number, position]}")
        how = "fold " if isinstance(item.node, Reduce) else "each " if item.outer else ""
        stored = f" → @{loop.stores[number]}" if number in loop.stores else ""
        kind = item.node.out.dtype.str
        lines.append(
            f"%{number} = {how}{item.node.function}({', '.join(operands)}) {kind} in {loop.phases[number]}{stored}"
        )
    return "\n".join(lines)


def _kind(loop: Loop, reference: int, axis: int) -> str:
    """0: the axis is not walked; 1: elements lie side by side; s: a stride that is known when it runs."""
    stride = loop.references[reference].strides[axis]
    lanes = loop.outer - 1 if loop.across else len(loop.sizes) - 1
    return "0" if stride == 0 else "1" if stride == 1 and axis == lanes else "s"


def words(loop: Loop, address: Callable[[Any], int]) -> tuple[list[int], list[tuple[int, int]]]:
    """The argument block, and which word holds the address of which reference."""
    block = [loop.share, *loop.sizes]
    places = []
    for number, reference in enumerate(loop.references):
        places.append((len(block), number))
        block.append(address(reference))
        block += [s for axis, s in enumerate(reference.strides) if _kind(loop, number, axis) == "s"]
    for scalar in loop.scalars:
        raw = np.zeros(8, np.uint8)
        bits = np.asarray([scalar.number], scalar.dtype).view(np.uint8)
        raw[: bits.size] = bits
        block.append(int(raw.view(np.int64)[0]))
    return block, places


def emit(loop: Loop, name: str, module: ir.Module) -> None:
    """Add the kernel to a module."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_WORD, _WORD]), name)
    _Kernel(loop, function).write()


class _Kernel:
    def __init__(self, loop: Loop, function: ir.Function) -> None:
        self.loop = loop
        self.function = function
        self.width = width_of(loop)
        self.b = ir.IRBuilder(function.append_basic_block("entry"))
        self.items = loop.group.items
        self.index = {item.node.out: number for number, item in enumerate(self.items)}
        self.last_phase = max(loop.phases, default=0)

    # The frame -------------------------------------------------------------------------------------------------

    def write(self) -> None:
        b, loop = self.b, self.loop
        block = b.inttoptr(self.function.args[0], _WORD.as_pointer())
        at = iter(range(1 << 20))

        def following() -> Code:
            return b.load(b.gep(block, [word(next(at))]))

        share, self.sizes = following(), [following() for _ in loop.sizes]
        self.bases, self.strides = [], []
        for number, reference in enumerate(loop.references):
            base = following()
            strides = []
            for axis in range(len(loop.sizes)):
                kind = _kind(loop, number, axis)
                size = reference.dtype.itemsize
                strides.append(
                    b.mul(following(), word(size)) if kind == "s" else word(0 if kind == "0" else size)
                )
            self.bases.append(base)
            self.strides.append(strides)
        self.scalars = [self._number(following(), scalar) for scalar in loop.scalars]
        self.fixed = {
            number: self._load_one(number, self.bases[number])
            for number in set(loop.loads.values())
            if not any(loop.references[number].strides)
        }
        task = self.function.args[1]
        first = b.mul(task, share)
        self._units(first, b.add(first, share))
        b.ret_void()

    def _number(self, bits: Code, scalar: Scalar) -> Code:
        kind = llvm_type(scalar.dtype)
        whole = ir.IntType(8 * scalar.dtype.itemsize)
        bits = self.b.trunc(bits, whole) if whole.width < 64 else bits
        if scalar.dtype.kind == "f":
            return self.b.bitcast(bits, kind)
        return self.b.trunc(bits, kind) if scalar.dtype.kind == "b" else bits

    def _units(self, first: Code, past: Code) -> None:
        """All of a task's units of work."""
        b, loop = self.b, self.loop
        if loop.outer == 0 and not loop.group.reduced:
            end = self._least(past, self.sizes[0] if self.sizes else word(1))
            self._inner(self.bases, first, end)
            return
        count = word(1)
        sizes = self.sizes[: loop.outer]
        if loop.across:
            blocks = b.udiv(b.add(sizes[-1], word(COLUMNS - 1)), word(COLUMNS))
            sizes = [*sizes[:-1], blocks]
        for size in sizes:
            count = b.mul(count, size)
        with self._range(first, self._least(past, count), word(1)) as unit:
            bases, rest, last = list(self.bases), unit, unit
            for axis in reversed(range(loop.outer)):
                size = sizes[axis]
                here = rest if axis == 0 else b.urem(rest, size)
                rest = b.udiv(rest, size) if axis else rest
                if loop.across and axis == loop.outer - 1:
                    last = b.mul(here, word(COLUMNS))
                    continue
                bases = self._moved(bases, axis, here)
            if loop.across:
                self._columns(bases, last)
            else:
                self._inner(bases, word(0), self.sizes[-1] if len(self.sizes) > loop.outer else word(1))

    def _moved(self, bases: list[Code], axis: int, index: Code) -> list[Code]:
        return [
            base if self.loop.references[n].strides[axis] == 0
            else self.b.add(base, self.b.mul(index, self.strides[n][axis]))
            for n, base in enumerate(bases)
        ]  # fmt: skip

    def _least(self, x: Code, y: Code) -> Code:
        return self.b.select(self.b.icmp_signed("<", x, y), x, y)

    @contextmanager
    def _range(self, start: Code, stop: Code, step: Code) -> Iterator[Code]:
        """A loop over start, start + step, … below stop."""
        b = self.b
        before = b.block
        body, after = self.function.append_basic_block("body"), self.function.append_basic_block("after")
        b.cbranch(b.icmp_signed("<", start, stop), body, after)
        b.position_at_end(body)
        index = b.phi(_WORD)
        index.add_incoming(start, before)
        yield index
        following = b.add(index, step)
        index.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, stop), body, after)
        b.position_at_end(after)

    # Passes over the inner axes --------------------------------------------------------------------------------

    def _inner(self, bases: list[Code], first: Code, past: Code) -> None:
        """All passes for one outer index, lanes along the last inner axis from `first` to `past`."""
        outer: dict[int, Code] = {}
        full = self.b.add(first, self.b.and_(self.b.sub(past, first), word(-self.width)))
        for phase in range(self.last_phase + 1):
            folds = self._folds(phase)
            cells = [self._cell(number, 1) for number in folds]
            if self._works(phase):
                self._pass(bases, outer, phase, folds, cells, first, full, past)
            for number, cell in zip(folds, cells, strict=True):
                outer[number] = self.b.load(cell)
            self._after(bases, outer, phase, 1)

    def _pass(self, bases, outer, phase, folds, cells, first, full, past) -> None:
        b = self.b
        wide = [[self._cell(number, self.width) for _ in range(_UNROLL if folds else 1)] for number in folds]
        sums = {n: self._sum_cell(1) for n in folds if self._is_long_sum(n)}
        with self._nest(bases) as inner:
            axis = len(self.sizes) - 1
            if folds:
                stop = b.add(first, b.and_(b.sub(full, first), word(-self.width * _UNROLL)))
                parts, step = dict(zip(folds, wide, strict=True)), self.width * _UNROLL
                with self._walk(first, stop, step, _BLOCK, sums, parts) as i:
                    for k in range(_UNROLL):
                        here = self._moved(inner, axis, b.add(i, word(k * self.width)))
                        self._body(here, outer, phase, self.width, [each[k] for each in wide])
            else:
                stop = first
            with self._range(stop, full, word(self.width)) as i:
                self._body(self._moved(inner, axis, i), outer, phase, self.width, [each[0] for each in wide])
            with self._range(full, past, word(1)) as i:
                self._body(self._moved(inner, axis, i), outer, phase, 1, cells)
        for number, cell, parts in zip(folds, cells, wide, strict=True):
            self._gather(number, cell, parts)
        self._fold_sums(sums, dict(zip(folds, cells, strict=True)), 1)

    def _is_long_sum(self, number: int) -> bool:
        node = self.items[number].node
        return in_blocks(self.loop) and node.function == "add" and node.out.dtype.kind == "f"

    def _sum_cell(self, width: int) -> Code:
        arithmetic = Arithmetic(self.b, width)
        with self.b.goto_entry_block():
            cell = self.b.alloca(arithmetic.type(ir.DoubleType()))
        self.b.store(arithmetic.number(ir.DoubleType(), -0.0), cell)
        return cell

    @contextmanager
    def _walk(
        self,
        first: Code,
        stop: Code,
        step: int,
        size: int,
        sums: dict[int, Code],
        parts: dict[int, list[Code]],
    ) -> Iterator[Code]:
        """A loop over first, first + step, … below stop. Of long sums, after each block of so many indices what the
        `parts` hold is added to `sums`, in float64.
        """
        if not sums:
            with self._range(first, stop, word(step)) as i:
                yield i
            return
        b, double = self.b, np.dtype(np.float64)
        with self._range(first, stop, word(size)) as begin:
            with self._range(begin, self._least(b.add(begin, word(size)), stop), word(step)) as i:
                yield i
            for number, total in sums.items():
                dtype, cells = self.items[number].node.out.dtype, parts[number]
                several = len(cells) > 1
                value = self._together(number, cells) if several else b.load(cells[0])
                width = 1 if several else self._lanes(value)
                wide = Arithmetic(b, width).cast(value, dtype, double)
                b.store(b.fadd(b.load(total), wide), total)
                zero = Arithmetic(b, self.width if several else width).number(llvm_type(dtype), -0.0)
                for part in cells:
                    b.store(zero, part)

    def _fold_sums(self, sums: dict[int, Code], cells: dict[int, Code], width: int) -> None:
        """Add the sums of all blocks to the folds' cells."""
        for number, total in sums.items():
            dtype = self.items[number].node.out.dtype
            value = Arithmetic(self.b, width).cast(self.b.load(total), np.dtype(np.float64), dtype)
            self._fold(number, cells[number], value, width)

    @staticmethod
    def _lanes(value: Code) -> int:
        return value.type.count if isinstance(value.type, ir.VectorType) else 1

    @contextmanager
    def _nest(self, bases: list[Code]) -> Iterator[list[Code]]:
        """The loops over all inner axes but the last one."""
        axes = range(self.loop.outer, len(self.sizes) - 1)
        managers = []
        for axis in axes:
            manager = self._range(word(0), self.sizes[axis], word(1))
            index = manager.__enter__()
            managers.append(manager)
            bases = self._moved(bases, axis, index)
        yield bases
        for manager in reversed(managers):
            manager.__exit__(None, None, None)

    def _columns(self, bases: list[Code], start: Code) -> None:
        """Lanes along the last outer axis: all passes for so many outer indices at once, then for the rest singly."""
        b, axis = self.b, self.loop.outer - 1
        stop = self._least(b.add(start, word(COLUMNS)), self.sizes[axis])
        full = b.add(start, b.and_(b.sub(stop, start), word(-self.width)))
        for width, first, past in ((self.width, start, full), (1, full, stop)):
            with self._range(first, past, word(width)) as j:
                here = self._moved(bases, axis, j)
                outer: dict[int, Code] = {}
                for phase in range(self.last_phase + 1):
                    folds = self._folds(phase)
                    cells = [self._cell(number, width) for number in folds]
                    if self._works(phase):
                        self._rows(here, outer, phase, width, cells)
                    for number, cell in zip(folds, cells, strict=True):
                        outer[number] = b.load(cell)
                    self._after(here, outer, phase, width)

    def _rows(self, bases, outer, phase, width, cells) -> None:
        """One pass over the inner axes for the outer indices in the lanes."""
        last, folded = len(self.sizes) - 1, dict(zip(self._folds(phase), cells, strict=True))
        sums = {n: self._sum_cell(width) for n in folded if self._is_long_sum(n)}
        with self._nest(bases) as inner:
            parts = {n: [cell] for n, cell in folded.items()}
            with self._walk(word(0), self.sizes[last], 1, _ROWS, sums, parts) as i:
                self._body(self._moved(inner, last, i), outer, phase, width, cells)
        self._fold_sums(sums, folded, width)

    def _folds(self, phase: int) -> list[int]:
        return [
            n for n, i in enumerate(self.items) if isinstance(i.node, Reduce) and self.loop.phases[n] == phase
        ]

    def _works(self, phase: int) -> bool:
        """Whether anything is folded or stored in a pass."""
        return bool(self._folds(phase)) or any(
            not self.items[n].outer and self.loop.phases[n] == phase for n in self.loop.stores
        )

    # Folding ---------------------------------------------------------------------------------------------------

    def _cell(self, number: int, width: int) -> Code:
        """A place on the stack (LLVM keeps it in a register) that starts as the fold's neutral element."""
        node = self.items[number].node
        arithmetic = Arithmetic(self.b, width)
        one = llvm_type(node.out.dtype)
        with self.b.goto_entry_block():
            cell = self.b.alloca(arithmetic.type(one))
        self.b.store(arithmetic.number(one, neutral(node.function, node.out.dtype)), cell)
        return cell

    def _fold(self, number: int, cell: Code, value: Code, width: int) -> None:
        node = self.items[number].node
        kind = node.out.dtype
        made = Arithmetic(self.b, width).compute(
            node.function, [self.b.load(cell), value], [kind, kind], kind
        )
        self.b.store(made, cell)

    def _gather(self, number: int, cell: Code, parts: list[Code]) -> None:
        """All lanes of all parts into one number, folded into the cell."""
        self._fold(number, cell, self._together(number, parts), 1)

    def _together(self, number: int, parts: list[Code]) -> Code:
        """All lanes of all parts as one number, always in the same order."""
        b, node = self.b, self.items[number].node
        kind = node.out.dtype
        total = b.load(parts[0])
        wide = Arithmetic(b, self.width)
        for part in parts[1:]:
            total = wide.compute(node.function, [total, b.load(part)], [kind, kind], kind)
        width = self.width
        while width > 1:
            width //= 2
            halves = []
            for start in (0, width):
                order = ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(start, start + width)))
                halves.append(b.shuffle_vector(total, ir.Constant(total.type, ir.Undefined), order))
            if width == 1:
                halves = [b.extract_element(half, ir.Constant(ir.IntType(32), 0)) for half in halves]
            total = Arithmetic(b, width).compute(node.function, halves, [kind, kind], kind)
        return total

    def _after(self, bases: list[Code], outer: dict[int, Code], phase: int, width: int) -> None:
        """What is computed of sums when a pass is done, and what of it is stored."""
        ready = self._ready()
        for number, item in enumerate(self.items):
            if not item.outer:
                continue
            if not isinstance(item.node, Reduce):
                # A map of outer values belongs behind the pass before the first one that can use it.
                if max(0, self.loop.phases[number] - 1) != phase:
                    continue
                outer[number] = self._computed(number, bases, outer, ready, phase, width, {})
            elif self.loop.phases[number] != phase:
                continue
            if number in self.loop.stores:
                self._store(self.loop.stores[number], bases, outer[number], width)

    def _ready(self) -> dict[int, int]:
        return {n: self.loop.phases[n] for n in range(len(self.items))}

    # The body --------------------------------------------------------------------------------------------------

    def _body(
        self, bases: list[Code], outer: dict[int, Code], phase: int, width: int, cells: list[Code]
    ) -> None:
        """One register of indices in one pass: what is stored in it and what is folded."""
        known: dict[int, Code] = {}
        ready = self._ready()
        # All is computed before anything is stored: a result may lie where an operand lies.
        made = {
            reference: self._value(number, bases, outer, ready, phase, width, known)
            for number, reference in self.loop.stores.items()
            if not self.items[number].outer and self.loop.phases[number] == phase
        }
        for number, cell in zip(self._folds(phase), cells, strict=True):
            value = self._operand(number, 0, bases, outer, ready, phase, width, known)
            self._fold(number, cell, value, width)
        for reference, value in made.items():
            self._store(reference, bases, value, width)

    def _value(self, number, bases, outer, ready, phase, width, known) -> Code:
        if number not in known:
            if self.items[number].outer:
                value = outer[number]
                known[number] = (
                    value if self._lanes(value) == width else Arithmetic(self.b, width).splat(value)
                )
            elif self.loop.phases[number] < phase and number in self.loop.stores:
                known[number] = self._load(self.loop.stores[number], bases, width)
            else:
                known[number] = self._computed(number, bases, outer, ready, phase, width, known)
        return known[number]

    def _computed(self, number, bases, outer, ready, phase, width, known) -> Code:
        item = self.items[number]
        values = [
            self._operand(number, position, bases, outer, ready, phase, width, known)
            for position in range(len(item.operands))
        ]
        kinds = [operand.dtype for operand in item.operands]
        return Arithmetic(self.b, width).compute(item.node.function, values, kinds, item.node.out.dtype)

    def _operand(self, number, position, bases, outer, ready, phase, width, known) -> Code:
        operand = self.items[number].operands[position]
        if isinstance(operand, Scalar):
            return Arithmetic(self.b, width).splat(self.scalars[self.loop.numbers[number, position]])
        if operand.value in self.index:
            return self._value(self.index[operand.value], bases, outer, ready, phase, width, known)
        reference = self.loop.loads[number, position]
        if ("load", reference) not in known:
            known["load", reference] = self._load(reference, bases, width)
        return known["load", reference]

    # Memory ----------------------------------------------------------------------------------------------------

    def _load(self, reference: int, bases: list[Code], width: int) -> Code:
        b, arithmetic = self.b, Arithmetic(self.b, width)
        if reference in self.fixed:
            return arithmetic.splat(self.fixed[reference])
        axis = self._lanes_axis()
        kind = _kind(self.loop, reference, axis) if axis is not None else "0"
        if width == 1 or kind == "0":
            return arithmetic.splat(self._load_one(reference, bases[reference]))
        dtype = self.loop.references[reference].dtype
        if kind == "1":
            held = ir.VectorType(_memory_type(dtype), width)
            value = b.load(b.inttoptr(bases[reference], held.as_pointer()), align=dtype.itemsize)
            return self._truth(value, width) if dtype.kind == "b" else value
        value = ir.Constant(ir.VectorType(llvm_type(dtype), width), ir.Undefined)
        for lane in range(width):
            address = b.add(bases[reference], b.mul(self.strides[reference][axis], word(lane)))
            value = b.insert_element(
                value, self._load_one(reference, address), ir.Constant(ir.IntType(32), lane)
            )
        return value

    def _lanes_axis(self) -> int | None:
        if not self.sizes:
            return None
        return self.loop.outer - 1 if self.loop.across else len(self.sizes) - 1

    def _load_one(self, reference: int, address: Code) -> Code:
        dtype = self.loop.references[reference].dtype
        value = self.b.load(self.b.inttoptr(address, _memory_type(dtype).as_pointer()), align=dtype.itemsize)
        return self._truth(value, 1) if dtype.kind == "b" else value

    def _truth(self, value: Code, width: int) -> Code:
        return self.b.icmp_unsigned("!=", value, Arithmetic(self.b, width).number(_BYTE, 0))

    def _store(self, reference: int, bases: list[Code], value: Code, width: int) -> None:
        b, dtype = self.b, self.loop.references[reference].dtype
        if dtype.kind == "b":
            value = b.zext(value, Arithmetic(b, width).type(_BYTE))
        axis = self._lanes_axis()
        if width == 1 or axis is None or _kind(self.loop, reference, axis) == "1":
            b.store(value, b.inttoptr(bases[reference], value.type.as_pointer()), align=dtype.itemsize)
            return
        for lane in range(width):
            address = b.add(bases[reference], b.mul(self.strides[reference][axis], word(lane)))
            one = b.extract_element(value, ir.Constant(ir.IntType(32), lane))
            b.store(one, b.inttoptr(address, one.type.as_pointer()), align=dtype.itemsize)


def _memory_type(dtype: np.dtype[Any]) -> ir.Type:
    return _BYTE if dtype.kind == "b" else llvm_type(dtype)


def neutral(function: str, dtype: np.dtype[Any]) -> Any:
    """What changes nothing in a fold. A sum starts at −0, to which 0 may be added without a change of sign."""
    if function == "add":
        return -0.0 if dtype.kind == "f" else 0
    if function == "multiply":
        return 1
    if dtype.kind == "f":
        return -np.inf if function == "maximum" else np.inf
    if dtype.kind == "b":
        return function == "minimum"
    limits = np.iinfo(dtype)
    return int(limits.min if function == "maximum" else limits.max)


__all__ = ["View", "emit", "structure", "words"]
