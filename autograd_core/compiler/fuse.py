"""Which nodes run in one loop: elementwise chains together with the reductions beside them.

A group walks over one space of indices, some axes of which may be reduced. Values in it are "full", one for each index,
or "outer", one for each index of the axes that stay: sums, and what is computed from them. So softmax, cross-entropy,
layer norm and both directions of batch norm are one group each.

Steps (groups and everything else) are numbered in the order in which they run, and a node may join a group only when
all that it reads comes from that group or from steps before it. So no cycle can arise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd_core.compiler.graph import Map, Node, Operand, Reduce, Scalar, Value, View, reshaped, row_major
from autograd_core.dtypes import Shape

MOST_NODES = 48  # in a group: registers run out long before
_SERIAL_FOLD = (
    1 << 15
)  # elements above which a fold to less than 8 numbers does not join a loop that has more


@dataclass(slots=True, eq=False)
class Item:
    """A node in a group; its operands seen over the group's space (a reduced axis has stride 0 for outer ones)."""

    node: Map | Reduce
    outer: bool  # a map of outer values, or a reduction
    operands: tuple[Operand, ...]


@dataclass(slots=True, eq=False)
class Group:
    """Nodes that run in one loop over `space`."""

    number: int
    space: Shape
    reduced: frozenset[int] = frozenset()
    items: list[Item] = field(default_factory=list)
    made: dict[Value, Item] = field(default_factory=dict)

    @property
    def kept(self) -> Shape:
        """The space with its reduced axes of one element."""
        return tuple(1 if axis in self.reduced else n for axis, n in enumerate(self.space))

    def reads(self) -> Iterable[Value]:
        """Values from outside."""
        made = self.made
        return [o.value for i in self.items for o in i.operands if type(o) is View and o.value not in made]

    def add(self, item: Item) -> None:
        self.items.append(item)
        self.made[item.node.out] = item

    def takes(self, node: Map | Reduce) -> bool:
        """Put the node in, if it fits."""
        if len(self.items) >= MOST_NODES:
            return False
        item = self._reduction(node) if isinstance(node, Reduce) else self._map(node)
        if item is None:
            return False
        if isinstance(node, Reduce):
            self.reduced = frozenset(node.axes)
        self.add(item)
        return True

    def takes_all(self, nodes: Iterable[Any]) -> bool:
        """Put all of them in, or none."""
        kept, reduced = len(self.items), self.reduced
        if all(map(self.takes, nodes)):
            return True
        for item in self.items[kept:]:
            del self.made[item.node.out]
        del self.items[kept:]
        self.reduced = reduced
        return False

    def _map(self, node: Map) -> Item | None:
        if node.out.size == math.prod(self.space):
            operands = [self._seen(o, self.space) for o in node.operands]
            if all(operands):
                return Item(node, False, tuple(operands))  # pyright: ignore[reportArgumentType]
        if self.reduced and node.out.size == math.prod(self.kept):
            operands = [self._seen(o, self.kept) for o in node.operands]
            inside = any(isinstance(o, View) and o.value in self.made for o in operands)
            if inside and all(operands):
                return Item(node, True, tuple(operands))  # pyright: ignore[reportArgumentType]
        return None

    def _reduction(self, node: Reduce) -> Item | None:
        axes = frozenset(node.axes)
        if self.reduced and self.reduced != axes:
            return None
        if node.operand.shape != self.space:
            return None
        kept = node.out.size
        if not self.reduced and kept < 8 and math.prod(self.space) > _SERIAL_FOLD:
            return None
        operand = self._seen(node.operand, self.space, axes)
        return Item(node, True, (operand,)) if operand else None

    def _seen(self, operand: Operand, shape: Shape, reduced: frozenset[int] | None = None) -> Operand | None:
        """The operand over the space; None when it would need elements that other turns of the loop compute."""
        if isinstance(operand, Scalar):
            return operand
        view = operand if operand.shape == shape else reshaped(operand, shape)
        if view is None:
            return None
        item = self.made.get(view.value)
        if item is not None:
            reduced = self.reduced if reduced is None else reduced
            kept = tuple(1 if axis in reduced else n for axis, n in enumerate(self.space))
            own = row_major(kept if item.outer else self.space)
            if view.offset or (view.strides != own) or (not item.outer and shape != self.space):
                return None
        return view


