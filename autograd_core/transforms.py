"""Derivatives as functions of functions. All of them are one reverse sweep, or two.

Arguments may be tensors, ndarrays, numbers, or nested dicts, lists and tuples of them; results are tensors in the same
containers. Every transform can be applied to the result of another.
"""

from collections.abc import Callable, Collection, Sequence
from functools import wraps
from typing import Any

import numpy as np

from autograd_core import tree
from autograd_core.dtypes import Array, is_float
from autograd_core.errors import describe
from autograd_core.ops import reduce
from autograd_core.ops.define import operation
from autograd_core.ops.shape import reshape, stack
from autograd_core.sweep import sweep
from autograd_core.tape import Node, Value, recording, state
from autograd_core.tensor import Tensor, as_tensor

Function = Callable[..., Any]
Argnums = int | Sequence[int]


@operation(lambda g: g, kind="view")
def _alias(x: Array) -> Array:
    return x


def traced(value: Any) -> Any:
    """A tensor that begins a tape of its own; if `value` already stands on one, the outer tape sees through it."""
    tensor = as_tensor(value)
    if not is_float(tensor.dtype):
        return tensor
    if tensor.requires_grad:
        return _alias(tensor)
    fresh = Tensor(tensor.array)
    fresh.requires_grad = True
    return fresh


def _node(tensor: Any) -> Node | None:
    return tensor.node if isinstance(tensor, Value) else None


def outer_nodes(outputs: Sequence[Any], inputs: Collection[Node]) -> list[Node]:
    """What the outputs depend on besides `inputs`: leaves, and nodes older than every input, oldest first."""
    oldest = min((node.index for node in inputs), default=0)
    found: dict[int, Node] = {}
    seen: set[Node] = set(inputs)
    pending = [node for output in outputs if (node := _node(output))]
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


class Linearised:
    """A function's value at a point, with the tape that leads back to the inputs."""

    def __init__(self, f: Function, args: Sequence[Any], argnums: Sequence[int]) -> None:
        self.outer_recording = state.recording
        with recording(True):
            self.inputs = [tree.tree_map(traced, args[i]) for i in argnums]
            placed = list(args)
            for i, value in zip(argnums, self.inputs, strict=True):
                placed[i] = value
            self.value = f(*placed)
        self.input_leaves = [leaf for value in self.inputs for leaf in tree.leaves(value)]
        self.targets = [node for leaf in self.input_leaves if (node := _node(leaf))]
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
            node = _node(output)
            seed = as_tensor(given)
            if seed.shape != np.shape(output):
                raise ValueError(
                    f"vjp: the cotangent {describe(seed.array)} does not have the value's shape "
                    f"{list(np.shape(output))}"
                )
            create = create or (create_graph is None and self.outer_recording and seed.requires_grad)
            if node is not None:
                seed = seed if seed.dtype == node.dtype else seed.astype(node.dtype)
                roots.append((node, seed))
        if not create:
            roots = [(node, seed.array) for node, seed in roots]
        found = sweep(roots, targets=set(self.targets), create_graph=create, retain_graph=True)
        flat = iter([self._result(leaf, found) for leaf in self.input_leaves])
        return [tree.tree_fill(value, flat) for value in self.inputs]

    @staticmethod
    def _result(leaf: Any, found: dict[Node, Any]) -> Tensor:
        node = _node(leaf)
        if node is None:
            raise TypeError(
                f"a derivative was asked for with respect to {describe(leaf.array)}: only float arrays have one; "
                "convert it with astype('float32') or leave it out of argnums"
            )
        cotangent = found.get(node)
        if cotangent is None:
            return Tensor(np.zeros(node.shape, node.dtype))
        return cotangent if isinstance(cotangent, Tensor) else Tensor(np.asarray(cotangent))

    def plain_value(self) -> Any:
        """The value, off the inner tape; still on the outer one when there is one."""
        if self.create_graph:
            return self.value
        return tree.tree_map(lambda v: v.detach() if isinstance(v, Tensor) else v, self.value)


def _positions(argnums: Argnums, count: int, name: str) -> list[int]:
    wanted = [argnums] if isinstance(argnums, int) else list(argnums)
    for i in wanted:
        if not -count <= i < count:
            raise ValueError(
                f"{name}: argnums {i} but the function was called with {count} positional arguments"
            )
    return [i % count for i in wanted]


def _bound(f: Function, params: dict[str, Any]) -> Function:
    return (lambda *args: f(*args, **params)) if params else f


