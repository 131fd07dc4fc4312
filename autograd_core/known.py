"""What is known of the values on a tape: from saved arrays, leaves, and what an observer kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd_core.observer import seen_of
from autograd_core.tape import Leaf, Node


def nodes_under(root: Node) -> list[Node]:
    """All nodes that a node was computed from, and itself, in the order in which they were made."""
    found, todo = {root}, [root]
    while todo:
        for parent in todo.pop().inputs:
            if parent is not None and parent not in found:
                found.add(parent)
                todo.append(parent)
    return sorted(found, key=lambda node: node.index)


class Known:
    """The nodes under some roots, and those of their values that are in memory."""

    def __init__(self, roots: dict[Node, Any]) -> None:
        found = {node: None for root in roots for node in nodes_under(root)}
        self.nodes = sorted(found, key=lambda node: node.index)
        self.values: dict[Node, Any] = {}
        self.constants: dict[tuple[Node, int], Any] = {}  # inputs that are not on the tape, by place
        for node in self.nodes:
            self._saved(node)
        for node in self.nodes:
            self._seen(node)
        self.values |= {node: array for node, array in roots.items() if array is not None}

    def _saved(self, node: Node) -> None:
        """What the node keeps for its derivative rules: inputs, its result."""
        owner = node.owner() if isinstance(node, Leaf) else None
        if owner is not None:
            self.values.setdefault(node, owner.array)
        if node.plan is None or node.saved is None:
            return
        for position, value in zip(node.plan.saved_positions, node.saved):
            if position == len(node.inputs):
                self.values[node] = value
            elif node.inputs[position] is None:
                self.constants[node, position] = value
            else:
                self.values[node.inputs[position]] = value  # pyright: ignore[reportArgumentType]

    def _seen(self, node: Node) -> None:
        seen = seen_of(node)
        if seen is None:
            return
        if seen.value is not None:
            self.values[node] = seen.value
        for position, (parent, value) in enumerate(zip(node.inputs, seen.inputs)):
            if parent is None:
                self.constants[node, position] = value

    def computed(self, node: Node) -> Any:
        """A value from known inputs; None where one is not known."""
        primitive = node.primitive
        inputs = [self.input(node, position) for position in range(len(node.inputs))]
        if primitive is None or any(value is None for value in inputs):
            return None
        try:
            return np.asarray(primitive.forward(*inputs, **node.params))
        except Exception:  # an autopsy does not fail on what it examines
            return None

    def input(self, node: Node, position: int) -> Any:
        parent = node.inputs[position]
        return self.constants.get((node, position)) if parent is None else self.values.get(parent)

    def named(self, node: Node) -> dict[str, Any]:
        """The known inputs of an operation, by name."""
        if node.primitive is None:
            return {}
        names = node.primitive.names(len(node.inputs))
        found = {name: self.input(node, position) for position, name in enumerate(names)}
        return {name: value for name, value in found.items() if value is not None}