Step = Group | Node


def fuse(nodes: Sequence[Node]) -> list[Step]:
    """The steps in the order in which they run."""
    steps: list[Step] = []
    made_in: dict[Value, int] = {}  # by which step; sources by none
    read_in: dict[Value, int] = {}  # the last group that reads a value
    comparisons = _cheaper_again(nodes)

    def place(nodes: list[Any]) -> None:
        number = _joined(nodes, steps, made_in, read_in)
        if number is None:
            number = len(steps)
            steps.append(_opened(nodes, number) if isinstance(nodes[0], Map | Reduce) else nodes[0])
        for node in nodes:
            made_in[node.out] = number
            if isinstance(steps[number], Group):
                for view in node.reads():
                    read_in[view.value] = max(read_in.get(view.value, -1), number)

    waiting: dict[Value, Node] = {}
    for node in nodes:
        if node in comparisons:
            waiting[node.out] = node
            continue
        views = [view for view in node.reads() if view.value in waiting]
        masks = [waiting.pop(value) for value in dict.fromkeys(view.value for view in views)]
        alike = isinstance(node, Map) and all(v.is_whole and v.shape == node.out.shape for v in views)
        for together in [[*masks, node]] if alike else [[each] for each in (*masks, node)]:
            place(together)
    for mask in waiting.values():
        place([mask])
    return steps


def _cheaper_again(nodes: Sequence[Node]) -> set[Node]:
    """Comparisons of an array with numbers, such as ReLU's mask, that are left to their first reader.

    Beside the array's own loop they would have to be kept until then. That is spared where the array is kept anyway:
    where what reads it last stands closer to the comparison than to what made it.
    """
    made: dict[Value, int] = {}
    read: dict[Value, int] = {}
    found: set[Node] = set()
    for position, node in enumerate(nodes):
        if isinstance(node, Map) and node.out.dtype == np.bool_:
            views = [o for o in node.operands if isinstance(o, View)]
            begun = made.get(views[0].value) if len(views) == 1 and views[0].is_whole else None
            if begun is not None and 2 * read.get(views[0].value, 0) > begun + position:
                found.add(node)
                continue
        made[node.out] = position
        for view in node.reads():
            read[view.value] = position
    return found


def _joined(
    nodes: list[Node], steps: list[Step], made_in: dict[Value, int], read_in: dict[Value, int]
) -> int | None:
    """The step that all these nodes could join, and have."""
    if not isinstance(nodes[0], Map | Reduce):
        return None
    own = {node.out for node in nodes}
    values = {view.value for node in nodes for view in node.reads()} - own
    latest = max((made_in.get(value, -1) for value in values), default=-1)
    for number in sorted({latest, *(read_in.get(value, -1) for value in values)}, reverse=True):
        if number < max(latest, 0):
            break
        step = steps[number]
        if isinstance(step, Group) and step.takes_all(nodes):
            return number
    return None


def _opened(nodes: list[Any], number: int) -> Group:
    """A group of its own for these nodes."""
    first = nodes[0]
    if isinstance(first, Reduce):
        group = Group(number, first.operand.shape, frozenset(first.axes))
        group.add(Item(first, True, (first.operand,)))
        return group
    group = Group(number, first.out.shape)
    for node in nodes:
        group.add(Item(node, False, node.operands))
    return group


def uses(steps: list[Step]) -> dict[Value, list[int]]:
    """The steps that read each value from outside."""
    found: dict[Value, list[int]] = {}
    for number, step in enumerate(steps):
        values: Any = step.reads() if isinstance(step, Group) else (view.value for view in step.reads())
        for value in values:
            at = found.setdefault(value, [])
            if not at or at[-1] != number:
                at.append(number)
    return found
