"""What later loops compute again instead of loading it: then it need not be stored.

Batch normalisation's x - mean is read by its backward pass. It is one subtraction of the convolution's result, which is
in memory anyway: that is kept instead, and the forward loop writes one array of two.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

from autograd_core.compiler.arithmetic import EXPENSIVE
from autograd_core.compiler.fuse import MOST_NODES, Group, Item, Step, uses
from autograd_core.compiler.graph import Graph, Map, Operand, Value, View, row_major

_MOST = 2  # nodes that are worth computing again


def compute_again(steps: list[Step], roots: Collection[Value], graph: Graph) -> None:
    """Let groups compute what is a node or two away from an array that they can load as well."""
    readers = uses(steps)
    for step in steps:
        if not isinstance(step, Group):
            continue
        for value, item in step.made.items():
            later = [steps[number] for number in readers.get(value, ())]
            if item.outer or value in roots or not later:
                continue
            chain = _chain(step, item)
            if chain and all(isinstance(each, Group) and _can(each, step, value, chain) for each in later):
                for each in later:
                    assert isinstance(each, Group)
                    _put_in(each, value, chain, graph)


def _chain(group: Group, item: Item) -> list[Item]:
    """The items that compute this one from a single stored array of its size and numbers of an outer kind, in order."""
    found: dict[Value, Item] = {}
    sources: set[Value] = set()
    pending = [item]
    while pending:
        current = pending.pop()
        if current.node.function in EXPENSIVE:
            return []
        found[current.node.out] = current
        for operand in current.operands:
            if not isinstance(operand, View):
                continue
            made = group.made.get(operand.value)
            if made is not None and not made.outer:
                pending.append(made)
            elif made is None and _is_full(operand, group):
                sources.add(operand.value)
            elif made is None and operand.value.size * 8 > item.node.out.size:
                return []  # as large, but seen otherwise
    if len(found) > _MOST or len(sources) != 1 or sources.pop().nbytes > item.node.out.nbytes:
        return []
    return [each for value, each in group.made.items() if value in found]


def _is_full(operand: Operand, group: Group) -> bool:
    """Whether it is all of an array, each element at its own index of the group."""
    return (
        isinstance(operand, View)
        and operand.offset == 0
        and operand.strides == row_major(group.space)
        and operand.value.size == math.prod(group.space)
    )


def _can(group: Group, origin: Group, value: Value, chain: list[Item]) -> bool:
    """Whether the group may compute the value itself: it walks over the same space, and looks at it as a whole."""
    return (
        group.space == origin.space
        and len(group.items) + len(chain) <= MOST_NODES
        and all(
            _is_full(operand, group)
            for item in group.items
            for operand in item.operands
            if isinstance(operand, View) and operand.value is value
        )
    )


def _put_in(group: Group, value: Value, chain: list[Item], graph: Graph) -> None:
    """Copies of the chain in front of the group's items, which read the last of them instead of the value."""
    copies: dict[Value, Value] = {}

    def seen(operand: Operand) -> Operand:
        if isinstance(operand, View) and operand.value in copies:
            return operand._replace(value=copies[operand.value])
        return operand

    made: list[Item] = []
    for item in chain:
        operands = tuple(map(seen, item.operands))
        out = graph.value(item.node.out.shape, item.node.out.dtype)
        assert isinstance(item.node, Map)
        out.node = replace(item.node, out=out, operands=operands)
        made.append(Item(out.node, False, operands))
        copies[item.node.out] = out
    copies = {value: copies[value]}
    for item in group.items:
        item.operands = tuple(map(seen, item.operands))
    group.items[:0] = made
    group.made = {item.node.out: item for item in group.items}
