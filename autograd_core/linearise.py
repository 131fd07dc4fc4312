"""A function at a point, with the tape that leads back to its inputs: what all transforms are made of."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from autograd_core import tree
from autograd_core.contexts import switch, switch_back
from autograd_core.dtypes import is_float
from autograd_core.errors import describe
from autograd_core.ops.elementwise import alias
from autograd_core.sweep import sweep
from autograd_core.tape import Node, recording, state
from autograd_core.tensor import Tensor, as_tensor, node_of

Function = Callable[..., Any]


def traced(value: Any) -> Any:
    """A tensor that begins a tape of its own; if `value` already stands on one, the outer tape sees through it."""
    if value is None or isinstance(value, str):
        return value  # a setting that stands among the arrays
    tensor = as_tensor(value)
    if not is_float(tensor.dtype):
        return tensor.detach()
    if tensor.requires_grad:
        return alias(tensor)
    fresh = tensor.detach()
    fresh.requires_grad = True
    return fresh


def outer_nodes(outputs: Sequence[Any], inputs: Collection[Node]) -> list[Node]:
    """What the outputs depend on besides `inputs`: leaves, and nodes older than every input, oldest first."""
    oldest = min((node.index for node in inputs), default=0)
    found: dict[int, Node] = {}
    seen: set[Node] = set(inputs)
    pending = [node for output in outputs if (node := node_of(output))]
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.primitive is None or node.index < oldest:
            found[node.index] = node
        else:
            pending.extend(parent for parent in node.inputs if parent is not None)
    return [found[index] for index in sorted(found)]


def gathered(node: Node, found: dict[Node, Any]) -> Tensor:
    """A node's cotangent after a sweep, zeros where none arrived."""
    cotangent = found.get(node)
    if cotangent is None:
        return Tensor(np.zeros(node.shape, node.dtype))
    return cotangent if isinstance(cotangent, Tensor) else Tensor(np.asarray(cotangent))


def running(f: Function, *args: Any) -> Any:
    """f(*args), whose derivative is wanted: tensors on the tape refuse to become Python floats meanwhile."""
    state.transforming += 1
    try:
        return f(*args)
    finally:
        state.transforming -= 1


def _constant(value: Any) -> Any:
    """A number or array that a function returned without computing it from tensors: its derivative is 0."""
    return as_tensor(value) if isinstance(value, int | float | np.ndarray | np.generic) else value


class Linearised:
    """A function's value at a point, with the tape that leads back to the inputs.

    Integers, booleans, None and text among the inputs have no derivative: their cotangents are None.
    """

    def __init__(self, f: Function, args: Sequence[Any], argnums: Sequence[int]) -> None:
        self.outer_recording = state.recording
        before = switch(True)
        try:
            self.inputs = [tree.tree_map(traced, args[i]) for i in argnums]
            self.input_leaves = [leaf for value in self.inputs for leaf in tree.leaves(value)]
            # f may change its arguments in place, and their tensors then stand for later nodes.
            self.input_nodes = [node_of(leaf) for leaf in self.input_leaves]
            self.targets = [node for node in self.input_nodes if node]
            placed = list(args)
            for i, value in zip(argnums, self.inputs, strict=True):
                placed[i] = value
            value = running(f, *placed)
        finally:
            switch_back(before)
        self.value = value if isinstance(value, Tensor) else tree.tree_map(_constant, value)
        self.outputs = list(tree.leaves(self.value))
        self.create_graph = self.outer_recording and self._stands_on_outer_tape()

    def _stands_on_outer_tape(self) -> bool:
        """Whether the value depends on anything on the tape but the inputs: then the pullback must be recorded."""
        inputs = set(self.targets)
        return any(node.primitive is not None for node in inputs) or bool(outer_nodes(self.outputs, inputs))

    def pull_back(self, cotangent: Any, create_graph: bool | None = None) -> list[Any]:
        """The inputs' cotangents, in the inputs' containers, for a cotangent shaped like the value."""
        create = self.create_graph if create_graph is None else create_graph
        roots = []
        for output, given in zip(self.outputs, tree.leaves(cotangent), strict=True):
            node, seed = node_of(output), as_tensor(given)
            shape = output.shape if isinstance(output, Tensor) else np.shape(output)
            if seed.shape != shape:
                raise ValueError(
                    f"vjp: the cotangent {describe(seed.array)} does not have the value's shape {list(shape)}"
                )
            create = create or (create_graph is None and self.outer_recording and seed.requires_grad)
            if node is not None:
                seed = seed if seed.dtype == node.dtype else seed.astype(node.dtype)
                roots.append((node, seed))
        if not create:
            roots = [(node, seed.array) for node, seed in roots]
        linear = not self.create_graph  # nothing outside can ask for derivatives by what the value depends on
        found = sweep(roots, set(self.targets), create_graph=create, retain_graph=True, linear=linear)
        flat = iter([None if node is None else gathered(node, found) for node in self.input_nodes])
        return [tree.tree_fill(value, flat) for value in self.inputs]

    def plain_value(self) -> Any:
        """The value, off the inner tape; still on the outer one when there is one."""
        if self.create_graph:
            return self.value
        return tree.tree_map(lambda v: v.detach() if isinstance(v, Tensor) else v, self.value)


class Pushforward:
    """Forward mode, from the reverse sweep applied twice.

    The pullback is linear in its cotangent u; its own derivative with respect to u, in the direction of the tangents,
    is J·v. Source: J. Townsend, "A new trick for calculating Jacobian vector products", 2017.
    """

    def __init__(self, line: Linearised) -> None:
        self.value = line.plain_value()
        self.inputs = line.inputs
        with recording(True):
            self.duals = tree.tree_map(_dual, line.value)
            self.cotangents = list(tree.leaves(line.pull_back(self.duals, create_graph=True)))
        self.keep_graph = line.create_graph

    def __call__(self, tangents: Sequence[Any]) -> Any:
        """J · tangents, in the containers of f's value."""
        with recording(True):
            directions = list(tree.leaves(tree.tree_map(tangent_of, self.inputs, list(tangents))))
        roots = [(node, v) for c, v in zip(self.cotangents, directions, strict=True) if (node := node_of(c))]
        create = self.keep_graph or (any(v.requires_grad for _, v in roots) and state.recording)
        if not create:
            roots = [(node, v.array) for node, v in roots]
        duals = {node for u in tree.leaves(self.duals) if (node := node_of(u))}
        found = sweep(roots, targets=duals, create_graph=create, retain_graph=True)
        return tree.tree_map(lambda u: gathered(u.node, found), self.duals)


def _dual(out: Any) -> Tensor:
    if not isinstance(out, Tensor) or not is_float(out.dtype):
        got = describe(out.array) if isinstance(out, Tensor) else type(out).__name__
        raise TypeError(f"jvp: the function returned {got}: every output must be a float tensor")
    dual = Tensor(np.zeros(out.shape, out.dtype))
    dual.requires_grad = True
    return dual


def tangent_of(x: Any, v: Any) -> Any:
    if not isinstance(x, Tensor) or not is_float(x.dtype):
        return v  # it cannot move: whatever stands here is not looked at
    tangent = as_tensor(v)
    if tangent.shape != x.shape:
        raise ValueError(
            f"jvp: the tangent {describe(tangent.array)} does not have its argument's shape {list(x.shape)}"
        )
    return tangent if tangent.dtype == x.dtype else tangent.astype(x.dtype)
