"""Parts of a graph: what lies between two tensors, what lies around one."""

from __future__ import annotations

from collections.abc import Iterable

from autograd_core.known import nodes_under
from autograd_core.tape import Node


def between(first: Node, last: Node) -> set[Node]:
    """The nodes on any way from one to the other, both included; ValueError where there is none."""
    leading = {first}
    for node in nodes_under(last):  # inputs come before what reads them
        if any(parent in leading for parent in node.inputs):
            leading.add(node)
    if last not in leading:
        raise ValueError("draw: between: the second tensor was not computed from the first")
    return leading


def around(middle: Node, hops: int, roots: Iterable[Node]) -> set[Node]:
    """The nodes at most so many edges away, in either direction, among those that the roots were computed from."""
    readers: dict[Node, list[Node]] = {}
    for node in {node for root in roots for node in nodes_under(root)}:
        for parent in node.inputs:
            if parent is not None:
                readers.setdefault(parent, []).append(node)
    if middle not in readers and middle not in roots:
        raise ValueError("draw: around: this tensor is no part of the graph that is drawn")
    found = edge = {middle}
    for _ in range(hops):
        edge = {n for node in edge for n in (*node.inputs, *readers.get(node, ())) if n is not None} - found
        if not edge:
            break
        found = found | edge
    return found
