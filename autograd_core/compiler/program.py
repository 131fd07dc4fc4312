"""From a graph to a program: nodes that matter, fused, given memory, and written down as rows for kernels/replay.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd_core.compiler import memory
from autograd_core.compiler.again import compute_again
from autograd_core.compiler.codegen import kernel_of
from autograd_core.compiler.direct import without_copies
from autograd_core.compiler.emit import words
from autograd_core.compiler.endings import with_endings
from autograd_core.compiler.fuse import Group, Item, Step, fuse, uses
from autograd_core.compiler.graph import (
    Assemble,
    Call,
    Graph,
    Kernels,
    Map,
    Node,
    Operand,
    Product,
    Value,
    View,
    broadcast,
    lying,
    row_major,
    whole,
)
from autograd_core.compiler.loops import Loop, loop_of
from autograd_core.compiler.lower import Lowered
from autograd_core.kernels import products
from autograd_core.kernels.launch import words_of
from autograd_core.kernels.replay import FIELDS
from autograd_core.ops.matmul import blocks_of


@dataclass(slots=True, eq=False)
class Instruction:
    """One row of the program: a kernel's name and argument block, or a call of Python."""

    name: str
    origin: int
    address: int
    block: list[int]
    places: list[tuple[int, Value, int]]  # words of the block that hold a value's address, and bytes further
    tasks: int
    reads: list[Value]
    writes: list[Value]
    call: Call | None = None
    loop: Loop | None = None
    ending: int = -1

    @property
    def origins(self) -> list[int]:
        """The captured operations whose work it does; -1 for what stands for none."""
        if self.loop is not None:
            return [item.node.origin for item in self.loop.group.items]
        return [self.origin] if self.ending < 0 else [self.origin, self.ending]


@dataclass(slots=True, eq=False)
class Program:
    """Instructions with their memory. `slots` are the values that lie outside: sources, results, new states."""

    instructions: list[Instruction]
    rows: np.ndarray[Any, Any]
    table: np.ndarray[Any, Any]  # all argument blocks
    arena: memory.Arena
    room: np.ndarray[Any, Any]
    offsets: dict[Value, int]
    positions: dict[Value, list[tuple[int, int]]]  # of the values outside: word of the table, bytes further
    addresses: dict[Value, int] = field(default_factory=dict)

    def bind(self, value: Value, address: int) -> None:
        """Say where a value that lies outside is to be found."""
        if self.addresses.get(value) != address:
            self.addresses[value] = address
            for at, further in self.positions.get(value, ()):
                self.table[at] = address + further

    def inside(self, value: Value) -> np.ndarray[Any, Any]:
        """A value of the arena, as an array."""
        at = self.offsets[value]
        return self.room[at : at + value.nbytes].view(value.dtype).reshape(value.shape)


def alive(graph: Graph, roots: Sequence[Value]) -> list[Node]:
    """The nodes that the roots depend on, in order."""
    wanted = set(roots)
    found: list[Node] = []
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(made_by(node)):
            found.append(node)
            wanted.update(view.value for view in node.reads())
    return found[::-1]


def made_by(node: Node) -> list[Value]:
    """What the node writes: its result, and scratch memory that others may read."""
    return [node.out, *node.launched.scratch] if isinstance(node, Kernels) else [node.out]


def build(lowered: Lowered, roots: Sequence[Value], homes: dict[Value, Value]) -> Program:
    """The program that computes the roots. `homes`: roots that are to be the next contents of a source.

    A root is written straight into its home where nothing reads the home's old content later, and nothing can raise
    any more; else it is copied at the end.
    """
    nodes = with_endings(alive(lowered.graph, roots), roots, lowered.launches)
    steps = fuse(without_copies(nodes, set(roots) - set(homes)))
    compute_again(steps, set(roots), lowered.graph)
    outside = set(roots)
    aliases, copies = _settled(steps, homes)
    for root, home in copies:
        outside.discard(root)
        steps.append(_copying(len(steps), whole(root), home))
    outside.update(home for _, home in copies)
    return _Builder(steps, outside, aliases).program()


