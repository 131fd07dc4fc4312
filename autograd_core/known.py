"""What is known of the values on a tape: from saved arrays, leaves, and what an observer kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd_core.observer import seen_of
from autograd_core.tape import Leaf, Node


def is_program(node: Node) -> bool:
    """Whether a compiled function made this value: its program has no tape, there is nothing to look at below."""
    return node.primitive is not None and node.primitive.name == "compiled"


def nodes_under(root: Node) -> list[Node]:
    """All nodes that a node was computed from, and itself, in the order in which they were made."""
    found, todo = {root}, [root]
    while todo:
        node = todo.pop()
        for parent in () if is_program(node) else node.inputs:
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
        self._leaves()
        self.values |= {node: array for node, array in roots.items() if array is not None}

    def _saved(self, node: Node) -> None:
        """What the node keeps for its derivative rules: inputs, its result."""
        if node.plan is None or node.saved is None:
            return
        if is_program(node):
            self.values[node] = node.saved[0]
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
            elif parent.primitive is None:
                self.values[parent] = value

    def _leaves(self) -> None:
        """Leaves that nobody kept have the array they had then, if they were not given another since."""
        reader: dict[Node, int] = {}  # the first one's index
        for node in self.nodes:
            for parent in node.inputs:
                if isinstance(parent, Leaf):
                    reader.setdefault(parent, node.index)
        for node in self.nodes:
            if not isinstance(node, Leaf) or node in self.values:
                continue
            owner = node.owner()
            if owner is not None and node.since < reader.get(node, node.since + 1):
                self.values[node] = owner.array

    def computed(self, node: Node) -> Any:
        """A value from known inputs; None where one is not known."""
        primitive = node.primitive
        inputs = [self.input(node, position) for position in range(len(node.inputs))]
        if primitive is None or is_program(node) or any(value is None for value in inputs):
            return None
        try:
            return np.asarray(primitive.forward(*inputs, **node.params))
        except Exception:  # an autopsy does not fail on what it examines
            return None

    def input(self, node: Node, position: int) -> Any:
        """An input of an operation, if it is known."""
        parent = node.inputs[position]
        return self.constants.get((node, position)) if parent is None else self.values.get(parent)

    def named(self, node: Node) -> dict[str, Any]:
        """The inputs of an operation by name, in their order; None for those that are not known."""
        if node.primitive is None or is_program(node):
            return {}
        names = node.primitive.names(len(node.inputs))
        return {name: self.input(node, position) for position, name in enumerate(names)}
