"""Where on a tape bad numbers come from: walks from a bad result, or a bad gradient, back to what made it bad.

A bad number counts where it does harm: a mask of −∞ that a softmax turns into zeros leads nowhere, and is not met on
the way. What is not kept is computed again from known inputs, to tell two suspects apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd_core.known import Known
from autograd_core.observer import Observer, seen_of
from autograd_core.tape import Node

Bad = Callable[[Any], bool]


def is_bad(array: Any) -> bool:
    """Whether an array has a NaN or ∞."""
    array = np.asarray(array)
    return array.dtype.kind == "f" and not np.isfinite(array).all()


def explodes(array: Any) -> bool:
    """Whether an array has numbers whose square overflows; a NaN is none."""
    array = np.asarray(array)
    return (
        array.dtype.kind == "f"
        and array.size > 0
        and float(np.abs(array).max()) > float(np.finfo(array.dtype).max) ** 0.5
    )


# Forward ---------------------------------------------------------------------------------------------------------


def first_bad(known: Known, root: Node, bad: Bad) -> Node | None:
    """The first of the operations and leaves that made the value of `root` bad; None if that is not bad."""
    if root not in known.values or not bad(known.values[root]):
        return None
    path = _resolved(known, root, bad)
    given = _given(known, path, bad)
    # A mask of ∞ that the user gave is met on the way only where nothing else explains the result.
    return min(_sources(known, root, path, given) or _sources(known, root, path, set()), key=_index)


def first_anywhere(known: Known, bad: Bad) -> Node | None:
    """The first bad value of all that are known, but for those that the user gave."""
    found = [node for node in known.nodes if node in known.values and bad(known.values[node])]
    given = _given(known, set(found), bad)
    return next((node for node in found if node not in given), None)


def _index(node: Node) -> int:
    return node.index


def _resolved(known: Known, root: Node, bad: Bad) -> set[Node]:
    """Nodes on ways from the root over values that are bad or not known, after as many as possible are computed."""
    reached = _reached(known, root, bad)
    for node in sorted(reached, key=_index):
        if node not in known.values and (value := known.computed(node)) is not None:
            known.values[node] = value
            if bad(value):
                break  # what follows is bad or not on the way
    return _reached(known, root, bad)


def _reached(known: Known, root: Node, bad: Bad) -> set[Node]:
    inside = set(known.nodes)
    found, todo = {root}, [root]
    while todo:
        for parent in todo.pop().inputs:
            if parent is None or parent in found or parent not in inside:
                continue
            if parent not in known.values or bad(known.values[parent]):
                found.add(parent)
                todo.append(parent)
    return found


def _given(known: Known, path: set[Node], bad: Bad) -> set[Node]:
    """Those whose ∞ come from constants that the user gave, over any number of operations; a NaN is never given."""
    found: set[Node] = set()
    for node in sorted(path, key=_index):
        value = known.values.get(node)
        if value is None or node.primitive is None or np.isnan(value).any():
            continue
        inputs = [(parent, known.input(node, place)) for place, parent in enumerate(node.inputs)]
        if any(parent in path and parent not in found for parent, _ in inputs):
            continue
        constants = [np.asarray(v) for parent, v in inputs if parent is None and v is not None]
        if any(parent in found for parent, _ in inputs) or any(bad(_in(c, node)) for c in constants):
            found.add(node)
    return found


def _in(constant: Any, node: Node) -> Any:
    """A constant in the dtype in which the operation computed with it."""
    return constant.astype(node.dtype) if constant.dtype.kind == "f" else constant


def _sources(known: Known, root: Node, path: set[Node], given: set[Node]) -> list[Node]:
    """Bad nodes whose own inputs are all fine, connected to the root without those given; else the last known one."""
    if root in given:
        return []
    found, todo = {root}, [root]
    first: list[Node] = []
    while todo:
        node = todo.pop()
        before = [parent for parent in node.inputs if parent in path and parent not in given]
        if node in known.values and not any(_leads_to_bad(known, parent, path) for parent in before):
            first.append(node)
        for parent in before:
            if parent is not None and parent not in found:
                found.add(parent)
                todo.append(parent)
    return first


def _leads_to_bad(known: Known, node: Node | None, path: set[Node]) -> bool:
    """Whether this value, or one that it was computed from over unknown ones, is known to be bad."""
    todo, met = [node], {node}
    while todo:
        each = todo.pop()
        if each is None or each not in path:
            continue
        if each in known.values:
            return True
        todo += [parent for parent in each.inputs if parent not in met]
        met.update(each.inputs)
    return False


# Backward --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Derivative:
    """A step of the backward pass: which of its numbers are bad; the arrays of one that makes good numbers bad."""

    node: Node
    is_bad: bool  # the cotangent
    shares: list[tuple[Node, bool]]
    cotangent: Any = None
    bad_shares: list[tuple[Node, Any]] | None = None

    @classmethod
    def of(cls, node: Node, g: Any, shares: Iterable[tuple[Node, Any]], bad: Bad) -> Derivative:
        """The step as it was seen; arrays are held only of one that makes bad shares from a good cotangent."""
        shares = list(shares)
        flags = [(parent, bad(share)) for parent, share in shares]
        made = cls(node, bad(g), flags)
        if not made.is_bad and any(flag for _, flag in flags):
            made.cotangent, made.bad_shares = g, [(p, share) for p, share in shares if bad(share)]
        return made


class Recorder(Observer):
    """Notes a sweep's steps."""

    def __init__(self, bad: Bad) -> None:
        self.bad = bad
        self.steps: list[Derivative] = []

    def note_derivative(
        self, node: Node, g: Any, shares: list[tuple[Node, Any]], began: float, ended: float
    ) -> None:
        self.steps.append(Derivative.of(node, g, shares, self.bad))


def observed(known: Known, bad: Bad) -> list[Derivative]:
    """The steps that an observer kept."""
    found = []
    for node in reversed(known.nodes):
        seen = seen_of(node)
        if seen is not None and seen.cotangent is not None:
            found.append(Derivative.of(node, seen.cotangent, seen.shares, bad))
    return found


def leaf_gradients(known: Known) -> dict[Node, Any]:
    """The cotangents of leaves, from what an observer kept."""
    found: dict[Node, Any] = {}
    for node in known.nodes:
        seen = seen_of(node)
        for parent, share in seen.shares if seen is not None else ():
            if parent.primitive is None:
                found[parent] = found[parent] + share if parent in found else share
    return found


def first_bad_back(steps: list[Derivative], gradients: dict[Node, Any], bad: Bad) -> Derivative | Node | None:
    """The first step, backwards, that makes a bad share which reaches a leaf, or the node where a sum became bad."""
    readers: dict[Node, list[Derivative]] = {}  # by what they have a bad share for
    by_node = {step.node: step for step in steps}
    for step in steps:
        for parent, flag in step.shares:
            if flag:
                readers.setdefault(parent, []).append(step)
    todo = [leaf for leaf, g in gradients.items() if bad(g)]
    met: set[Node] = set(todo)
    made: list[Derivative] = []
    sums: list[Node] = []
    while todo:
        node = todo.pop()
        before = readers.get(node, [])
        if not before:
            sums.append(node)
        for step in before:
            if not step.is_bad:
                made.append(step)
            elif step.node not in met:
                met.add(step.node)
                todo.append(step.node)
    first = max(made, key=lambda step: step.node.index, default=None)
    summed = max(sums, key=_index, default=None)
    if first is not None and (summed is None or summed.index < first.node.index):
        return by_node[first.node]
    return summed