def value_and_grad(f: Function, argnums: Argnums = 0) -> Callable[..., tuple[Tensor, Any]]:
    """A function that returns f's value and its gradient with respect to the arguments in `argnums`.

    f must return one float element. The gradient has the arguments' structure; for several argnums it is a tuple.

    >>> import autograd_core as ag
    >>> value, slope = ag.value_and_grad(lambda x: x**2)(3.0)
    >>> value.item(), slope.item()
    (9.0, 6.0)
    """

    @wraps(f)
    def both(*args: Any, **params: Any) -> tuple[Tensor, Any]:
        line = Linearised(_bound(f, params), args, _positions(argnums, len(args), "grad"))
        value = line.value
        if not isinstance(value, Tensor) or value.size != 1 or not is_float(value.dtype):
            got = describe(value.array) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"grad: the function returned {got}, not one float element: reduce it (.sum(), .mean()), "
                "or use jacobian or vjp"
            )
        gradients = line.pull_back(Tensor(np.ones(value.shape, value.dtype)))
        return line.plain_value(), gradients[0] if isinstance(argnums, int) else tuple(gradients)

    return both


def grad(f: Function, argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the gradient of f with respect to the arguments in `argnums`.

    f must return one float element. Derivatives of higher order come from applying grad again.

    >>> import autograd_core as ag
    >>> cube = lambda x: x**3
    >>> ag.grad(cube)(2.0).item(), ag.grad(ag.grad(cube))(2.0).item()
    (12.0, 12.0)
    """
    both = value_and_grad(f, argnums)

    @wraps(f)
    def gradient(*args: Any, **params: Any) -> Any:
        return both(*args, **params)[1]

    return gradient


def vjp(f: Function, *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """f's value, and the function that takes a cotangent of it to the tuple of the arguments' cotangents.

    >>> import autograd_core as ag
    >>> value, pull_back = ag.vjp(lambda x, y: x * y, ag.tensor([1.0, 2.0]), ag.tensor([3.0, 4.0]))
    >>> pull_back(ag.tensor([1.0, 1.0]))[0]
    tensor([3., 4.], dtype=float32)
    """
    line = Linearised(f, args, range(len(args)))
    return line.plain_value(), lambda cotangent: tuple(line.pull_back(cotangent))


class Pushforward:
    """Forward mode, from the reverse sweep applied twice.

    The pullback is linear in its cotangent u; its own derivative with respect to u, in the direction of the tangents,
    is J·v. Source: J. Townsend, "A new trick for calculating Jacobian vector products", 2017.
    """

    def __init__(self, line: Linearised) -> None:
        self.value = line.plain_value()
        self.inputs = line.inputs
        with recording(True):
            self.duals = tree.tree_map(lambda out: _dual(out), line.value)
            self.cotangents = list(tree.leaves(line.pull_back(self.duals, create_graph=True)))
        self.keep_graph = line.create_graph

    def __call__(self, tangents: Sequence[Any]) -> Any:
        """J · tangents, in the containers of f's value."""
        with recording(True):
            directions = list(
                tree.leaves(tree.tree_map(lambda x, v: _tangent(x, v), self.inputs, list(tangents)))
            )
        roots = [(node, v) for c, v in zip(self.cotangents, directions, strict=True) if (node := _node(c))]
        create = self.keep_graph or (any(v.requires_grad for _, v in roots) and state.recording)
        if not create:
            roots = [(node, v.array) for node, v in roots]
        duals = {node for u in tree.leaves(self.duals) if (node := _node(u))}
        found = sweep(roots, targets=duals, create_graph=create, retain_graph=True)
        return tree.tree_map(lambda u: Linearised._result(u, found), self.duals)


def _dual(out: Any) -> Tensor:
    if not isinstance(out, Tensor) or not is_float(out.dtype):
        got = describe(out.array) if isinstance(out, Tensor) else type(out).__name__
        raise TypeError(f"jvp: the function returned {got}: every output must be a float tensor")
    dual = Tensor(np.zeros(out.shape, out.dtype))
    dual.requires_grad = True
    return dual


def _tangent(x: Any, v: Any) -> Tensor:
    tangent = as_tensor(v)
    if tangent.shape != x.shape:
        raise ValueError(
            f"jvp: the tangent {describe(tangent.array)} does not have its argument's shape {list(x.shape)}"
        )
    return tangent if tangent.dtype == x.dtype else tangent.astype(x.dtype)


def jvp(f: Function, args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """f's value, and its derivative at `args` in the direction `tangents` (one for each argument).

    >>> import autograd_core as ag
    >>> value, change = ag.jvp(lambda x: x**2, (3.0,), (1.0,))
    >>> value.item(), change.item()
    (9.0, 6.0)
    """
    push = Pushforward(Linearised(f, args, range(len(args))))
    return push.value, push(tangents)


def jacobian(f: Function, argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the derivatives of every element of f's value by every element of the arguments.

    For a value of shape S and an argument of shape A the result has the shape S + A; nested values and arguments
    give nested results, the value's containers outside. Columns or rows are computed, whichever are fewer.

    >>> import autograd_core as ag
    >>> ag.jacobian(lambda x: x**2)(ag.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]], dtype=float32)
    """

    @wraps(f)
    def matrix(*args: Any, **params: Any) -> Any:
        positions = _positions(argnums, len(args), "jacobian")
        line = Linearised(_bound(f, params), args, positions)
        outputs, inputs = line.outputs, line.input_leaves
        if sum_sizes(inputs) < sum_sizes(outputs):
            blocks = _columns(line)
        else:
            blocks = _rows(line)
        nested = iter(
            tree.tree_fill(line.inputs if not isinstance(argnums, int) else line.inputs[0], iter(row))
            for row in blocks
        )
        result = tree.tree_map(lambda _: next(nested), line.value)
        return result if isinstance(argnums, int) else _tuples(result, line.value)

    return matrix


def _tuples(result: Any, value: Any) -> Any:
    return (
        tree.tree_map(lambda _, row: tuple(row), value, result)
        if not isinstance(value, Tensor)
        else tuple(result)
    )


def sum_sizes(tensors: Sequence[Any]) -> int:
    """The number of elements of all."""
    return sum(t.size for t in tensors)


def _unit(tensors: Sequence[Any], which: int, element: int) -> list[Tensor]:
    """Zeros like the tensors, with one element of one of them set to 1."""
    units = [np.zeros(t.shape, t.dtype) for t in tensors]
    units[which].reshape(-1)[element] = 1
    return [Tensor(u) for u in units]


def _rows(line: Linearised) -> list[list[Tensor]]:
    """One pullback for each output element: blocks[output][input]."""
    blocks = []
    for k, out in enumerate(line.outputs):
        rows = [
            list(tree.leaves(line.pull_back(_unit(line.outputs, k, element)))) for element in range(out.size)
        ]
        blocks.append(
            [
                _assemble([r[j] for r in rows], (*out.shape, *x.shape), x)
                for j, x in enumerate(line.input_leaves)
            ]
        )
    return blocks


def _columns(line: Linearised) -> list[list[Tensor]]:
    """One pushforward for each input element: blocks[output][input]."""
    push = Pushforward(line)
    inputs, outputs = line.input_leaves, line.outputs
    by_input = []
    for j, x in enumerate(inputs):
        columns = []
        for element in range(x.size):
            tangents = tree.tree_fill(push.inputs, iter(_unit(inputs, j, element)))
            columns.append(list(tree.leaves(push(tangents))))
        by_input.append(columns)
    return [
        [
            _assemble([c[k] for c in columns], (*out.shape, *x.shape), out, axis=-1)
            for columns, x in zip(by_input, inputs, strict=True)
        ]
        for k, out in enumerate(outputs)
    ]


def _assemble(parts: list[Any], shape: tuple[int, ...], like: Any, axis: int = 0) -> Any:
    return reshape(stack(parts, axis=axis), shape) if parts else Tensor(np.zeros(shape, like.dtype))


def hessian(f: Function, argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of a scalar f: shape A + A for an argument of shape A.

    >>> import autograd_core as ag
    >>> ag.hessian(lambda x: (x**3).sum())(ag.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]], dtype=float32)
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Function, args: Any, vectors: Any) -> Any:
    """The Hessian of a scalar f at `args` times `vectors`, without forming it; containers as in `args`.

    >>> import autograd_core as ag
    >>> ag.hvp(lambda x: (x**3).sum(), (ag.tensor([1.0, 2.0]),), (ag.tensor([1.0, 1.0]),))[0]
    tensor([ 6., 12.], dtype=float32)
    """
    if not isinstance(args, tuple | list):
        return hvp(f, (args,), (vectors,))[0]
    if len(args) != len(vectors):
        raise ValueError(f"hvp: {len(args)} arguments but {len(vectors)} vectors: give one for each")
    gradient = grad(f, tuple(range(len(args))))

    def slope(*xs: Any) -> Any:
        products = tree.tree_map(lambda g, v: reduce.sum(g * _tangent(g, v)), gradient(*xs), tuple(vectors))
        return sum(tree.leaves(products))

    found = grad(slope, tuple(range(len(args))))(*args)
    return list(found) if isinstance(args, list) else found
