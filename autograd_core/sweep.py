"""The reverse sweep: cotangents flow from the outputs back along the tape.

Nodes are taken by descending index, so every node is visited once, after all its consumers: no recursion, and a
diamond repeated n times costs n, not 2ⁿ.
"""

from collections.abc import Callable, Collection, Iterable
from heapq import heappop, heappush
from typing import Any

import numpy as np

from autograd_core.contexts import switch, switch_back
from autograd_core.dtypes import Array, Shape
from autograd_core.errors import describe, explain, raise_from
from autograd_core.tape import (
    Failed,
    Leaf,
    Node,
    Value,
    array_of,
    capturing,
    observer,
    state,
    wrap,
)

FREED = (
    "backward: the saved arrays of this graph were freed by an earlier backward(): pass retain_graph=True to that "
    "call, or compute the tensor again; a tensor that carries its past along (w -= rate * w.grad, recorded) is changed "
    "under no_grad() instead"
)
CONSTANTS = (
    2  # how rules get what was saved: False as arrays, True as tensors on the tape, this as tensors off it
)
_ARRAYS = (np.ndarray, np.generic)


def sweep(
    roots: Iterable[tuple[Node, Any]],
    targets: Collection[Node] | None = None,
    create_graph: bool = False,
    retain_graph: bool = False,
    linear: bool = False,
) -> dict[Node, Any]:
    """Cotangents of `targets` (None: of every leaf reached), given those of the roots.

    Without `create_graph` cotangents are ndarrays and the rules run as plain numpy; with it they are tensors and
    the rules are recorded like any other operation. While the compiler looks on they are tensors too. Targets end the
    sweep: nothing older than the oldest of them is visited. `linear`, with `create_graph`: only what depends on the
    roots' cotangents is recorded, and the saved arrays are constants. Raises RuntimeError where an earlier sweep has
    freed the graph.
    """
    oldest = min((node.index for node in targets), default=0) if targets is not None else 0
    found: dict[Node, Any] = {}
    pending: dict[int, tuple[Node, Any]] = {}  # by index; the heap holds those of computed nodes, negated
    own: set[int] = set()  # of these the cotangent is a sum made here: nobody else has the array
    heap: list[int] = []
    for node, cotangent in roots:
        if capturing() is not None and not isinstance(cotangent, Value):
            cotangent = wrap(cotangent)
        if node.index not in pending and node.primitive is not None:
            heappush(heap, -node.index)
        pending[node.index] = (node, _sum(pending.get(node.index), cotangent))
    path, deriving = state.module_path, state.deriving
    as_tensors = create_graph or capturing() is not None
    if as_tensors and linear:
        as_tensors = CONSTANTS
    if as_tensors:
        state.deriving = True
    shares = pull_back if (looking := observer()) is None else looking.derivative
    recording = switch(create_graph)
    try:
        while heap:
            node, cotangent = pending.pop(-heappop(heap))
            if targets is not None and node in targets:
                found[node] = cotangent
                continue
            for parent, contribution in shares(node, cotangent, oldest, as_tensors):
                index = parent.index
                if index not in pending:
                    pending[index] = (parent, contribution)
                    if parent.primitive is not None:
                        heappush(heap, -index)
                elif index in own:
                    total = pending[index][1]
                    total += contribution  # in place: half of the memory traffic
                else:
                    total = pending[index][1] + contribution
                    pending[index] = (parent, total)
                    if type(total) is np.ndarray:
                        own.add(index)
            if not retain_graph:
                node.saved = None
    finally:
        switch_back(recording)
        state.module_path, state.deriving = path, deriving
    # What is left are leaves: with nothing under them, they need no turn of their own.
    return found | {leaf: g for leaf, g in pending.values() if targets is None or leaf in targets}


def _sum(earlier: tuple[Node, Any] | None, contribution: Any) -> Any:
    return contribution if earlier is None else earlier[1] + contribution


def pull_back(node: Node, g: Any, oldest: int, as_tensors: int) -> list[tuple[Node, Any]]:
    """Each input that needs a gradient, with its share of the cotangent `g` of the node's output."""
    saved, plan, inputs = node.saved, node.plan, node.inputs
    if saved is None or plan is None:
        raise RuntimeError(FREED)
    if as_tensors:
        saved = _as_tensors(node, saved, as_tensors)
        state.module_path = node.module_path
    joint = plan.joint(g, saved, node) if plan.joint is not None else None
    shares: list[tuple[Node, Any]] = []
    for position, call_rule in plan.steps:
        parent = inputs[position]
        if parent is None or parent.index < oldest:
            continue
        try:
            share = call_rule(g, saved, node.params) if joint is None else joint[position]
            if as_tensors or type(share) is not np.ndarray:
                if share is None:
                    continue
                share = _normalised(share, bool(as_tensors))
            if share.shape != parent.shape:
                share = _fitted(share, node, parent)
        except Exception as error:
            raise_from(_explained(error, node, position, g), error)
        if share.dtype != parent.dtype:
            share = share.astype(parent.dtype)
        shares.append((parent, share))
    return shares