def _settled(
    steps: list[Step], homes: dict[Value, Value]
) -> tuple[dict[Value, Value], list[tuple[Value, Value]]]:
    """Which roots may be written to their homes at once (root → home), and which are copied there at the end."""
    made_in = {}
    for number, step in enumerate(steps):
        for out in step.made if isinstance(step, Group) else made_by(step):
            made_in[out] = number
    readers = uses(steps)
    calls = max((number for number, step in enumerate(steps) if isinstance(step, Call)), default=-1)
    aliases: dict[Value, Value] = {}
    copies: list[tuple[Value, Value]] = []
    for root, home in homes.items():
        at = made_in[root]
        if at > calls and all(
            reader < at or (reader == at and _reads_in_step(steps[at], root, home))
            for reader in readers.get(home, ())
        ):
            aliases[root] = home
        else:
            copies.append((root, home))
    return aliases, copies


def _reads_in_step(step: Step, root: Value, home: Value) -> bool:
    """Whether a group reads the home only at the index at which it writes the root."""
    if not isinstance(step, Group) or step.reduced or step.made[root].outer:
        return False
    own = row_major(step.space)
    return all(
        operand.offset == 0 and operand.strides == own
        for item in step.items
        for operand in item.operands
        if isinstance(operand, View) and operand.value is home
    )


def _check_order(steps: list[Step]) -> None:
    """RuntimeError for a step that would read memory that no step before it has written."""
    written: set[Value] = set()
    for step in steps:
        reads = step.reads() if isinstance(step, Group) else [view.value for view in step.reads()]
        for value in reads:
            if value.node is not None and value not in written:
                name = (
                    " · ".join(item.node.function for item in step.items) if isinstance(step, Group) else step
                )
                raise RuntimeError(
                    f"the compiler made a wrong program: {name} reads {value} before it is computed. Please report "
                    "this function; ag.compile can be left out meanwhile"
                )
        written.update(step.made if isinstance(step, Group) else made_by(step))


def _copying(number: int, operand: Operand, into: Value, place: View | None = None) -> Group:
    """A group that copies an operand into a value, or a part of one."""
    shape = place.shape if place else into.shape
    out = into if place is None else Value(-1, shape, into.dtype)
    group = Group(number, shape)
    seen = broadcast(operand, shape) if isinstance(operand, View) else operand
    group.add(Item(Map(out, -1, "copy", (seen,)), False, (seen,)))
    return group


