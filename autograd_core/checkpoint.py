"""Trading time for memory: forget a function's intermediate arrays and compute them again when they are needed.

Source: Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from autograd_core import random, tree
from autograd_core.dtypes import Array, is_float
from autograd_core.errors import check_callable, describe
from autograd_core.linearise import outer_nodes, running, traced
from autograd_core.ops.define import operation
from autograd_core.ops.shape import concat, reshape
from autograd_core.primitive import Plan
from autograd_core.sweep import sweep
from autograd_core.tape import Node, Static, capturing, recording, state
from autograd_core.tensor import Tensor


@operation()
def _checkpoint(*arrays: Array) -> Array:
    raise TypeError("checkpoint nodes are made by autograd_core.checkpoint(f)")


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, with the arrays it computes on the way forgotten and computed again in the backward pass.

    Results and gradients, of every order, are those of f, also for parameters that f reaches by closure; random
    draws repeat, and buffers (running statistics) are assigned once. f takes and returns tensors, or nested
    containers of them.

    >>> import autograd_core as ag
    >>> x = ag.tensor([1.0, 2.0], requires_grad=True)
    >>> ag.checkpoint(lambda v: v.exp().sin())(x).sum().backward()
    >>> bool(abs(x.grad - x.exp().cos() * x.exp()).max() < 1e-5)
    True
    """

    check_callable(f, "checkpoint")

    @wraps(f)
    def call(*args: Any, **params: Any) -> Any:
        if not state.recording:
            return f(*args, **params)
        args, params = tree.tree_map(_own, (args, params))
        return _Segment(lambda *values: f(*values, **params), args).result()

    return call


def _own(value: Any) -> Any:
    """An argument that its owner cannot change before the function runs again."""
    return value.copy() if isinstance(value, np.ndarray) and capturing() is None else value


class _Hole:
    """Where a float tensor stood among the arguments."""

    def __init__(self, position: int) -> None:
        self.position = position


class _Segment:
    """One call of a checkpointed function: what it takes to run it again, and its one node."""

    def __init__(self, f: Callable[..., Any], args: Sequence[Any]) -> None:
        self.f = f
        self.tensors = [a for a in tree.leaves(args) if isinstance(a, Tensor) and is_float(a.dtype)]
        position = iter(range(len(self.tensors)))
        self.args = [
            tree.tree_map(
                lambda a: _Hole(next(position)) if isinstance(a, Tensor) and is_float(a.dtype) else a, arg
            )
            for arg in args
        ]
        self.random_state = random.get_state()

    def run(self, tensors: Sequence[Tensor]) -> Any:
        """f on other tensors in the places of the first ones."""
        args = tree.tree_map(lambda a: tensors[a.position] if isinstance(a, _Hole) else a, self.args)
        return running(self.f, *args)

    def result(self) -> Any:
        """f's value on a tape with one node, instead of all that f records."""
        stand_ins = [_leaf(t.array, t.requires_grad) for t in self.tensors]
        # Taken before f runs, which may change its arguments in place.
        inside = {node for t in stand_ins if (node := t.node)}
        value = self.run(stand_ins)
        packed = _pack(value)
        if packed.node is None:
            return value
        inputs = [t.node for t in self.tensors] + outer_nodes([packed], inside)
        arrays = tuple(t.array for t in self.tensors)
        self.tensors = []  # the node holds arrays and nodes, never tensors
        node = Node(_checkpoint, inputs, {}, _SegmentPlan(self, inputs, len(arrays)), arrays, packed.array)
        return _unpack(Tensor(packed.array, node), value)

    def pull_back(self, g: Any, saved: Sequence[Any], inputs: Sequence[Node | None]) -> list[Any]:
        """Run f again and return a cotangent, or None, for each input of the node."""
        create_graph = isinstance(g, Tensor)
        with recording(True), random.replay(self.random_state):
            before, state.assigning = state.assigning, False
            try:
                if create_graph:
                    tensors = [
                        traced(t) if node is not None else t for t, node in zip(saved, inputs, strict=False)
                    ]
                else:
                    tensors = [_leaf(a, node is not None) for a, node in zip(saved, inputs, strict=False)]
                sources = [t.node for t in tensors] + list(inputs[len(saved) :])
                packed = _pack(self.run(tensors))
            finally:
                state.assigning = before
        if packed.node is None:
            raise RuntimeError(
                "checkpoint: the function recorded nothing when it ran again: it must be repeatable"
            )
        targets = {node for node in sources if node is not None}
        found = sweep(
            [(packed.node, g)], targets=targets, create_graph=create_graph, retain_graph=create_graph
        )
        return [found.get(node) if node is not None else None for node in sources]


class _SegmentPlan(Plan):
    """How the sweep goes through a segment: it is run again once, for all inputs together."""

    __slots__ = ()

    def __init__(self, segment: _Segment, inputs: Sequence[Node | None], saved: int) -> None:
        self.saved_positions = list(range(saved))
        self.save = tuple
        self.steps = [(i, _together) for i, node in enumerate(inputs) if node is not None]
        self.joint = lambda g, saved, node: segment.pull_back(g, saved, node.inputs)


def _together(g: Any, saved: Sequence[Any], params: Static) -> Any:
    raise AssertionError("a segment's cotangents are computed together")


def _leaf(array: Array, requires_grad: bool) -> Tensor:
    leaf = Tensor(array)
    leaf.requires_grad = requires_grad
    return leaf


def _pack(value: Any) -> Tensor:
    """All of a function's outputs in one tensor, since a node has one output."""
    outputs = list(tree.leaves(value))
    for out in outputs:
        if not isinstance(out, Tensor) or not is_float(out.dtype):
            got = describe(out.array) if isinstance(out, Tensor) else type(out).__name__
            raise TypeError(f"checkpoint: the function must return float tensors, not {got}")

    if len(outputs) == 1:
        return outputs[0]
    return concat([reshape(out, -1) for out in outputs])


def _unpack(packed: Tensor, value: Any) -> Any:
    """The outputs again, in their containers."""
    outputs = list(tree.leaves(value))
    if len(outputs) == 1:
        return tree.tree_map(lambda _: packed, value)
    parts, start = [], 0
    for out in outputs:
        parts.append(packed[start : start + out.size].reshape(out.shape).astype(out.dtype))
        start += out.size
    return tree.tree_fill(value, iter(parts))
