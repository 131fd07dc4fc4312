"""What leaves the program is computed where it is wanted, instead of being copied there afterwards.

A gradient that the optimizer reads too is such a value: mlp784's largest has 200,704 elements.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from autograd_core.compiler.graph import Assemble, Call, Kernels, Map, Node, Product, Reduce, Value, View


def without_copies(nodes: Sequence[Node], leaving: Collection[Value]) -> list[Node]:
    """The nodes, without copies of whole values to those that leave: these are what is computed, and read elsewhere.

    Operations that Python may have to compute know nothing of such places.
    """
    python = [node for node in nodes if isinstance(node, Kernels | Call)]
    fixed = {view.value for node in python for view in node.reads()}
    places: dict[Value, Value] = {}
    for node in nodes:
        source = _copied(node) if node.out in leaving else None
        if source is not None and source not in fixed and source not in places:
            places[source] = node.out
    copies = set(places.values())
    kept = [node for node in nodes if node.out not in copies]
    for node in kept:
        _look_there(node, places)
        if node.out in places:
            node.out = places[node.out]
            node.out.node = node
    return kept


def _copied(node: Node) -> Value | None:
    """The computed value that the node copies as it is."""
    if not isinstance(node, Map) or node.function != "copy":
        return None
    (view,) = node.operands
    if not isinstance(view, View) or not view.is_whole or view.shape != view.value.shape:
        return None
    return view.value if isinstance(view.value.node, Map | Reduce | Product) else None


def _look_there(node: Node, places: dict[Value, Value]) -> None:
    def seen(operand: Any) -> Any:
        if isinstance(operand, View) and operand.value in places:
            return operand._replace(value=places[operand.value])
        return operand

    if isinstance(node, Map):
        node.operands = tuple(map(seen, node.operands))
    elif isinstance(node, Reduce):
        node.operand = seen(node.operand)
    elif isinstance(node, Product):
        node.x, node.y = seen(node.x), seen(node.y)
    elif isinstance(node, Assemble):
        node.base = seen(node.base)
        node.pieces = [(seen(source), place) for source, place in node.pieces]
