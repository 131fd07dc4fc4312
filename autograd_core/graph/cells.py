"""Values and gradients in a picture's boxes: numbers where there are few, the range where there are many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_core.dtypes import Array
from autograd_core.graph.model import Box, Picture
from autograd_core.graph.program import Program
from autograd_core.known import Known
from autograd_core.observer import Observer, seen_of, unseen
from autograd_core.sweep import sweep
from autograd_core.tape import Leaf, Node, array_of
from autograd_core.tensor import Tensor

FEW = 9  # elements that a box shows as numbers
ROWS, COLUMNS = 4, 5
SMALL = 60  # operations up to which values that nobody kept are computed again


def write(picture: Picture, program: Program, known: Known, roots: Sequence[Tensor]) -> None:
    """Append `value …` and `grad …` to every box that stands for one array, as far as they are known.

    Gradients are `.grad` of leaves, and of operations the cotangents that `ag.observe()` kept, or that are found again.
    """
    arriving = _arriving(known, roots[0]) if len(roots) == 1 else {}
    halves = any(box.backward for box in picture.boxes)  # then values stand in one, gradients in the other
    for box in picture.boxes:
        node, value = held(box, program, known)
        grad = None if node is None or (halves and not box.backward) else _gradient(node, arriving)
        if value is not None and not box.backward:
            box.lines += cell("value", value)
        if grad is not None:
            box.lines += cell("grad", grad)


def held(box: Box, program: Program, known: Known) -> tuple[Node | None, Any]:
    """The node whose array a box stands for, and the array; None for several arrays, or where it is not known."""
    if len(box.operations) + len(box.sources) != 1:
        return None, None
    if box.operations:
        node = program.operations[box.operations[0]]
        return (node, known.values.get(node)) if box.kind == "operation" else (None, None)
    source = program.sources[box.sources[0]]
    if not source.uses:
        leaf = program.leaf_roots[0] if len(program.leaf_roots) == 1 else None
        return leaf, None if leaf is None else known.values.get(leaf)
    place, position = source.uses[0]
    reader = program.operations[place]
    return reader.inputs[position], known.input(reader, position)


def _gradient(node: Node, arriving: dict[Node, Any]) -> Any:
    owner = node.owner() if isinstance(node, Leaf) else None
    if isinstance(owner, Tensor):
        return None if owner.grad is None else owner.grad.array
    seen = seen_of(node)
    return arriving.get(node) if seen is None or seen.cotangent is None else seen.cotangent


class _Arriving(Observer):
    """Keeps the cotangent that arrives at each node."""

    def __init__(self) -> None:
        self.found: dict[int, Any] = {}

    def note_derivative(
        self, node: Node, g: Any, shares: list[tuple[Node, Any]], began: float, ended: float
    ) -> None:
        self.found[node.index] = array_of(g)


def _arriving(known: Known, root: Tensor) -> dict[Node, Any]:
    """The cotangents of a small graph's operations, by another sweep over a copy of it.

    None where a value is not known, or where leaves have other gradients: of another loss, or of several passes.
    """
    operations = [node for node in known.nodes if node.primitive is not None]
    leaves = [node for node in known.nodes if isinstance(node, Leaf)]
    if (
        len(operations) > SMALL
        or root.array.size != 1
        or not any(_gradient(leaf, {}) is not None for leaf in leaves)
    ):
        return {}
    copies: dict[Node | None, Node] = {leaf: leaf for leaf in leaves}
    for node in operations:
        arrays = [*(known.input(node, place) for place in range(len(node.inputs))), known.values.get(node)]
        if node.plan is None or any(array is None for array in arrays):
            return {}
        copies[node] = copy = Node(
            node.primitive, [copies.get(parent) for parent in node.inputs], node.params, node.plan,
            node.plan.save(arrays), arrays[-1],
        )  # fmt: skip
        copy.index = node.index
    arriving = _Arriving()
    with unseen(), arriving, np.errstate(all="ignore"):
        ones = np.ones(root.shape, root.dtype)
        gradients = sweep([(copies[root.node], ones)], retain_graph=True)
    had = {leaf: _gradient(leaf, {}) for leaf in gradients}
    if any(
        had[leaf] is None or not np.allclose(had[leaf], g, equal_nan=True) for leaf, g in gradients.items()
    ):
        return {}
    return {node: arriving.found[node.index] for node in operations if node.index in arriving.found}


def values_under(tensors: Sequence[Tensor]) -> Known:
    """Values of the nodes under some tensors; of a small graph also those that the tape did not keep.

    They are computed again from what is in memory, and left out where that does not give the tensors' own numbers: then
    a leaf (a parameter after the optimizer's step) is no longer what it was.
    """
    known = Known({t.node: t.array for t in tensors if t.node is not None})
    operations = [node for node in known.nodes if node.primitive is not None]
    if len(operations) > SMALL:
        return known
    before = dict(known.values)
    for node in operations:
        value = known.computed(node)
        if value is None:
            continue
        if node not in before:
            known.values[node] = value
        elif not np.array_equal(before[node], value, equal_nan=value.dtype.kind == "f"):
            known.values = before
            break
    return known


def cell(label: str, array: Any) -> list[str]:
    """The lines of a box that show an array.

    >>> cell("value", [[1, 2.5], [3, 4]])
    ['value [[1, 2.5],', '[3, 4]]']
    >>> cell("grad", np.arange(100) / 4)
    ['grad from 0 to 24.75']
    """
    rows = numbers(np.asarray(array))
    return [f"{label} {rows[0]}", *rows[1:]]


def numbers(array: Array) -> list[str]:
    """The elements, row by row; of more than nine the smallest and the largest."""
    if array.size > FEW or not array.size:
        return [spread(array)]
    if array.ndim == 2 and array.shape[0] <= ROWS and array.shape[1] <= COLUMNS:
        rows = [f"[{', '.join(map(number, row))}]" for row in array.tolist()]
    else:
        flat = [number(x) for x in array.reshape(-1).tolist()]
        if not array.ndim:
            return flat
        rows = [", ".join(flat[i : i + COLUMNS]) for i in range(0, len(flat), COLUMNS)]
    rows = [f"{row}," for row in rows[:-1]] + rows[-1:]
    return [*(["[" + rows[0], *rows[1:-1], rows[-1] + "]"] if len(rows) > 1 else [f"[{rows[0]}]"])]


def number(x: Any) -> str:
    """Four digits of a number, as short as they can be written; without the sign of zero."""
    return f"{x + 0.0:.4g}" if isinstance(x, float) else str(x)


def spread(array: Array) -> str:
    """The smallest and the largest element: `from -1.5 to 3 (2 not finite)`."""
    if not array.size:
        return "empty"
    finite = array[np.isfinite(array)]
    bad = array.size - finite.size
    if not finite.size:
        return "nowhere finite"
    ends = [number(x.item()) for x in (finite.min(), finite.max())]
    said = f"all {ends[0]}" if ends[0] == ends[1] else f"from {ends[0]} to {ends[1]}"
    return said + (f" ({bad} not finite)" if bad else "")