def _explained(error: Exception, node: Node, position: int, g: Any) -> Exception:
    primitive = node.primitive
    assert primitive is not None
    name = primitive.names(len(node.inputs))[position]
    given = array_of(g)
    explained = explain(
        error, f"{primitive.title}, derivative for {name}", ["cotangent"], [given], node.module_path
    )
    if not isinstance(error, MemoryError):
        state.failed = Failed.of(primitive, node.inputs, (), node.params, str(node.module_path), explained)
    return explained


def _as_tensors(node: Node, saved: tuple[Any, ...], how: int) -> tuple[Any, ...]:
    """Saved arrays as tensors that stand on the tape again, so that a rule applied to them can be differentiated."""
    assert node.plan is not None
    owners = [None] * (len(node.inputs) + 1) if how == CONSTANTS else [*node.inputs, node]
    tensors = [
        wrap(value, owners[position]) if isinstance(value, np.ndarray) else value
        for position, value in zip(node.plan.saved_positions, saved, strict=False)
    ]
    return (*tensors, *saved[len(tensors) :])


def _normalised(share: Any, as_tensor: bool) -> Any:
    """A rule may return a tensor, an ndarray or a scalar: one kind goes on."""
    if as_tensor:
        return share if isinstance(share, Value) else wrap(np.asarray(share))
    if isinstance(share, Value):
        return share.array
    return share if isinstance(share, _ARRAYS) else np.asarray(share)


def _fitted(share: Any, node: Node, parent: Node) -> Any:
    """Undo broadcasting, once for every rule; any other difference of shape is a wrong rule."""
    if node.primitive is not None and node.primitive.broadcasts and share.ndim >= len(parent.shape):
        return unbroadcast(share, parent.shape)
    raise ValueError(
        f"the rule returned {describe(array_of(share))} for an input of shape {list(parent.shape)}: "
        "a cotangent has its input's shape"
    )


_LARGE = 1 << 16  # elements from which NumPy's way of adding up rows one by one is not exact enough
_large_sum: Callable[[Array, tuple[int, ...], bool], Array] = lambda x, axes, keepdims: x.sum(axis=axes)


def set_large_sum(function: Callable[[Array, tuple[int, ...], bool], Array]) -> None:
    """How large arrays are summed over axes. Called once, by ops/reduce.py, which this module cannot import."""
    global _large_sum
    _large_sum = function


def unbroadcast(g: Any, shape: Shape) -> Any:
    """Sum `g` over the axes along which an array of this shape was broadcast."""
    extra = g.ndim - len(shape)
    axes = (*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1))
    if not axes:
        return g
    large = g.size >= _LARGE and type(g) is np.ndarray
    total = _large_sum(g, axes, False) if large else g.sum(axis=axes)
    return total if total.shape == shape else total.reshape(shape)


def start(root: Value, cotangent: Any) -> tuple[Node, Array]:
    """The node where a backward pass begins, and the cotangent it begins with; the checks of `Tensor.backward`."""
    array, node = root.array, root.node
    if node is None:
        raise RuntimeError(
            f"backward: this {describe(array)} has no graph: no input required a gradient, or it was computed under "
            "no_grad. Make an input with requires_grad=True (parameters have it)"
        )
    if cotangent is None:
        if array.size != 1:
            raise RuntimeError(
                f"backward: {describe(array)} is not a scalar: reduce it (.sum(), .mean()) or give the cotangent, "
                f"an array of shape {list(array.shape)}"
            )
        return node, np.ones(array.shape, array.dtype)
    given = array_of(cotangent)
    if given.shape != array.shape:
        raise ValueError(
            f"backward: the cotangent is {describe(given)} but the tensor is {describe(array)}: give it the same shape"
        )
    if given.dtype != array.dtype:
        given = given.astype(array.dtype)
    return node, given


def backward(root: Value, cotangent: Any, retain_graph: bool, create_graph: bool) -> dict[Leaf, Any]:
    """Cotangents of all leaves under `root`."""
    node, given = start(root, cotangent)
    if create_graph:
        tracked = isinstance(cotangent, Value) and cotangent.array is given
        given = cotangent if tracked else wrap(given)
    found = sweep([(node, given)], create_graph=create_graph, retain_graph=retain_graph or create_graph)
    return {leaf: g for leaf, g in found.items() if isinstance(leaf, Leaf)}