class _Builder:
    def __init__(self, steps: list[Step], outside: set[Value], aliases: dict[Value, Value]) -> None:
        self.steps = steps
        self.outside = outside
        self.aliases = aliases
        self.readers = uses(steps)
        self.instructions: list[Instruction] = []
        self.scratches = 0

    def program(self) -> Program:
        _check_order(self.steps)
        for step in self.steps:
            if isinstance(step, Group):
                self._group(step)
            elif isinstance(step, Product):
                self._product(step)
            elif isinstance(step, Assemble):
                self._assemble(step)
            elif isinstance(step, Kernels):
                self._kernels(step)
            else:
                assert isinstance(step, Call)
                self._call(step)
        return self._placed()

    def _home(self, value: Value) -> Value:
        return self.aliases.get(value, value)

    def _needed(self, value: Value) -> bool:
        return value in self.outside or bool(self.readers.get(value))

    # One step each ---------------------------------------------------------------------------------------------

    def _group(self, group: Group, place: View | None = None, always: bool = False) -> None:
        loop = loop_of(group, (lambda _: True) if always else self._needed, place)
        block, found = words(loop, lambda reference: 0)
        made = [
            (
                at,
                self._home(loop.references[n].value),
                loop.references[n].offset * loop.references[n].dtype.itemsize,
            )
            for at, n in found
        ]
        stored = set(loop.stores.values())
        writes = [self._home(loop.references[n].value) for n in sorted(stored)]
        reads = [self._home(r.value) for n, r in enumerate(loop.references) if n not in stored]
        name = " · ".join(dict.fromkeys(item.node.function for item in group.items))
        kernel = kernel_of(loop)
        origin = group.items[0].node.origin
        self.instructions.append(
            Instruction(name, origin, kernel.address, block, made, loop.tasks, reads, writes, loop=loop)
        )

    def _assemble(self, node: Assemble) -> None:
        if node.base is not None and not self._covers(node):
            self._group(_copying(-1, node.base, node.out), always=True)
        for source, place in node.pieces:
            group = _copying(-1, source, node.out, place)
            self._group(group, place, always=True)

    def _covers(self, node: Assemble) -> bool:
        return sum(math.prod(place.shape) for _, place in node.pieces) >= node.out.size

    def _product(self, node: Product) -> None:
        x, y = node.x, node.y
        lead, (m, k), n = x.shape[:-2], x.shape[-2:], y.shape[-1]
        batch = math.prod(lead)
        if batch == 1 and products.suits_tile(m, k, n, x.dtype):
            return self._small_product(node)
        parts, by_rows = blocks_of(lead, m, k, n)
        size = x.dtype.itemsize
        (x_turned, x_step), (y_turned, y_step) = _lying(x), _lying(y)
        rows, columns = (m, n) if batch > 1 else (-(-m // parts), n) if by_rows else (m, -(-n // parts))
        function = products.function_of(rows, k, columns, x_turned, y_turned, x.dtype)
        own = products.suits_own(rows, k, columns, x_turned, y_turned, x.dtype)
        parts = products.tasks_of(batch, m, k, n, parts, by_rows, own)
        block = [
            0, 0, 0, 0, function, size, batch, m, n, k, x_turned, y_turned, x_step,
            y_step, _batch_step(x), _batch_step(y), parts, by_rows,
        ]  # fmt: skip
        out = self._home(node.out)
        places = [
            (0, self._home(x.value), x.offset * size),
            (1, self._home(y.value), y.offset * size),
            (2, out, 0),
        ]
        address = products.products.compile(np.float64).address
        reads = [self._home(x.value), self._home(y.value)]
        name = f"product {m}×{k} · {k}×{n}" + (f" × {batch}" if batch > 1 else "")
        self.instructions.append(Instruction(name, node.origin, address, block, places, parts, reads, [out]))

    def _small_product(self, node: Product) -> None:
        x, y = node.x, node.y
        (m, k), n = x.shape[-2:], y.shape[-1]
        scratch = self._scratch(products.packed_size(m, k, x.dtype), node)
        tables = products.tables(m, k, x.strides[-2], x.strides[-1])
        kernel = products.small_product
        block = words_of(kernel.kinds[4:], (*tables, m, n, *y.strides[-2:]))
        sizes = [value for view in (x, y) for value in (0, view.value.size)]
        sizes += [0, node.out.size, 0, scratch.size]
        size = x.dtype.itemsize
        out = self._home(node.out)
        read = [self._home(x.value), self._home(y.value)]
        places = [(0, read[0], x.offset * size), (2, read[1], y.offset * size), (4, out, 0), (6, scratch, 0)]
        name = f"product {m}×{k} · {k}×{n}"
        address = kernel.compile(x.dtype).address
        self.instructions.append(
            Instruction(name, node.origin, address, sizes + block, places, 1, read, [out, scratch])
        )

    def _scratch(self, size: int, node: Node) -> Value:
        """Memory for one instruction."""
        self.scratches += 1
        return Value(-1 - self.scratches, (size,), node.out.dtype, node)

    def _call(self, node: Call) -> None:
        reads = [self._home(view.value) for view in node.inputs]
        name = f"Python: {node.primitive.name}"
        out = self._home(node.out)
        self.instructions.append(Instruction(name, node.origin, 0, [], [], 1, reads, [out], call=node))

    def _kernels(self, node: Kernels) -> None:
        for launch in node.launched.launches:
            places = [(s.word, self._home(s.owner), s.offset) for s in launch.stretches]
            touched = [value for _, value, _ in places]
            check = launch.tasks == 0
            if check:  # where it fails, Python computes all of it again
                touched += [self._home(view.value) for view in node.inputs] + [self._home(node.out)]
            call = node.call if check else None
            name = f"{node.call.primitive.name}: {launch.name}"
            self.instructions.append(
                Instruction(
                    name,
                    node.origin,
                    launch.address,
                    launch.block,
                    places,
                    launch.tasks,
                    touched,
                    touched,
                    call,
                    ending=node.ending,
                )
            )

    # Memory and rows -------------------------------------------------------------------------------------------

    def _placed(self) -> Program:
        lives = self._lives()
        shared = self._shared(lives)
        joint: dict[Value, tuple[int, int]] = {}
        for value, (first, last) in lives.items():
            holder = shared.get(value, value)
            begun, ended = joint.get(holder, (first, last))
            joint[holder] = (min(first, begun), max(last, ended))
        arena = memory.plan(
            memory.Life(v.number, v.nbytes, first, last) for v, (first, last) in joint.items()
        )
        room = memory.aligned(arena.nbytes)
        offsets = {value: arena.offsets[shared.get(value, value).number] for value in lives}
        starts, total = [], 0
        for instruction in self.instructions:
            starts.append(total)
            total += len(instruction.block)
        table = np.zeros(max(total, 1), np.int64)
        rows = np.zeros(FIELDS * len(self.instructions), np.int64)
        positions: dict[Value, list[tuple[int, int]]] = {}
        for i, (start, instruction) in enumerate(zip(starts, self.instructions, strict=True)):
            table[start : start + len(instruction.block)] = instruction.block
            rows[FIELDS * i : FIELDS * (i + 1)] = (
                instruction.address, table.ctypes.data + 8 * start, instruction.tasks,
            )  # fmt: skip
            for at, value, further in instruction.places:
                if value in offsets:
                    table[start + at] = room.ctypes.data + offsets[value] + further
                elif value.constant is not None:
                    table[start + at] = value.constant.ctypes.data + further
                else:
                    positions.setdefault(value, []).append((start + at, further))
        return Program(self.instructions, rows, table, arena, room, offsets, positions)

    def _lives(self) -> dict[Value, tuple[int, int]]:
        """The first and last instruction that each value of the arena is needed in."""
        lives: dict[Value, tuple[int, int]] = {}
        outside = {self._home(value) for value in self.outside}
        for i, instruction in enumerate(self.instructions):
            for value in [*instruction.writes, *instruction.reads]:
                if value in outside or value.node is None:
                    continue
                first, _ = lives.get(value, (i, i))
                lives[value] = (first, i)
        return lives

    def _shared(self, lives: dict[Value, tuple[int, int]]) -> dict[Value, Value]:
        """Values that are written in the place of one that is read for the last time, element by element."""
        shared: dict[Value, Value] = {}
        for i, instruction in enumerate(self.instructions):
            if instruction.loop is None:
                continue
            free = [v for v in _replaceable(instruction.loop) if v in lives and lives[v][1] == i]
            for value in _replacing(instruction.loop):
                if value not in lives or lives[value][0] != i:
                    continue
                place = next((v for v in free if v.nbytes == value.nbytes and v.dtype == value.dtype), None)
                if place is not None:
                    free.remove(place)
                    shared[value] = shared.get(place, place)
        return shared


def _replaceable(loop: Loop) -> list[Value]:
    """What a loop reads only at the index at which it writes, and not after it has written."""
    own = row_major(loop.group.space)
    found: dict[Value, bool] = {}
    for item, phase in zip(loop.group.items, loop.phases, strict=True):
        for operand in item.operands:
            if isinstance(operand, View) and operand.value not in loop.group.made:
                alike = operand.strides == own and operand.offset == 0 and phase == max(loop.phases)
                found[operand.value] = found.get(operand.value, True) and alike and not item.outer
    return [value for value, alike in found.items() if alike]


def _replacing(loop: Loop) -> list[Value]:
    """What a loop writes in full, in its last pass."""
    last = max(loop.phases)
    items = ((loop.group.items[n], loop.phases[n]) for n in loop.stores)
    return [item.node.out for item, phase in items if not item.outer and phase == last]


def _lying(view: View) -> tuple[int, int]:
    found = lying(view)
    assert found is not None  # lowering has copied all that lies otherwise
    return found


def _batch_step(view: View) -> int:
    """Elements from one matrix to the next."""
    lead = [stride for n, stride in zip(view.shape[:-2], view.strides[:-2], strict=True) if n != 1]
    return lead[-1] if lead else 0
